"""One simulator process a module; tests use accounts of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.process import SimulatorProcess


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    with SimulatorProcess(folder) as running:
        yield running


@pytest.fixture
def simulator(process: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The module's process, with no fault script, delay or webhook policy before or after."""
    yield process
    process.client.delete("/_faults").raise_for_status()
    process.control("/_webhooks")
    process.control("/_config", latency_ms=0, pending_delay_ms=1000)
