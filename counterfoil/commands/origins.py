"""Web sites whose pages may use the browser's view for a tenant."""

from typing import TYPE_CHECKING, Annotated

import typer

from counterfoil.commands.session import (
    TenantName,
    for_tenant,
    fresh_correlation_id,
    operator,
    say,
)

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings

origins = typer.Typer(
    help="Web sites whose pages may use /storefront/graphql for a tenant.", no_args_is_help=True
)

Origin = Annotated[
    str, typer.Argument(metavar="ORIGIN", help="Such as https://shop.example; no path.")
]


@origins.command("add")
def add_origin(origin: Origin, tenant: TenantName = "demo") -> None:
    """Allow the pages of an origin."""
    from tenants import allow_origin

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            stored = await allow_origin(
                tx, tenant_id, origin, actor=operator(), correlation_id=fresh_correlation_id()
            )
        return f"{stored} is allowed."

    say(for_tenant(tenant, run))


@origins.command("remove")
def remove_origin(origin: Origin, tenant: TenantName = "demo") -> None:
    """Refuse the pages of an origin from now on."""
    from tenants import disallow_origin

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            stored = await disallow_origin(
                tx, tenant_id, origin, actor=operator(), correlation_id=fresh_correlation_id()
            )
        return f"{stored} is refused."

    say(for_tenant(tenant, run))


@origins.command("list")
def list_origins(tenant: TenantName = "demo") -> None:
    """List what is allowed."""
    from tenants import origins_of

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            return "\n".join(await origins_of(tx, tenant_id))

    say(for_tenant(tenant, run))
