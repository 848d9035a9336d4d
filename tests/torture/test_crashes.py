"""The processes die with payments on their way; after one restart each was charged once."""

import itertools
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from core.killpoints import EXIT_STATUS
from tests.torture.conftest import Launch, recorded, scaled
from tests.torture.fleet import ROOT, Fleet
from tests.torture.scenarios.crashes import (
    KILL_POINTS,
    KillPoint,
    killed_at,
    killed_at_random,
)
from tests.torture.shop import open_shop

pytestmark = pytest.mark.timeout(180)

POINTS = KILL_POINTS[:: max(1, len(KILL_POINTS) // scaled(len(KILL_POINTS), 4))]

_STAGES = re.compile(r'stage="(\w+)"|Change\(\s*"(\w+)"')


@pytest.fixture(scope="module")
def tenants() -> Iterator[int]:
    return itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(launch: Launch) -> AsyncIterator[Fleet]:
    """One API process and one worker, restarted by each test."""
    async with launch(apis=1) as started:
        yield started


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.name}-{point.victim}")
async def test_a_kill_point_leaves_one_effect_and_one_posting(
    fleet: Fleet, tenants: Iterator[int], point: KillPoint
) -> None:
    found: list[str] = []
    name = f"killed at {point.name} ({point.victim}, {point.load})"
    async with recorded(name, found), fleet.database() as database:
        await fleet.calm()
        tenant = f"killed-{next(tenants)}"
        shop = await open_shop(fleet, database, tenant, patient_breaker=True)
        found.append(await killed_at(shop, point))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", range(scaled(8, 1)))
async def test_a_random_kill_leaves_one_effect_and_one_posting(
    fleet: Fleet, tenants: Iterator[int], seed: int
) -> None:
    found: list[str] = []
    async with (
        recorded(f"SIGKILL of API and worker, seed {seed}", found),
        fleet.database() as database,
    ):
        await fleet.calm()
        tenant = f"random-{next(tenants)}"
        shop = await open_shop(fleet, database, tenant, patient_breaker=True)
        found.append(await killed_at_random(shop, seed))


def test_the_kill_points_exist_in_the_product() -> None:
    named = set(_kill_points())

    assert EXIT_STATUS == 137
    assert {point.name for point in KILL_POINTS} <= named
    assert len({(point.name, point.victim) for point in KILL_POINTS}) >= 12


def _kill_points() -> Iterator[str]:
    """Every name the product can die at; stages are named where the unit of work begins."""
    texts = [path.read_text() for path in (ROOT / "payments").glob("*.py")]
    stages = {name for text in texts for found in _STAGES.findall(text) for name in found if name}
    for text in texts:
        for name in re.findall(r'kill_point\(f?"([^"]+)"\)', text):
            for stage in stages | {"conclude"}:
                yield name.replace("{self.stage}", stage).replace("{stage}", stage)
