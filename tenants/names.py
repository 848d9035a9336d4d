"""Tenants by name, for the command line."""

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
