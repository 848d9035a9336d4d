"""The feed: tells who watches a payment in this process that something happened to it.

    outbox by sequence ──one reader a process──▶ {(tenant, payment): watches} ──▶ "look again"

A watch holds no events, only the fact that there was one: however slow its owner is, nothing piles
up, and who looks again sees the newest state. The place in the sequence is kept in memory and
begins at now: a watch is for what comes, its owner reads first what is.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from core.claims import full_jitter, wait_at_most
from core.database import Database
from core.identifiers import MalformedId, decode

BATCH: Final = 500
"""Most events read at once for each tenant."""
POLL_SECONDS: Final = 0.25
"""Where the sequencer is another process; one in this process says when there is something."""
TROUBLE_SECONDS_MAX: Final = 5.0

Topic: TypeAlias = tuple[int, UUID]
"""Tenant and payment."""

log = structlog.get_logger("counterfoil.feed")


class Watch:
    """One watcher of one payment."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait until something happened since the last call; many happenings may be one."""
        await self._changed.wait()
        self._changed.clear()

    def notify(self) -> None:
        """Something happened."""
        self._changed.set()


class Feed:
    """The watches of one process, and the loop that wakes them."""

    def __init__(self, database: Database, rng: random.Random) -> None:
        self._database = database
        self._rng = rng
        self._watches: defaultdict[Topic, set[Watch]] = defaultdict(set)
        self._watchers: defaultdict[int, int] = defaultdict(int)
        self._places: dict[int, int] = {}
        """The last sequence read, of each tenant that is watched."""
        self._look = asyncio.Event()

    def look(self) -> None:
        """There may be something to read: called by a sequencer in this process."""
        self._look.set()

    @asynccontextmanager
    async def watch(self, tenant_id: int, payment_id: UUID) -> AsyncIterator[Watch]:
        """Watch a payment: whatever is committed inside the block is told.

        Raises: DatabaseUnavailable.
        """
        watch, topic = Watch(), (tenant_id, payment_id)
        self._watches[topic].add(watch)
        self._watchers[tenant_id] += 1
        try:
            if tenant_id not in self._places:
                now = await self._last(tenant_id)
                # Another watch of the tenant may have begun meanwhile, and earlier.
                self._places.setdefault(tenant_id, now)
                self._look.set()
            yield watch
        finally:
            self._leave(topic, watch)

    def _leave(self, topic: Topic, watch: Watch) -> None:
        self._watches[topic].discard(watch)
        if not self._watches[topic]:
            del self._watches[topic]
        tenant_id, _ = topic
        self._watchers[tenant_id] -= 1
        if not self._watchers[tenant_id]:
            del self._watchers[tenant_id]
            self._places.pop(tenant_id, None)

    async def _last(self, tenant_id: int) -> int:
        async with self._database.unit_of_work(tenant_id) as tx:
            last = await tx.fetchval("SELECT last FROM outbox_counter")
        return last or 0

    async def follow(self) -> None:
        """Read and wake until cancelled. While nobody watches nothing is read."""
        troubles = 0
        while True:
            self._look.clear()
            try:
                full = await self._read() if self._places else False
                troubles = 0
            except Exception:  # the edge of a loop; the place stays, so nothing is missed
                troubles += 1
                full = False
                log.exception("feed.failed")
                await asyncio.sleep(full_jitter(self._rng, 0.5, troubles, TROUBLE_SECONDS_MAX))
            if not full:
                await wait_at_most(self._look, POLL_SECONDS if self._places else None)

    async def _read(self) -> bool:
        """Read on from each place; whether there may be more at once."""
        tenants, places = list(self._places), list(self._places.values())
        rows = await self._database.find_all(
            "SELECT * FROM follow_outbox($1, $2, $3)", tenants, places, BATCH
        )
        for row in rows:
            tenant_id = row["tenant_id"]
            if tenant_id in self._places:
                self._places[tenant_id] = max(self._places[tenant_id], row["sequence"])
            self._wake(tenant_id, row["payment_id"])
        return len(rows) >= BATCH

    def _wake(self, tenant_id: int, public_id: str | None) -> None:
        try:
            topic = (tenant_id, decode("pay", public_id or ""))
        except MalformedId:  # an event about something else
            return
        for watch in self._watches.get(topic, ()):
            watch.notify()
