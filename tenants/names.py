"""Tenants by name: so the command line and the tokens of an identity provider call them."""

from core.database import Database
from core.errors import Rejected


class TenantNotFound(Rejected):
    """There is no tenant of this name."""

    code = "NOT_FOUND"


async def find_tenant(database: Database, name: str) -> int:
    """The number of a tenant. Raises: TenantNotFound."""
    row = await database.find("SELECT tenant_id FROM find_tenant($1)", name)
    if row is None:
        raise TenantNotFound(name=name)
    return int(row["tenant_id"])


async def is_live(database: Database, tenant_id: int) -> bool:
    """Whether real money moves."""
    async with database.unit_of_work(tenant_id) as tx:
        live = await tx.fetchval("SELECT live FROM tenant WHERE tenant_id = $1", tenant_id)
    return bool(live)
