"""What must hold under many callers, lost answers, repeated and altered webhooks.

Every scenario ends with the oracle: the provider's own log against the ledger.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from core.database import Database
from tests.torture.conftest import Launch, recorded, scaled
from tests.torture.fleet import Fleet
from tests.torture.scenarios import keys, limits, unknown, webhooks
from tests.torture.shop import Shop, open_shop

pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Ground:
    """One fleet for all scenarios; each has a tenant of its own on it."""

    fleet: Fleet
    database: Database

    async def run(
        self,
        name: str,
        scenario: Callable[[Shop], Awaitable[str]],
        *,
        patient_breaker: bool = False,
    ) -> None:
        """Run one scenario with the simulator on its best behaviour, and record it."""
        found: list[str] = []
        async with recorded(name, found):
            await self.fleet.calm_simulator()
            tenant = name.replace(" ", "-").replace(",", "")
            shop = await open_shop(
                self.fleet, self.database, tenant, patient_breaker=patient_breaker
            )
            found.append(await scenario(shop))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(launch: Launch) -> AsyncIterator[Ground]:
    async with launch(apis=2) as fleet, fleet.database() as database:
        yield Ground(fleet, database)


async def test_one_key_from_many_callers_charges_once(ground: Ground) -> None:
    await ground.run(
        "same key, 50 callers, 2 API processes",
        lambda shop: keys.same_key_many_callers(shop, scaled(1_000), 50),
    )


async def test_one_webhook_delivered_many_times_posts_once(ground: Ground) -> None:
    await ground.run(
        "one webhook, many deliveries",
        lambda shop: webhooks.one_webhook_many_times(shop, scaled(10_000)),
    )


async def test_six_events_in_any_order_end_in_one_state(ground: Ground) -> None:
    await ground.run(
        "six events in every order",
        lambda shop: webhooks.every_order(shop, scaled(720, 6)),
        patient_breaker=True,
    )


async def test_refunds_at_once_stay_within_the_capture(ground: Ground) -> None:
    await ground.run(
        "refunds at once",
        lambda shop: limits.refunds_of_one_payment(shop, scaled(200, 30)),
    )


async def test_captures_at_once_stay_within_the_authorization(ground: Ground) -> None:
    await ground.run(
        "captures at once",
        lambda shop: limits.captures_of_one_authorization(shop, scaled(200, 30)),
    )


async def test_a_lost_answer_is_resolved_and_never_charged_elsewhere(ground: Ground) -> None:
    await ground.run(
        "lost answers over two providers",
        lambda shop: unknown.lost_answers_over_two_providers(shop, scaled(500, 8)),
        patient_breaker=True,
    )


async def test_an_answer_after_a_lost_lease_still_counts(ground: Ground) -> None:
    await ground.run(
        "late answers after a lost lease",
        lambda shop: unknown.late_answers_after_a_lost_lease(shop, scaled(16, 8)),
        patient_breaker=True,
    )


async def test_an_altered_webhook_is_never_accepted(ground: Ground) -> None:
    await ground.run(
        "single-bit flips of a signed webhook",
        lambda shop: webhooks.flipped_bits(shop, scaled(10_000, 64)),
    )
