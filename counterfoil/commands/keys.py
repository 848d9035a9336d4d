"""API keys of a tenant."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from counterfoil.commands.session import (
    TenantName,
    for_tenant,
    fresh_correlation_id,
    listing,
    operator,
    out,
    say,
)

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings

keys = typer.Typer(help="API keys of a tenant.", no_args_is_help=True)

_TIMES: Final = {
    "created": "created_at",
    "expires": "expires_at",
    "revoked": "revoked_at",
    "last used": "last_used_at",
}
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key, key_….")]


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do, such as PAYMENTS_READ; may be given several times."),
    ] = None,
    *,
    publishable: Annotated[
        bool, typer.Option("--publishable", help="For the pages of a shop; has no scope.")
    ] = False,
    tenant: TenantName = "demo",
    days: Annotated[
        int | None, typer.Option(help="Days until it expires; else never.", min=1)
    ] = None,
) -> None:
    """Make a key and show it once."""
    from tenants import issue

    if not scope and not publishable:
        raise typer.BadParameter("give at least one --scope, or --publishable")
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)  # noqa: TID251 - the command line is where a clock comes in

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            key = await issue(
                tx,
                tenant_id,
                name=name,
                scopes=scope or (),
                publishable=publishable,
                actor=operator(),
                correlation_id=fresh_correlation_id(),
                expires_at=expires_at,
            )
        return key.secret

    say(for_tenant(tenant, run))


@keys.command("list")
def list_keys(tenant: TenantName = "demo") -> None:
    """List the keys of a tenant. The keys themselves are not kept, only their first characters."""
    from core.identifiers import encode

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> Table:
        table = listing("id", "name", about="key")
        async with database.unit_of_work(tenant_id) as tx:
            rows = await tx.fetch(
                """SELECT id, name, hint, scopes, created_at, expires_at, revoked_at, last_used_at
                     FROM api_key WHERE tenant_id = $1 ORDER BY id""",
                tenant_id,
            )
        for row in rows:
            times = (
                f"{word} {row[column]:%Y-%m-%d %H:%M}"
                for word, column in _TIMES.items()
                if row[column] is not None
            )
            about = "\n".join((f"{row['hint']}…", *times, " ".join(row["scopes"])))
            table.add_row(encode("key", row["id"]), escape(row["name"]), about)
        return table

    out.print(for_tenant(tenant, run))


@keys.command("rotate")
def rotate_key(
    key_id: KeyId,
    tenant: TenantName = "demo",
    grace_hours: Annotated[int, typer.Option(help="How long the old key still works.", min=0)] = 24,
) -> None:
    """Replace a key by a new one with the same scopes and show it once."""
    from tenants import rotate

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            key = await rotate(
                tx,
                tenant_id,
                _key_uuid(key_id),
                grace=timedelta(hours=grace_hours),
                actor=operator(),
                correlation_id=fresh_correlation_id(),
            )
        return key.secret

    say(for_tenant(tenant, run))


@keys.command("revoke")
def revoke_key(key_id: KeyId, tenant: TenantName = "demo") -> None:
    """Refuse a key from now on."""
    from tenants import revoke

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            await revoke(
                tx,
                tenant_id,
                _key_uuid(key_id),
                actor=operator(),
                correlation_id=fresh_correlation_id(),
            )
        return f"{key_id} is revoked."

    out.print(for_tenant(tenant, run), highlight=False)


def _key_uuid(key_id: str) -> UUID:
    from core.identifiers import decode

    return decode("key", key_id)
