"""A tenant that has payments, and clients that ask about them."""

from collections.abc import AsyncIterator

import pytest

from core.database import Database
from tests.payments.conftest import process
from tests.payments.world import World, a_world
from tests.resolvers.asking import Api, an_api
from tests.simulator.process import SimulatorProcess

__all__ = ["process"]


@pytest.fixture
async def world(
    database: Database, tenant_id: int, process: SimulatorProcess
) -> AsyncIterator[World]:
    async with a_world(database, tenant_id, process) as made:
        yield made


@pytest.fixture
def api(world: World) -> Api:
    """A server of the tenant with a key that may do everything."""
    return an_api(world)
