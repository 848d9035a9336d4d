"""Every committed event gets one number, in the order of commits of what it is about."""

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from core.database import Database
from core.identifiers import new_id
from events import EventMetrics, Sequencer, append, measure_outbox
from events.sequencer import LOCK
from tests.conftest import add_tenant
from tests.events.telling import an_event, number, sequences, tell, until, waiting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(fresh_database: Database) -> Database:
    return fresh_database


@pytest.fixture
def tenant_id(fresh_tenant_id: int) -> int:
    return fresh_tenant_id


@pytest.fixture
def metrics() -> EventMetrics:
    return EventMetrics(CollectorRegistry())


@asynccontextmanager
async def sequencing(
    database: Database, metrics: EventMetrics | None = None
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    some = metrics or EventMetrics(CollectorRegistry())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Sequencer(database, random.Random(1), some).run(stop))
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def another_process(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.events.holder",
        url,
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Tellers:
    """Writers that lock what they tell of, as use cases do, and a reader that follows."""

    def __init__(self, database: Database, tenant_id: int, seed: int) -> None:
        self.database = database
        self.tenant_id = tenant_id
        self.rng = random.Random(seed)
        self.told: dict[UUID, int] = {new_id(): 0 for _ in range(4)}
        self.read: list[tuple[int, UUID, int]] = []

    async def tell_some(self, rounds: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(6):
                tasks.create_task(self._tell(rounds))

    async def _tell(self, rounds: int) -> None:
        for _ in range(rounds):
            id = self.rng.choice(list(self.told))
            with suppress(ZeroDivisionError):
                async with self.database.unit_of_work(self.tenant_id) as tx:
                    await tx.execute("SELECT pg_advisory_xact_lock(hashtext($1))", str(id))
                    events = [an_event(id=id, version=self.told[id] + n) for n in (1, 2)]
                    await append(tx, self.tenant_id, *events)
                    await tx.execute("SELECT pg_sleep($1)", self.rng.choice([0, 0, 0.005]))
                    if self.rng.random() < 0.2:
                        raise ZeroDivisionError
                    self.told[id] += 2

    async def follow(self) -> None:
        """Read what is behind the last number read, for ever: as every reader does."""
        last = 0
        while True:
            async with self.database.unit_of_work(self.tenant_id) as tx:
                rows = await tx.fetch(
                    "SELECT sequence, aggregate_id, (payload ->> 'version')::INT AS version"
                    "  FROM outbox WHERE sequence > $1 ORDER BY sequence",
                    last,
                )
            self.read += [(row["sequence"], row["aggregate_id"], row["version"]) for row in rows]
            last = self.read[-1][0] if self.read else 0
            await asyncio.sleep(0.002)

    async def check(self) -> None:
        """No gap, no double, commit order of each aggregate, and the reader missed nothing."""
        everything = await sequences(self.database, self.tenant_id)
        assert list(everything) == list(range(1, sum(self.told.values()) + 1))
        by_aggregate = defaultdict(list)
        for id, version in everything.values():
            by_aggregate[id].append(version)
        for id, versions in by_aggregate.items():
            assert versions == list(range(1, self.told[id] + 1))
        await until(lambda: self._has_read(len(everything)))
        assert self.read == [(n, *told) for n, told in everything.items()]

    async def _has_read(self, count: int) -> bool:
        return len(self.read) >= count


async def is_done(database: Database) -> bool:
    return await waiting(database) == 0


@pytest.mark.parametrize("seed", range(3))
async def test_numbers_follow_commits_without_gaps_and_readers_miss_nothing(
    database: Database, tenant_id: int, seed: int
) -> None:
    tellers = Tellers(database, tenant_id, seed)
    async with sequencing(database), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(tellers.follow())

        await tellers.tell_some(20)
        await until(lambda: is_done(database))

        await tellers.check()
        reading.cancel()


async def test_the_next_one_takes_over_when_the_sequencer_is_killed(
    database: Database, tenant_id: int, fresh_database_url: str
) -> None:
    tellers = Tellers(database, tenant_id, 7)
    async with (
        another_process(fresh_database_url) as first,
        asyncio.TaskGroup() as tasks,
    ):
        reading = tasks.create_task(tellers.follow())
        await tellers.tell_some(1)
        await until(lambda: is_done(database))
        async with another_process(fresh_database_url), sequencing(database):
            telling = tasks.create_task(tellers.tell_some(30))
            read = len(tellers.read)
            await until(lambda: tellers._has_read(read + 10))

            first.kill()

            await telling
            await until(lambda: is_done(database))
            await tellers.check()
        reading.cancel()


async def test_an_event_committed_late_under_a_lower_id_still_gets_a_number(
    database: Database, tenant_id: int
) -> None:
    early, late = an_event(), an_event()
    async with database.session("test", silent_seconds=10) as session:
        async with database.unit_of_work(tenant_id) as tx:
            await append(tx, tenant_id, late)
            await tell(database, tenant_id, early)
            assert await number(session) == 1
        assert await number(session) == 1
        assert await number(session) == 0

    found = await sequences(database, tenant_id)
    assert [(n, id) for n, (id, _) in found.items()] == [
        (1, early.subject_id),
        (2, late.subject_id),
    ]


async def test_two_that_number_at_once_give_no_number_twice(
    database: Database, tenant_id: int
) -> None:
    """The lock on the session keeps them apart; where that fails, the counter still does."""
    async with (
        database.session("one", silent_seconds=10) as one,
        database.session("other", silent_seconds=10) as other,
    ):
        for _ in range(40):
            await tell(database, tenant_id, *(an_event() for _ in range(5)))
            given = await asyncio.gather(number(one, 3), number(other, 3))
            assert sum(given) >= 3

        while await number(one):
            pass

    assert list(await sequences(database, tenant_id)) == list(range(1, 201))


async def test_each_tenant_counts_for_itself(
    database: Database, tenant_id: int, fresh_admin_url: str
) -> None:
    other = add_tenant(fresh_admin_url)
    for teller in (tenant_id, other, tenant_id):
        await tell(database, teller, an_event(), an_event())

    async with database.session("test", silent_seconds=10) as session:
        assert [await number(session, 4) for _ in range(3)] == [4, 2, 0]

    assert list(await sequences(database, tenant_id)) == [1, 2, 3, 4]
    assert list(await sequences(database, other)) == [1, 2]


async def test_only_one_is_the_sequencer_and_the_other_takes_over(
    database: Database, fresh_admin_url: str
) -> None:
    both = [EventMetrics(CollectorRegistry()) for _ in range(2)]
    find = (
        "SELECT a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
        " WHERE l.locktype = 'advisory' AND a.datname = current_database()"
        " AND (l.classid::BIGINT << 32 | l.objid::BIGINT) = %s AND l.granted"
    )

    def held() -> list[float]:
        return sorted(one.holds._value.get() for one in both)

    async def is_held() -> bool:
        return held() == [0, 1]

    async with sequencing(database, both[0]), sequencing(database, both[1]):
        await until(is_held)
        with psycopg.connect(fresh_admin_url, autocommit=True) as admin:
            (holder,) = admin.execute(find.encode(), [LOCK]).fetchall()
            first = both[0].holds._value.get()
            admin.execute("SELECT pg_terminate_backend(%s)", list(holder))

            async def has_changed_hands() -> bool:
                rows = admin.execute(find.encode(), [LOCK]).fetchall()
                return bool(rows) and rows[0] != holder

            await until(has_changed_hands)
        await until(is_held)

    assert first in {0.0, 1.0}
    assert held() == [0, 0]


async def test_a_number_is_final_and_only_the_sequencer_gives_one(
    database: Database, tenant_id: int, fresh_admin_url: str
) -> None:
    await tell(database, tenant_id, an_event())
    async with database.session("test", silent_seconds=10) as session:
        await number(session)

    with (
        psycopg.connect(fresh_admin_url) as admin,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        admin.execute("UPDATE outbox SET sequence = 2")
    for write in (
        "UPDATE outbox SET sequence = 2",
        "UPDATE outbox_counter SET last = 9",
        "INSERT INTO outbox (tenant_id, sequence) VALUES (1, 1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.unit_of_work(tenant_id) as tx:
                await tx.execute(write)


async def test_how_far_the_sequencer_is_behind_is_measured(
    database: Database, tenant_id: int, metrics: EventMetrics
) -> None:
    await tell(database, tenant_id, an_event(), an_event())

    await measure_outbox(database, metrics)
    behind, oldest = metrics.waiting._value.get(), metrics.oldest_seconds._value.get()
    async with database.session("test", silent_seconds=10) as session:
        await number(session)
    await measure_outbox(database, metrics)

    assert behind == 2
    assert 0 < oldest < 60
    assert metrics.waiting._value.get() == metrics.oldest_seconds._value.get() == 0
