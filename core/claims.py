"""Durable work: rows are the queue, a claim is a lease with a fence, one loop serves them all.

    claim (a committed unit of work) ──▶ advance each, so many at once ──▶ claim again
              ▲                                                     │
              └──── nothing due: wait for a wake-up or the poll ◀────┘

A claim that is cut off (kill, crash, lost connection) costs nothing but its lease: afterwards the
row is due again, and the raised fence keeps the late worker from sending or rescheduling.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog

log = structlog.get_logger()

POLL_SECONDS: Final = 0.5
"""How long an idle loop waits before it looks again by itself."""
TROUBLE_SECONDS_MAX: Final = 15.0
"""Longest wait after a claim failed (the database is away)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One leased row. `fence` was raised by this claim; whoever shows an older one is too late."""

    tenant_id: int
    id: UUID
    fence: int


class Work(Protocol):
    """A kind of durable work."""

    async def claim(self, limit: int) -> Sequence[Claim]:
        """Lease at most `limit` due rows, in a unit of work of its own."""
        ...

    async def advance(self, claim: Claim) -> None:
        """Take one claimed row one step further."""
        ...


def full_jitter(rng: random.Random, base_seconds: float, tries: int, cap_seconds: float) -> float:
    """A wait anywhere between nothing and a doubling bound, so that retries do not meet.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return rng.uniform(0, min(cap_seconds, base_seconds * 2 ** min(tries, 32)))


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> None:
    """Return when the event is set or the time is over; None waits without an end."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


@dataclass(slots=True, eq=False)
class ClaimLoop:
    """Runs one kind of work until it is stopped; any number of them may run, anywhere."""

    name: str
    work: Work
    rng: random.Random
    concurrency: int = 16
    poll_seconds: float = POLL_SECONDS
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by whoever knows that work has just arrived in this process."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _troubles: int = 0

    async def run(self, drain_seconds: float = 15.0) -> None:
        """Claim and advance until `stop`; then let what runs come to its end, within limits."""
        try:
            while not self._stopping.is_set():
                claimed = await self._claim()
                for claim in claimed:
                    self._start(claim)
                await self._pause(found_some=bool(claimed))
        finally:
            await self._drain(drain_seconds)

    def stop(self) -> None:
        """Claim nothing more; `run` returns once what is running has ended."""
        self._stopping.set()
        self.wake.set()

    async def run_once(self) -> int:
        """Claim what is due now, advance all of it, and return how many that were."""
        claimed = await self.work.claim(self.concurrency)
        await asyncio.gather(*(self._advance(claim) for claim in claimed))
        return len(claimed)

    async def _claim(self) -> Sequence[Claim]:
        # First of all: a wake-up that stays set would let a full loop spin and never yield.
        self.wake.clear()
        free = self.concurrency - len(self._running)
        if free <= 0:
            return ()
        try:
            claimed = await self.work.claim(free)
        except Exception:  # the edge of a worker loop
            self._troubles += 1
            log.exception("claims.claim_failed", work=self.name)
            return ()
        self._troubles = 0
        return claimed

    def _start(self, claim: Claim) -> None:
        task = asyncio.create_task(self._advance(claim), name=f"{self.name}:{claim.id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake.set()

    async def _advance(self, claim: Claim) -> None:
        """The edge of the loop: a failure of one row is logged; its lease brings it back."""
        try:
            await self.work.advance(claim)
        except Exception:  # the edge of a worker loop
            log.exception("claims.advance_failed", work=self.name, id=str(claim.id))

    async def _pause(self, *, found_some: bool) -> None:
        if found_some and len(self._running) < self.concurrency:
            await asyncio.sleep(0)
            return
        wait = self.poll_seconds
        if self._troubles:
            wait += full_jitter(self.rng, self.poll_seconds, self._troubles, TROUBLE_SECONDS_MAX)
        await wait_at_most(self.wake, wait)

    async def _drain(self, seconds: float) -> None:
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=5)


def lease(seconds: float) -> timedelta:
    """A lease as PostgreSQL takes it."""
    return timedelta(seconds=seconds)
