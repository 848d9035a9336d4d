"""The claim loop: bounded, stoppable, not stopped by a failing row or a database that is away."""

import asyncio
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from core.claims import Claim, ClaimLoop, full_jitter, lease
from core.identifiers import new_id


@dataclass
class Rows:
    """Work in memory: rows are due until they were advanced."""

    due: list[Claim]
    done: list[Claim] = field(default_factory=list)
    running: int = 0
    most: int = 0
    troubles: int = 0
    poison: Claim | None = None
    hold: asyncio.Event | None = None

    async def claim(self, limit: int) -> Sequence[Claim]:
        if self.troubles:
            self.troubles -= 1
            raise ConnectionError
        taken, self.due = self.due[:limit], self.due[limit:]
        return taken

    async def advance(self, claim: Claim) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await (self.hold.wait() if self.hold else asyncio.sleep(0))
            if claim == self.poison:
                raise ValueError(claim)
            self.done.append(claim)
        finally:
            self.running -= 1


def claims(count: int) -> list[Claim]:
    return [Claim(1, new_id(), 1) for _ in range(count)]


def a_loop(rows: Rows, concurrency: int = 4) -> ClaimLoop:
    return ClaimLoop("test", rows, random.Random(1), concurrency=concurrency, poll_seconds=0.01)


async def until(rows: Rows, count: int) -> None:
    async with asyncio.timeout(5):
        while len(rows.done) < count:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.001)


async def test_everything_due_is_advanced_with_bounded_concurrency() -> None:
    rows = Rows(claims(50))
    loop = a_loop(rows)
    running = asyncio.create_task(loop.run())

    await until(rows, 50)
    loop.stop()
    await running

    assert rows.most <= 4


async def test_a_row_that_fails_does_not_stop_the_others() -> None:
    due = claims(10)
    rows = Rows(list(due), poison=due[3])
    loop = a_loop(rows)
    running = asyncio.create_task(loop.run())

    await until(rows, 9)
    loop.stop()
    await running

    assert due[3] not in rows.done


async def test_a_database_that_is_away_is_waited_for() -> None:
    rows = Rows(claims(3), troubles=3)
    loop = a_loop(rows)
    running = asyncio.create_task(loop.run())

    await until(rows, 3)
    loop.stop()
    await running


async def test_a_stop_lets_what_runs_come_to_its_end() -> None:
    rows = Rows(claims(4), hold=asyncio.Event())
    loop = a_loop(rows)
    running = asyncio.create_task(loop.run(drain_seconds=5))
    async with asyncio.timeout(5):
        while rows.running < 4:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.001)
    assert rows.hold is not None

    loop.stop()
    rows.hold.set()
    await running

    assert len(rows.done) == 4


async def test_what_does_not_end_is_cut_off_at_the_deadline() -> None:
    rows = Rows(claims(2), hold=asyncio.Event())
    loop = a_loop(rows)
    running = asyncio.create_task(loop.run(drain_seconds=0.05))
    async with asyncio.timeout(5):
        while rows.running < 2:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.001)

    loop.stop()
    await running

    assert (rows.done, rows.running) == ([], 0)


def test_a_wake_up_while_all_hands_are_full_leaves_the_event_loop_free() -> None:
    """In a thread, since a loop that spins would never come back to say so."""
    came_back = threading.Event()

    async def wake_a_full_loop() -> None:
        rows = Rows(claims(1), hold=asyncio.Event())
        loop = a_loop(rows, concurrency=1)
        running = asyncio.create_task(loop.run())
        while not rows.running:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.001)
        loop.wake.set()
        await asyncio.sleep(0.01)
        assert rows.hold is not None
        rows.hold.set()
        await until(rows, 1)
        loop.stop()
        await running
        came_back.set()

    threading.Thread(target=lambda: asyncio.run(wake_a_full_loop()), daemon=True).start()

    assert came_back.wait(10)


async def test_a_wake_up_ends_the_wait() -> None:
    rows = Rows([])
    loop = ClaimLoop("test", rows, random.Random(1), poll_seconds=60)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0.01)

    rows.due = claims(1)
    loop.wake.set()
    await until(rows, 1)
    loop.stop()
    await running


@given(st.integers(0, 100), st.floats(0.001, 10), st.randoms())
def test_a_wait_never_exceeds_its_cap(tries: int, base: float, rng: random.Random) -> None:
    assert 0 <= full_jitter(rng, base, tries, 30.0) <= 30.0


def test_a_lease_is_a_duration() -> None:
    assert lease(35).total_seconds() == 35
