"""The sequencer: gives every committed event its number, so that readers can follow.

    try for the lock ──taken──▶ stand by, try again in a second
          │ ours
          ▼
    number what was committed, one commit a pass ──nothing──▶ wait for the poll

Any process may run one; the lock lets one of them work. It belongs to the session on which the
numbers are given: who loses the session loses the lock and the pass together, so that two never
number at once. Even if they did, the tenant's counter row is locked before anything is read.

Within a tenant, ids of one aggregate rise in the order of their commits, since its row is locked
when they are drawn. So numbers in the order of ids keep that order, and a row that is committed
late with a lower id simply gets a later number: who reads by sequence never misses it.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import structlog

from core.claims import full_jitter, wait_at_most
from core.database import Database, Session
from core.identifiers import new_id
from core.killpoints import kill_point
from core.tracing import Flow, moment, root_span
from events.metrics import EventMetrics

BATCH: Final = 500
"""Most events numbered in one commit."""
POLL_SECONDS: Final = 0.1
"""How long an event may lie before it is seen. Polled, since events are committed in every process
and a NOTIFY in their units of work takes one lock for the whole cluster at each commit; an empty
pass reads one page of a small index."""
STANDBY_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 10
"""A holder that says nothing for so long (it hangs, its machine is gone) loses the lock."""
TROUBLE_SECONDS_MAX: Final = 15.0
LOCK: Final = 6_279_501_337_205_775  # any number, the same in every process

log = structlog.get_logger("counterfoil.sequencer")


class Sequencer:
    """One candidate. `numbered` is called after each commit that gave numbers."""

    def __init__(
        self,
        database: Database,
        rng: random.Random,
        metrics: EventMetrics,
        numbered: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._rng = rng
        self._metrics = metrics
        self._numbered = numbered
        self._troubles = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Number events, or stand by, until `stop` is set."""
        while not stop.is_set():
            try:
                async with self._database.session(
                    "sequencer", silent_seconds=SILENT_SECONDS
                ) as session:
                    await self._work(session, stop)
            except Exception:  # the edge of a worker loop
                self._troubles += 1
                log.exception("sequencer.failed")
                wait = full_jitter(self._rng, 0.5, self._troubles, TROUBLE_SECONDS_MAX)
                await wait_at_most(stop, wait)
            finally:
                self._metrics.holds.set(0)

    async def _work(self, session: Session, stop: asyncio.Event) -> None:
        while not await _take_lock(session):
            self._troubles = 0
            await wait_at_most(stop, STANDBY_SECONDS)
            if stop.is_set():
                return
        self._metrics.holds.set(1)
        log.info("sequencer.holds")
        while not stop.is_set():
            if await self._number(session) < BATCH:
                await wait_at_most(stop, POLL_SECONDS)

    async def _number(self, session: Session) -> int:
        """One pass, one commit; how many events got a number."""
        began_ns = moment()
        given: int = await session.fetchval("SELECT sequence_outbox($1)", BATCH)
        self._troubles = 0
        if given:
            kill_point("sequencer.numbered")
            self._metrics.numbered.inc(given)
            flow = Flow(str(new_id()), began_ns=began_ns)
            with root_span("sequencer.pass", flow, numbered=given):
                self._numbered()
        return given


async def _take_lock(session: Session) -> bool:
    return bool(await session.fetchval("SELECT pg_try_advisory_lock($1)", LOCK))
