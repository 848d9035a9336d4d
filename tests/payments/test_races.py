"""Many callers at once: one effect for one intent, never more out than came in."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from core.database import Database
from core.money import Money
from payments import Actor, CapturePayment, capture, create
from payments.errors import (
    AmountExceeded,
    IdempotencyKeyReused,
    OperationInProgress,
    VersionConflict,
)
from tests.payments.world import World, a_key, a_payment


async def outcomes(*calls: Any) -> Counter[str]:
    """What became of calls made at once: "done", or the name of the error."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not hasattr(result, "code"):
            raise result
    return Counter(
        type(result).__name__ if isinstance(result, BaseException) else "done" for result in results
    )


async def test_fifty_identical_requests_have_one_effect(world: World) -> None:
    key = a_key()

    counted = await outcomes(*(world.pay(key=key) for _ in range(50)))

    assert set(counted) <= {"done", "OperationInProgress"}
    assert counted["done"] >= 1
    assert world.effects() == [("charge", 1000)]
    replayed = await create(a_payment(key=key), world.actor, world.services)
    assert replayed.replayed
    rows = await world.rows("SELECT id FROM payment WHERE tenant_id = $1", world.tenant_id)
    assert [row["id"] for row in rows] == [replayed.payment_id]
    await world.check()


async def test_a_key_belongs_to_its_input_and_names_what_differs(world: World) -> None:
    key = a_key()
    await world.pay(key=key, reference="a")

    with pytest.raises(IdempotencyKeyReused) as refused:
        await world.pay(key=key, amount=1001, reference="b")

    assert refused.value.differing_paths == ("amount", "reference")
    assert world.effects() == [("charge", 1000)]


async def test_the_order_of_fields_is_no_difference(world: World) -> None:
    command = a_payment(reference="same", country="DE")
    first = await create(command, world.actor, world.services)
    turned = dict(reversed(list(command.canonical_input.items())))

    again = await create(replace(command, canonical_input=turned), world.actor, world.services)

    assert (again.payment_id, again.replayed) == (first.payment_id, True)


async def test_another_scope_has_keys_of_its_own(world: World) -> None:
    key = a_key()
    first = await world.pay(key=key)
    browser = Actor(world.tenant_id, "client", "pay_of_somebody", "request-browser")

    second = await create(a_payment(key=key), browser, world.services)

    assert second.payment_id != first
    assert len(world.effects()) == 2


async def test_of_200_refunds_of_10_on_100_exactly_10_succeed(world: World) -> None:
    payment_id = await world.pay(amount=100)

    counted = await outcomes(*(world.refund(payment_id, 10) for _ in range(200)))

    assert counted == {"done": 10, "AmountExceeded": 190}
    assert Counter(world.effects()) == {("charge", 100): 1, ("refund", 10): 10}
    assert (await world.see(payment_id)).payment.refunded == 100
    assert await world.balance("income:sales") == (0, 0)
    await world.check()


async def test_parallel_captures_never_exceed_the_authorization(world: World) -> None:
    payment_id = await world.authorize(100)

    counted = await outcomes(*(world.capture(payment_id, 10, final=False) for _ in range(30)))

    assert counted["done"] == 10
    assert set(counted) <= {"done", "AmountExceeded", "InvalidState"}
    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert Counter(world.effects())[("capture", 10)] == 10
    await world.check()


async def test_two_confirmations_charge_once(world: World) -> None:
    payment_id = await world.pay(confirm=False)

    counted = await outcomes(*(world.confirm(payment_id) for _ in range(10)))

    assert counted["done"] == 1
    assert world.effects() == [("charge", 1000)]
    await world.check()


async def test_a_capture_and_a_cancel_cannot_both_win(world: World) -> None:
    for _ in range(5):
        payment_id = await world.authorize(100)
        await outcomes(world.capture(payment_id), world.cancel(payment_id))
        seen = await world.see(payment_id)
        assert seen.payment.status in {"CAPTURED", "CANCELED"}
    await world.check()


async def test_a_stale_version_is_refused(world: World) -> None:
    payment_id = await world.authorize()
    version = (await world.see(payment_id)).payment.version
    command = CapturePayment(
        a_key(), {"v": 1}, payment_id, Money(100, "EUR"), expected_version=version - 1
    )

    with pytest.raises(VersionConflict) as refused:
        await capture(command, world.actor, world.services)

    assert (refused.value.expected, refused.value.actual) == (version - 1, version)


async def test_a_first_request_still_running_is_said_to_be(world: World) -> None:
    world.simulator.fault("slow", delay_ms=600, times=1)
    key = a_key()
    first = asyncio.create_task(world.pay(key=key))
    begun = "SELECT 1 FROM payment WHERE tenant_id = $1"
    while not await world.rows(begun, world.tenant_id):  # noqa: ASYNC110 - seen from outside
        await asyncio.sleep(0.01)

    with pytest.raises(OperationInProgress) as refused:
        await world.pay(key=key)

    payment_id = await first
    assert refused.value.resource == ("pay", payment_id)
    assert await world.pay(key=key) == payment_id
    assert world.effects() == [("charge", 1000)]


async def test_a_rejected_refund_leaves_the_payment_alone(world: World) -> None:
    payment_id: UUID = await world.pay()
    before = await world.see(payment_id)

    with pytest.raises(AmountExceeded):
        await world.refund(payment_id, 1001)

    assert await world.see(payment_id) == before


async def test_workers_do_not_take_the_same_operation_twice(
    world: World, database: Database
) -> None:
    world.simulator.fault("drop_after", match={"method": "POST"}, times=8)
    payments = [await world.pay() for _ in range(8)]
    for payment_id in payments:
        await world.make_due(payment_id)

    await asyncio.gather(*(world.work() for _ in range(6)))
    for payment_id in payments:
        await world.later(payment_id)

    assert world.effects() == [("charge", 1000)] * 8
    for payment_id in payments:
        assert (await world.see(payment_id)).payment.status == "CAPTURED"
    await world.check()
