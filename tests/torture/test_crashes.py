"""The processes die with payments on their way; after one restart each was charged once."""

import re
from collections.abc import Iterator

import pytest

from core.killpoints import EXIT_STATUS
from tests.torture.conftest import Launch, recorded, scaled
from tests.torture.fleet import ROOT
from tests.torture.scenarios.crashes import KILL_POINTS, killed_at, killed_at_random
from tests.torture.shop import open_shop

pytestmark = pytest.mark.timeout(1200)

_STAGES = re.compile(r'stage="(\w+)"|Change\(\s*"(\w+)"')


async def test_every_kill_point_leaves_one_effect_and_one_posting(launch: Launch) -> None:
    points = KILL_POINTS[: scaled(len(KILL_POINTS), 12)]
    async with launch(apis=1) as fleet, fleet.database() as database:
        for number, point in enumerate(points):
            found: list[str] = []
            async with recorded(f"killed at {point.name} ({point.victim}, {point.load})", found):
                shop = await open_shop(fleet, database, f"kill{number}", patient_breaker=True)
                found.append(await killed_at(shop, point))


async def test_random_kills_leave_one_effect_and_one_posting(launch: Launch) -> None:
    async with launch(apis=1) as fleet, fleet.database() as database:
        await fleet.tell_simulator("/_config", latency_ms=100)
        for seed in range(scaled(10, 2)):
            found: list[str] = []
            async with recorded(f"SIGKILL of API and worker, seed {seed}", found):
                shop = await open_shop(fleet, database, f"random{seed}", patient_breaker=True)
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
