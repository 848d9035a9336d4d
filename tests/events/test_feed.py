"""Whoever watches a payment is told of everything that is committed while it watches."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.database import Database
from core.identifiers import new_id
from events import Event, Feed, Watch
from tests.conftest import add_tenant
from tests.events.telling import an_event, number, tell


@pytest.fixture
def database(fresh_database: Database) -> Database:
    return fresh_database


@pytest.fixture
def tenant_id(fresh_tenant_id: int) -> int:
    return fresh_tenant_id


@asynccontextmanager
async def feeding(database: Database) -> AsyncIterator[Feed]:
    feed = Feed(database, random.Random(1))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(feed.follow())
        yield feed
        following.cancel()


async def happen(database: Database, tenant_id: int, *events: Event) -> None:
    await tell(database, tenant_id, *events)
    async with database.session("test", silent_seconds=10) as session:
        await number(session)


async def is_told(watch: Watch) -> bool:
    async with asyncio.timeout(10):
        await watch.changed()
    return True


async def test_every_watch_of_a_payment_is_told_and_no_other(
    database: Database, tenant_id: int, fresh_admin_url: str
) -> None:
    id, other_tenant = new_id(), add_tenant(fresh_admin_url)
    async with (
        feeding(database) as feed,
        feed.watch(tenant_id, id) as one,
        feed.watch(tenant_id, id) as two,
        feed.watch(tenant_id, new_id()) as of_another_payment,
        feed.watch(other_tenant, id) as of_another_tenant,
    ):
        await happen(database, tenant_id, an_event(id=id))

        assert await is_told(one)
        assert await is_told(two)
        assert not of_another_payment._changed.is_set()
        assert not of_another_tenant._changed.is_set()


async def test_what_was_committed_before_its_number_is_told_too(
    database: Database, tenant_id: int
) -> None:
    """The state read first may lack it or not: told once too often does no harm."""
    id = new_id()
    await happen(database, tenant_id, an_event())
    await tell(database, tenant_id, an_event(id=id))
    async with feeding(database) as feed, feed.watch(tenant_id, id) as watch:
        await happen(database, tenant_id)

        assert await is_told(watch)


async def test_what_happens_many_times_to_who_does_not_look_is_one_thing(
    database: Database, tenant_id: int
) -> None:
    id, marker = new_id(), new_id()
    async with (
        feeding(database) as feed,
        feed.watch(tenant_id, id) as watch,
        feed.watch(tenant_id, marker) as end,
    ):
        await happen(database, tenant_id, *(an_event(id=id) for _ in range(50)))
        await happen(database, tenant_id, an_event(id=marker))
        assert await is_told(end)

        assert await is_told(watch)
        assert not watch._changed.is_set()


async def test_more_events_than_one_read_holds_are_all_told(
    database: Database, tenant_id: int
) -> None:
    id = new_id()
    async with feeding(database) as feed, feed.watch(tenant_id, id) as watch:
        for _ in range(3):
            await happen(database, tenant_id, *(an_event() for _ in range(400)))
        await happen(database, tenant_id, an_event(id=id))

        assert await is_told(watch)


async def test_a_feed_that_lost_the_database_goes_on_where_it_was(
    database: Database, tenant_id: int
) -> None:
    id = new_id()
    async with feeding(database) as feed, feed.watch(tenant_id, id) as watch:
        await tell(database, tenant_id, an_event(id=id))
        async with database.session("test", silent_seconds=10) as session:
            await session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'counterfoil' AND datname = current_database()"
            )
            await number(session)

        assert await is_told(watch)


async def test_nothing_is_kept_of_who_left(database: Database, tenant_id: int) -> None:
    async with feeding(database) as feed:
        for _ in range(3):
            async with feed.watch(tenant_id, new_id()):
                assert list(feed._places) == [tenant_id]

        assert not feed._places
        assert not feed._watches
        assert not feed._watchers
