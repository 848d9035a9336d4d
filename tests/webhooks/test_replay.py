"""Stored callbacks are put back into the queue: those asked for, of one tenant, by many at once."""

import asyncio
import random
from typing import Any

from tests.webhooks.desk import Desk, an_event
from webhooks.processor import replay


async def test_replay_knows_only_the_rows_of_its_tenant(desk: Desk) -> None:
    await desk.deliver(an_event())
    row: Any = await desk.only()
    async with desk.world.database.unit_of_work(desk.world.tenant_id + 1_000_000) as tx:
        found = await replay(tx, desk.world.tenant_id, [row["id"]], desk.world.clock.now())

    assert found == []


async def test_those_who_replay_the_same_rows_in_other_orders_do_not_block_each_other(
    desk: Desk,
) -> None:
    for _ in range(40):
        await desk.deliver(an_event())
    ids = [row["id"] for row in await desk.inbox()]
    world = desk.world

    async def replay_shuffled(seed: int) -> int:
        order = random.Random(seed).sample(ids, len(ids))
        async with world.database.unit_of_work(world.tenant_id) as tx:
            return len(await replay(tx, world.tenant_id, order, world.clock.now()))

    for _ in range(15):
        assert await asyncio.gather(*map(replay_shuffled, range(8))) == [40] * 8
