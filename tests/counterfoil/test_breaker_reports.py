import asyncio
from dataclasses import replace
from uuid import UUID

from core.clock import SystemClock
from core.crypto import Vault
from core.database import Database
from core.identifiers import new_id
from counterfoil.bootstrap import ensure_simulator_accounts
from counterfoil.breaker_reports import BreakerReports
from gateways.breaker import BreakerState, BreakerStatus


def an_open_breaker(account_id: UUID) -> BreakerStatus:
    now = SystemClock().now()
    return BreakerStatus(account_id, "SALE", BreakerState.OPEN, now, 5, now, dry_run=False)


async def test_what_a_breaker_becomes_is_there_for_other_processes(
    database: Database, tenant_id: int
) -> None:
    vault = Vault(b"k" * 32)
    account, *_ = await ensure_simulator_accounts(database, vault, tenant_id, "http://sim.test")
    opened = an_open_breaker(account.id)
    reports = BreakerReports()

    reports.changed(an_open_breaker(new_id()))  # an account that is gone writes nothing
    reports.changed(opened)
    reports.changed(replace(opened, state=BreakerState.CLOSED, failures=0, next_probe_at=None))
    writing = asyncio.create_task(reports.write(database))
    async with asyncio.timeout(10):
        await reports.written()
    writing.cancel()

    async with database.unit_of_work(tenant_id) as tx:
        rows = await tx.fetch("SELECT kind, state, reason, next_probe_at FROM provider_health")
    assert [tuple(row) for row in rows] == [("SALE", "CLOSED", None, None)]
