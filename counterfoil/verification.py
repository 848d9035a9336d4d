"""`verify`: the books and the payments of each tenant, recomputed and compared.

Runs as the product runs: one tenant at a time, and only reads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from core.database import Database, DatabaseSettings
from core.errors import Rejected
from counterfoil.settings import Settings
from counterfoil.startup import bring_up_to_date, with_database
from ledger.verify import verify_ledger
from payments.verify import verify as verify_payments
from tenants import find_tenant


class TenantNotNamed(Rejected):
    """Listing tenants takes the owner's rights; name one with --tenant."""


def run(settings: Settings, tenant: str | None, screen: Console) -> bool:
    """Print every difference of one tenant, or of all; whether there was none.

    Raises: TenantNotFound, TenantNotNamed, DatabaseUnavailable.
    """
    with with_database(settings) as completed:
        bring_up_to_date(completed)
        return asyncio.run(_verify(completed, tenant, screen))


async def findings_of(
    database: Database, tenant_id: int, show: Callable[[str], None] = lambda _: None
) -> AsyncIterator[str]:
    """Every difference of a tenant: entries, counters, zero sums, gaps, hashes, holds, payments.

    `show` is told how far it has come.
    """
    async for found in verify_ledger(database, tenant_id):
        if isinstance(found, int):
            show(f"{found} rows of the ledger")
        else:
            yield str(found)
    async for difference in verify_payments(database, tenant_id):
        if isinstance(difference, int):
            show(f"{difference} payments")
        else:
            yield str(difference)


async def _verify(settings: Settings, tenant: str | None, screen: Console) -> bool:
    database = await Database.open(DatabaseSettings(settings.app_database_url, pool_size=2))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    found = 0
    try:
        tenants = await _tenants(settings, database, tenant)
        with Progress(*columns, console=screen, transient=True) as progress:
            for name, tenant_id in tenants.items():
                async for finding in findings_of(database, tenant_id, _line(progress, name)):
                    found += 1
                    screen.print(f"{name}: {finding}", style="red", markup=False, soft_wrap=True)
    finally:
        await database.close()
    verdict = "no difference" if not found else f"{found} differences"
    screen.print(f"tenants verified: {len(tenants)}; {verdict}")
    return not found


def _line(progress: Progress, name: str) -> Callable[[str], None]:
    """A line of its own on the screen, for one tenant."""
    task = progress.add_task(name)
    return lambda so_far: progress.update(task, description=f"{name}: {so_far}")


async def _tenants(settings: Settings, database: Database, name: str | None) -> dict[str, int]:
    """Name and number of one tenant, or of all: listing them takes the owner's rights."""
    if name is not None:
        return {name: await find_tenant(database, name)}
    with psycopg.connect(settings.admin_database_url) as connection:
        try:
            connection.execute("SET LOCAL ROLE cf_owner")
        except psycopg.errors.InsufficientPrivilege as error:
            raise TenantNotNamed from error
        rows = connection.execute("SELECT name, tenant_id FROM tenant ORDER BY 1").fetchall()
    return {str(row[0]): int(row[1]) for row in rows}
