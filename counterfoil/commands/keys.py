"""API keys of a tenant."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table

from counterfoil.commands.session import (
    TenantName,
    for_tenant,
    fresh_correlation_id,
    operator,
    out,
)

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings

keys = typer.Typer(help="API keys of a tenant.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key, key_….")]


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
    from tenants import issue

    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)  # noqa: TID251 - the command line is where a clock comes in

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            key = await issue(
                tx,
                tenant_id,
                name=name,
                scopes=scope,
                actor=operator(),
                correlation_id=fresh_correlation_id(),
                expires_at=expires_at,
            )
        return key.secret

    out.print(for_tenant(tenant, run), highlight=False, markup=False, soft_wrap=True)


@keys.command("list")
def list_keys(tenant: TenantName = "demo") -> None:
    """List the keys of a tenant. The keys themselves are not kept, only their first characters."""
    from core.identifiers import encode

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> Table:
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

    out.print(for_tenant(tenant, run), highlight=False, markup=False, soft_wrap=True)


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
