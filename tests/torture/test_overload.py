"""What one API process does when it is asked for too much, or for what is meant to hurt."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from tests.torture.conftest import Launch, recorded, scaled
from tests.torture.scenarios import hostile, overload
from tests.torture.shop import Shop, open_shop

pytestmark = pytest.mark.timeout(600)


async def run(
    launch: Launch,
    name: str,
    scenario: Callable[[Shop], Awaitable[str]],
    extra: Mapping[str, str] | None = None,
) -> None:
    """One scenario on a fleet of its own with one API process."""
    found: list[str] = []
    async with (
        recorded(name, found),
        launch(apis=1, extra=extra) as fleet,
        fleet.database() as database,
    ):
        shop = await open_shop(fleet, database, "overload", patient_breaker=True)
        found.append(await scenario(shop))


async def test_five_times_too_much_is_shed_and_the_rest_is_done(launch: Launch) -> None:
    await run(
        launch,
        "five times too many requests",
        lambda shop: overload.five_times_too_much(shop, scaled(60, 8)),
    )


async def test_a_small_pool_refuses_soon_and_webhooks_come_in(launch: Launch) -> None:
    await run(
        launch,
        "many clients, few connections",
        lambda shop: overload.small_pool(shop, scaled(500, 100), scaled(60, 8)),
        {"COUNTERFOIL_POOL_SIZE": "5"},
    )


async def test_hostile_documents_hurt_nobody_else(launch: Launch) -> None:
    await run(
        launch,
        "hostile documents",
        lambda shop: hostile.hostile_documents(shop, scaled(500, 60)),
    )


async def test_no_malformed_body_is_our_fault(launch: Launch) -> None:
    await run(
        launch,
        "malformed bodies",
        lambda shop: hostile.malformed_bodies(shop, scaled(20_000, 500)),
        {"COUNTERFOIL_BROWSER_REQUESTS_PER_SECOND": "0"},
    )


async def test_slow_connections_hurt_nobody_else(launch: Launch) -> None:
    await run(
        launch,
        "slow connections, 200 MB",
        lambda shop: hostile.slow_connections(shop, scaled(300, 60)),
    )
