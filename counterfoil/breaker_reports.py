"""Writes what breakers become to the database, beside the calls and never in their way."""

import asyncio
from typing import Final

import structlog

from core.database import Database
from core.errors import Unavailable
from gateways.breaker import BreakerStatus
from gateways.store import publish_health

log = structlog.get_logger("counterfoil.breakers")

REPORTS_MAX: Final = 1000
"""Changes that may wait; beyond that the newest are dropped: the row is advice, never a veto."""


class BreakerReports:
    """A listener for breakers, and the loop that writes what it heard."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[BreakerStatus] = asyncio.Queue(REPORTS_MAX)

    def changed(self, status: BreakerStatus) -> None:
        log.warning(
            "breaker.changed",
            account=str(status.account_id),
            kind=status.kind,
            state=status.state.value,
            failures=status.failures,
        )
        if not self._waiting.full():
            self._waiting.put_nowait(status)

    async def write(self, database: Database) -> None:
        """Write reports until cancelled. One that cannot be written is forgotten."""
        while True:
            status = await self._waiting.get()
            try:
                await publish_health(database, status)
            except Unavailable:
                log.warning("breaker.not_reported", account=str(status.account_id))
            finally:
                self._waiting.task_done()

    async def written(self) -> None:
        """Wait until everything heard so far has been dealt with."""
        await self._waiting.join()
