"""One simulator process a module; each test has a tenant and two accounts of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.database import Database
from tests.payments.world import World, a_world
from tests.simulator.process import SimulatorProcess


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    with SimulatorProcess(folder) as running:
        yield running


@pytest.fixture
async def world(
    database: Database, tenant_id: int, process: SimulatorProcess
) -> AsyncIterator[World]:
    async with a_world(database, tenant_id, process) as made:
        yield made
    process.client.delete("/_faults").raise_for_status()
