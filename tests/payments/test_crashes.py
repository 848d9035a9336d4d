"""The process dies at a named place; another one goes on: one effect, booked once."""

from typing import Any

import pytest

from core.killpoints import EXIT_STATUS
from payments.advance import PaymentWork
from tests.payments import crash
from tests.payments.world import World, a_key


async def die(url: str, world: World, kill_at: str, **wanted: Any) -> int | None:
    """Do it in another process that is killed at `kill_at`; how it ended."""
    return await crash.die(kill_at, {"url": url, "tenant_id": world.tenant_id, **wanted})


CREATE = [
    "create.key_written",
    "create.rows_written",
    "create.before_commit",
    "create.committed",
    "provider.before_bytes",
    "provider.answered",
    "conclude.rows_written",
    "conclude.before_commit",
    "conclude.committed",
    "answer.before",
]


@pytest.mark.parametrize("kill_at", CREATE)
async def test_a_payment_survives_the_death_of_its_process(
    world: World, database_url: str, kill_at: str
) -> None:
    key = a_key()
    assert await die(database_url, world, kill_at, do="create", key=key) == EXIT_STATUS
    for row in await world.rows("SELECT id FROM payment WHERE tenant_id = $1", world.tenant_id):
        await world.later(row["id"], rounds=2)

    payment_id = await world.pay(key=key)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert world.effects() == [("charge", 1000)]
    assert (await world.events(payment_id)).count("payment.captured") == 1
    await world.check()


@pytest.mark.parametrize(
    ("do", "kill_at"),
    [
        ("capture", "capture.before_commit"),
        ("capture", "capture.committed"),
        ("capture", "provider.answered"),
        ("refund", "refund.rows_written"),
        ("refund", "refund.committed"),
        ("refund", "provider.answered"),
        ("refund", "conclude.before_commit"),
    ],
)
async def test_a_step_survives_the_death_of_its_process(
    world: World, database_url: str, do: str, kill_at: str
) -> None:
    key = a_key()
    payment_id = await (world.authorize() if do == "capture" else world.pay())
    wanted = {"do": do, "key": key, "payment_id": str(payment_id)}
    assert await die(database_url, world, kill_at, **wanted) == EXIT_STATUS
    await world.later(payment_id, rounds=2)

    if do == "capture":
        await world.capture(payment_id, 1000, key=key)
    else:
        await world.refund(payment_id, key=key)

    kind = "capture" if do == "capture" else "refund"
    assert [effect for effect in world.effects() if effect[0] == kind] == [(kind, 1000)]
    await world.check()


@pytest.mark.parametrize(
    "kill_at",
    [
        "lookup.before",
        "lookup.answered",
        "resend.before",
        "resend.answered",
        "resolve.before_commit",
        "resolve.committed",
    ],
)
async def test_finding_out_survives_the_death_of_the_worker(
    world: World, database_url: str, kill_at: str
) -> None:
    world.simulator.fault("drop_before", match={"method": "POST"}, times=1)
    payment_id = await world.pay()
    await world.make_due(payment_id)
    operation = await world.operation(payment_id)
    claims = await PaymentWork(world.services).claim(100)
    (claim,) = [claim for claim in claims if claim.id == operation.id]
    # In a while, since at first "not found" means nothing.
    wanted = {"do": "advance", "operation_id": str(claim.id), "fence": claim.fence, "later": 10}
    assert await die(database_url, world, kill_at, **wanted) == EXIT_STATUS

    await world.later(payment_id, rounds=2)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert world.effects() == [("charge", 1000)]
    await world.check()
