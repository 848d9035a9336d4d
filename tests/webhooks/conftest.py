"""A tenant with two simulator accounts, and the desk its callbacks come to."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.payments.conftest import process, world
from tests.payments.world import World
from tests.webhooks.desk import Desk, a_desk

__all__ = ["desk", "process", "world"]


@pytest.fixture
def desk(world: World) -> Desk:
    return a_desk(world)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged. Tracebacks drawn for a screen take seconds each."""
    with capture_logs() as entries:
        yield entries
