"""The command line. Each command imports what it needs when it runs, so that `--help` is quick."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import structlog
import typer
from rich.console import Console
from rich.table import Table

from core.errors import CounterfoilError, Rejected

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings

Result = TypeVar("Result")

app = typer.Typer(
    help="Counterfoil: a GraphQL commerce-ledger gateway with pluggable payment providers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys = typer.Typer(help="API keys of a tenant.", no_args_is_help=True)
app.add_typer(keys, name="keys")

out = Console()
err = Console(stderr=True)

TenantName = Annotated[str, typer.Option("--tenant", help="Name of the tenant.")]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key, key_….")]


class TenantNotFound(Rejected):
    """There is no tenant of this name."""


def main() -> None:
    """Run a command; an expected error is one message and status 1, never a traceback."""
    # Standard output belongs to what a command was asked for.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except CounterfoilError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def serve(
    *,
    worker: Annotated[
        bool, typer.Option(help="Also do background work; else run `work` beside.")
    ] = True,
) -> None:
    """Serve the API until Ctrl-C. Starts a PostgreSQL of its own unless DATABASE_URL is set."""
    from counterfoil import serving  # noqa: PLC0415

    serving.serve(_settings(), with_worker=worker)


@app.command()
def work() -> None:
    """Do background work until Ctrl-C: finish operations, process webhooks, relay events."""
    from counterfoil import serving  # noqa: PLC0415

    serving.work(_settings())


@app.command()
def migrate() -> None:
    """Create roles and bring the database to the newest schema; with COUNTERFOIL_DEMO=on and a
    simulator in COUNTERFOIL_SIMULATOR_URL set up the demo tenant too.
    """
    from counterfoil import migrate as migration  # noqa: PLC0415
    from counterfoil.startup import with_database, with_encryption_key  # noqa: PLC0415

    with with_database(_settings()) as settings:
        with out.status("Migrating …"):
            revision = migration.migrate(settings.admin_database_url, settings.app_database_url)
        out.print(f"The database is at revision {revision}.")
        if settings.demo == "on" and settings.simulator_url:
            from counterfoil.bootstrap import set_up  # noqa: PLC0415

            asyncio.run(set_up(with_encryption_key(settings)))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def simulator(context: typer.Context) -> None:
    """Run the provider simulator alone; `simulator --help` lists its options."""
    import runpy  # noqa: PLC0415

    sys.argv = ["simulator", *context.args]
    runpy.run_module("simulator", run_name="__main__", alter_sys=True)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help="May be given several times.")],
    tenant: TenantName = "demo",
    days: Annotated[
        int | None, typer.Option(help="Days until it expires; else never.", min=1)
    ] = None,
) -> None:
    """Make a key and show it once."""
    from tenants import issue  # noqa: PLC0415

    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)  # noqa: TID251 - the command line is where a clock comes in

    async def run(database: "Database", tenant_id: int) -> str:
        async with database.unit_of_work(tenant_id) as tx:
            key = await issue(
                tx,
                tenant_id,
                name=name,
                scopes=scope,
                actor=_operator(),
                correlation_id=_correlation_id(),
                expires_at=expires_at,
            )
        return key.secret

    out.print(_for_tenant(tenant, run), highlight=False, markup=False, soft_wrap=True)


@keys.command("list")
def list_keys(tenant: TenantName = "demo") -> None:
    """List the keys of a tenant. The keys themselves are not kept, only their first characters."""
    from core.identifiers import encode  # noqa: PLC0415

    async def run(database: "Database", tenant_id: int) -> Table:
        table = Table("id", "name", "hint", "scopes", "created", "expires", "revoked", "last used")
        async with database.unit_of_work(tenant_id) as tx:
            rows = await tx.fetch(
                """SELECT id, name, hint, scopes, created_at, expires_at, revoked_at, last_used_at
                     FROM api_key WHERE tenant_id = $1 ORDER BY id""",
                tenant_id,
            )
        for row in rows:
            times = (row["created_at"], row["expires_at"], row["revoked_at"], row["last_used_at"])
            table.add_row(
                encode("key", row["id"]),
                row["name"],
                f"{row['hint']}…",
                " ".join(row["scopes"]),
                *("" if time is None else f"{time:%Y-%m-%d %H:%M}" for time in times),
            )
        return table

    out.print(_for_tenant(tenant, run))


@keys.command("rotate")
def rotate_key(
    key_id: KeyId,
    tenant: TenantName = "demo",
    grace_hours: Annotated[int, typer.Option(help="How long the old key still works.", min=0)] = 24,
) -> None:
    """Replace a key by a new one with the same scopes and show it once."""
    from tenants import rotate  # noqa: PLC0415

    async def run(database: "Database", tenant_id: int) -> str:
        async with database.unit_of_work(tenant_id) as tx:
            key = await rotate(
                tx,
                tenant_id,
                _key_uuid(key_id),
                grace=timedelta(hours=grace_hours),
                actor=_operator(),
                correlation_id=_correlation_id(),
            )
        return key.secret

    out.print(_for_tenant(tenant, run), highlight=False, markup=False, soft_wrap=True)


@keys.command("revoke")
def revoke_key(key_id: KeyId, tenant: TenantName = "demo") -> None:
    """Refuse a key from now on."""
    from tenants import revoke  # noqa: PLC0415

    async def run(database: "Database", tenant_id: int) -> str:
        async with database.unit_of_work(tenant_id) as tx:
            await revoke(
                tx,
                tenant_id,
                _key_uuid(key_id),
                actor=_operator(),
                correlation_id=_correlation_id(),
            )
        return f"{key_id} is revoked."

    out.print(_for_tenant(tenant, run), highlight=False)


def _settings() -> "Settings":
    from counterfoil.settings import Settings  # noqa: PLC0415

    return Settings.read()


def _for_tenant(name: str, run: Callable[["Database", int], Awaitable[Result]]) -> Result:
    """Run something on the database for a tenant. Raises: TenantNotFound."""
    from core.database import Database, DatabaseSettings  # noqa: PLC0415
    from counterfoil.startup import bring_up_to_date, with_database  # noqa: PLC0415

    async def inside(url: str) -> Result:
        database = await Database.open(DatabaseSettings(url, pool_size=2))
        try:
            async with database.unit_of_work(None) as tx:
                tenant_id = await tx.fetchval("SELECT tenant_id FROM find_tenant($1)", name)
            if tenant_id is None:
                raise TenantNotFound(name=name)
            return await run(database, tenant_id)
        finally:
            await database.close()

    with with_database(_settings()) as settings:
        bring_up_to_date(settings)
        return asyncio.run(inside(settings.app_database_url))


def _key_uuid(key_id: str) -> UUID:
    from core.identifiers import decode  # noqa: PLC0415

    return decode("key", key_id)


def _operator() -> str:
    """Who the audit log names for what is done here."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"


def _correlation_id() -> str:
    from core.identifiers import new_id  # noqa: PLC0415

    return f"cli-{new_id()}"
