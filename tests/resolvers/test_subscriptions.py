"""A payment that is watched: nothing falls between looking and watching, nothing goes back."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from core.identifiers import encode, new_id
from events import Feed, Watch
from payments.errors import NotFound
from resolvers.context import Context, Services
from resolvers.subscriptions import payment_changed
from tests.payments.world import World
from tests.resolvers.asking import Asker


class BusyFeed(Feed):
    """One in which a payment is confirmed just after its watch has begun."""

    def __init__(self, world: World) -> None:
        super().__init__(world.services.database, random.Random(1))
        self.world = world

    @asynccontextmanager
    async def watch(self, tenant_id: int, payment_id: UUID) -> AsyncIterator[Watch]:
        async with super().watch(tenant_id, payment_id) as watch:
            await self.world.confirm(payment_id, "tok_success")
            yield watch


def a_context(world: World, feed: Feed) -> Context:
    services = Services(world.services, feed)
    return Context(Asker(world.tenant_id, new_id()), services, "req-test")


async def test_a_change_while_the_watch_begins_is_in_the_first_state(world: World) -> None:
    payment_id = await world.pay(confirm=False)
    states = await payment_changed(a_context(world, BusyFeed(world)), encode("pay", payment_id))

    first = await anext(states)
    await states.aclose()

    assert first.status == "CAPTURED"


async def test_who_watches_nothing_is_told_and_leaves_nothing_behind(world: World) -> None:
    feed = Feed(world.services.database, random.Random(1))

    for id in (encode("pay", new_id()), "pay_1", "x"):
        with pytest.raises(NotFound):
            await anext(await payment_changed(a_context(world, feed), id))

    assert not feed._watches
    assert not feed._places
