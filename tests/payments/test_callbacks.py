"""Callbacks: late, twice, in any order, about movements we did not start."""

import itertools
from typing import Any
from uuid import UUID

import pytest

from core.identifiers import encode
from core.money import Money
from gateways.port import Failure, Outcome, OutcomeStatus, ProviderEvent
from payments import Fact, StoreCredit
from payments.errors import AmountExceeded
from tests.payments.world import World, at, move

STATUS = OutcomeStatus


def an_event(number: int, kind: str, status: str, ref: str, **changes: Any) -> ProviderEvent:
    amount = changes.pop("amount", 1000)
    fee = changes.pop("fee", None)
    raw = changes.pop("raw", None)
    outcome = Outcome(
        STATUS(status),
        ref,
        Money(amount, "EUR"),
        fee=Money(fee, "EUR") if fee else None,
        failure=Failure("refused", "Refused.") if status == "DECLINED" else None,
        raw_status=raw,
    )
    return ProviderEvent(
        event_id=f"evt_{number}",
        kind=f"{kind}.{status}".lower(),
        occurred_at=at(number),
        outcome=outcome,
        operation_kind=kind,
        provider_ref=ref,
        **changes,
    )


async def an_unknown_payment(world: World, **changes: Any) -> tuple[UUID, str, str]:
    """A sale whose answer was lost: its id, our operation's public id, the provider's id."""
    world.simulator.fault("drop_after", times=1)
    payment_id = await world.pay(**changes)
    operation = await world.operation(payment_id)
    ref = world.merchants[0].effects(reference=encode("op", operation.id))[0]["payment"]
    return payment_id, encode("op", operation.id), ref


async def a_pending_payment(world: World) -> tuple[UUID, str, str]:
    """A sale that is accepted and not decided: its id, our public id of it, the provider's id."""
    payment_id = await world.pay("tok_pending")
    operation = await world.operation(payment_id)
    return payment_id, encode("op", operation.id), operation.provider_ref


async def state(world: World, payment_id: UUID) -> tuple[Any, ...]:
    """Everything that must not depend on the order of events."""
    seen = await world.see(payment_id)
    payment = seen.payment
    return (
        payment.status,
        payment.captured_gross,
        payment.refunded,
        payment.refunded_external,
        payment.fees,
        [a.status for a in seen.attempts],
        sorted((o.kind, o.status, o.amount, sorted(o.posted)) for o in seen.operations),
        sorted((r.status, r.amount, r.origin) for r in seen.refunds),
        await world.balance("income:sales"),
        await world.balance(f"psp:{world.merchants[0].name}:clearing"),
    )


async def test_six_events_in_any_order_end_in_one_state_and_one_book(world: World) -> None:
    """Two of one fact under different ids, an early "pending", two refunds made elsewhere."""
    world.simulator.control("/_config", pending_delay_ms=600_000)

    def events(operation: str, ref: str) -> list[ProviderEvent]:
        sale: dict[str, Any] = {"operation_id": operation, "payment_ref": ref}
        return [
            an_event(1, "SALE", "PENDING", ref, **sale),
            an_event(2, "SALE", "SUCCEEDED", ref, fee=59, **sale),
            an_event(3, "SALE", "SUCCEEDED", ref, fee=59, payment_ref=ref),
            an_event(4, "REFUND", "SUCCEEDED", f"{ref}_r1", amount=100, payment_ref=ref),
            an_event(5, "REFUND", "SUCCEEDED", f"{ref}_r2", amount=200, payment_ref=ref),
            an_event(6, "REFUND", "REVERSED", f"{ref}_r2", amount=200, payment_ref=ref),
        ]

    orders = list(itertools.permutations(range(6)))[::19]
    states = set()
    books: tuple[Any, ...] = ((0, 0), (0, 0))
    for order in orders:
        payment_id, operation, ref = await a_pending_payment(world)
        waiting = [events(operation, ref)[index] for index in order]
        while waiting:
            deferred = [e for e in waiting if await world.callback(e) is None]
            assert len(deferred) < len(waiting)
            waiting = deferred
        *found, sales, clearing = await state(world, payment_id)
        moved = (sales[0] - books[0][0], clearing[0] - books[1][0])
        books = (sales, clearing)
        states.add(repr((found, moved)))
    assert len(orders) == 38
    assert len(states) == 1, states


async def test_one_event_many_times_is_one_fact(world: World) -> None:
    payment_id, operation, ref = await an_unknown_payment(world)
    event = an_event(1, "SALE", "SUCCEEDED", ref, fee=59, operation_id=operation)

    for _ in range(20):
        await world.callback(event)

    rows = await world.rows(
        "SELECT count(*) AS n FROM evidence WHERE provider_event_id = 'evt_1' AND tenant_id = $1",
        world.tenant_id,
    )
    assert rows[0]["n"] == 1
    assert await world.balance("income:sales") == (-1000, 0)
    assert (await world.events(payment_id)).count("payment.captured") == 1
    await world.check()


async def test_an_event_of_another_account_is_not_ours(world: World) -> None:
    payment_id, operation, ref = await an_unknown_payment(world)
    event = an_event(1, "SALE", "SUCCEEDED", ref, operation_id=operation)

    assert await world.callback(event, account=1) is None

    assert (await world.operation(payment_id)).status == "UNKNOWN"
    assert await world.balance("income:sales") == (0, 0)


async def test_an_event_about_nothing_we_know_waits(world: World) -> None:
    assert (
        await world.callback(an_event(1, "REFUND", "SUCCEEDED", "sr_x", payment_ref="sp_x")) is None
    )
    assert (
        await world.callback(an_event(2, "SALE", "SUCCEEDED", "sp_x", operation_id="nonsense"))
        is None
    )


async def test_a_refund_made_at_the_provider_is_recorded_and_booked(world: World) -> None:
    payment_id = await world.pay()
    ref = (await world.operation(payment_id)).provider_ref
    made = world.simulator.control("/_dashboard/refunds", payment=ref, amount=400)
    event = an_event(1, "REFUND", "SUCCEEDED", made["id"], amount=400, payment_ref=ref)

    await world.callback(event)
    await world.callback(event)

    seen = await world.see(payment_id)
    assert seen.payment.refunded_external == 400
    assert [(r.origin, r.status) for r in seen.refunds] == [("EXTERNAL", "SUCCEEDED")]
    assert await world.balance("income:sales") == (-600, 0)
    await world.check()
    await world.refund(payment_id)
    assert (await world.see(payment_id)).payment.refunded == 600
    await world.check()


async def test_a_capture_made_at_the_provider_is_recorded_and_booked(world: World) -> None:
    payment_id = await world.authorize()
    ref = (await world.operation(payment_id, "AUTHORIZE")).provider_ref
    made = world.simulator.control("/_dashboard/captures", payment=ref, amount=1000)
    event = an_event(1, "CAPTURE", "SUCCEEDED", made["id"], payment_ref=ref, fee=made["fee"])

    await world.callback(event)

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("CAPTURED", 1000)
    assert await world.balance("income:sales") == (-1000, 0)
    await world.check()


async def test_an_authorization_expires_only_when_the_provider_says_so(world: World) -> None:
    payment_id = await world.authorize()
    ref = (await world.operation(payment_id, "AUTHORIZE")).provider_ref
    made = world.simulator.control("/_dashboard/expire", payment=ref)

    await world.callback(
        an_event(1, "VOID", "SUCCEEDED", made["id"], payment_ref=ref, raw="expired")
    )

    assert (await world.see(payment_id)).payment.status == "EXPIRED"
    assert await world.balance("income:sales") == (0, 0)
    await world.check()


async def test_more_refunded_elsewhere_than_captured_is_posted_and_noticed(world: World) -> None:
    payment_id = await world.pay()
    await world.refund(payment_id, 900)
    ref = (await world.operation(payment_id)).provider_ref

    await world.callback(an_event(1, "REFUND", "SUCCEEDED", "sr_x", amount=300, payment_ref=ref))

    assert (await world.see(payment_id)).payment.refunded_external == 300
    assert await world.discrepancies() == ["AMOUNT_MISMATCH"]
    assert await world.balance("income:sales") == (200, 0)


async def test_a_refund_that_came_back_is_returned_and_can_be_made_again(world: World) -> None:
    payment_id = await world.pay()
    await world.refund(payment_id, 1000)
    operation = await world.operation(payment_id, "REFUND")
    made = world.simulator.control("/_dashboard/refund_failures", refund=operation.provider_ref)
    assert made["status"] == "failed"

    await world.callback(an_event(1, "REFUND", "REVERSED", operation.provider_ref, payment_ref="x"))

    seen = await world.see(payment_id)
    assert (seen.refunds[0].status, seen.payment.refund_reserved) == ("RETURNED", 0)
    assert await world.balance("income:sales") == (-1000, 0)
    await world.check()
    await world.refund(payment_id, 1000)
    await world.check()


async def test_contradicting_callbacks_are_looked_up_at_once(world: World) -> None:
    payment_id = await world.pay()
    operation = await world.operation(payment_id)
    no = an_event(1, "SALE", "DECLINED", operation.provider_ref)

    await world.callback(no)
    assert (await world.operation(payment_id)).status == "UNKNOWN"
    assert await world.balance("income:sales") == (-1000, 0)
    assert await world.work() >= 1

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    await world.check()


async def test_a_success_after_the_end_goes_to_suspense_and_a_person(world: World) -> None:
    payment_id = await world.pay("tok_decline_hard")
    operation = await world.operation(payment_id)
    await world.cancel(payment_id)
    assert (await world.see(payment_id)).payment.status == "CANCELED"
    paid = Outcome(STATUS.SUCCEEDED, operation.provider_ref, Money(1000, "EUR"))

    await world.tell(operation.id, Fact("REPORT", paid, "report:1", at()))

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("IN_REVIEW", 0)
    assert await world.balance(f"suspense:{world.merchants[0].name}") == (-1000, 0)
    assert await world.balance("income:sales") == (0, 0)
    assert await world.discrepancies() == ["STATUS_MISMATCH"]


async def test_a_superseded_attempt_that_succeeds_after_all_is_a_second_charge(
    world: World,
) -> None:
    payment_id = await world.pay("tok_decline_hard")
    first = await world.operation(payment_id)
    await world.confirm(payment_id, "tok_success")
    paid = Outcome(STATUS.SUCCEEDED, first.provider_ref, Money(1000, "EUR"))

    await world.tell(first.id, Fact("LOOKUP", paid, "lookup:late", at()))

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("CAPTURED", 1000)
    assert await world.balance(f"suspense:{world.merchants[0].name}") == (-1000, 0)
    assert await world.discrepancies() == ["DUPLICATE_AT_PROVIDER"]


async def test_another_currency_is_never_a_success(world: World) -> None:
    payment_id, operation, ref = await an_unknown_payment(world)
    outcome = Outcome(STATUS.SUCCEEDED, ref, Money(1000, "USD"))
    event = ProviderEvent("evt_1", "x", at(), outcome, "SALE", operation, ref)

    await world.callback(event)

    assert (await world.operation(payment_id)).status == "UNKNOWN"
    assert await world.balance("income:sales") == (0, 0)


async def test_a_better_fee_corrects_the_one_that_was_posted(world: World) -> None:
    payment_id, operation, ref = await an_unknown_payment(world)
    await world.callback(an_event(1, "SALE", "SUCCEEDED", ref, fee=50, operation_id=operation))

    paid = Outcome(STATUS.SUCCEEDED, ref, Money(1000, "EUR"), Money(59, "EUR"))
    found = await world.operation(payment_id)
    await world.tell(found.id, Fact("REPORT", paid, "report:1", at()))

    assert await world.balance(f"expense:psp_fee:{world.merchants[0].name}") == (59, 0)
    assert (await world.see(payment_id)).payment.fees == 59
    await world.check()


async def test_more_captured_elsewhere_than_authorized_is_posted_and_noticed(world: World) -> None:
    payment_id = await world.authorize()
    ref = (await world.operation(payment_id, "AUTHORIZE")).provider_ref

    await world.callback(an_event(1, "CAPTURE", "SUCCEEDED", "sc_x", amount=5000, payment_ref=ref))

    assert (await world.see(payment_id)).payment.captured_gross == 5000
    assert await world.balance("income:sales") == (-5000, 0)
    assert await world.discrepancies() == ["AMOUNT_MISMATCH"]


@pytest.mark.parametrize("spent", [True, False])
async def test_store_credit_that_was_given_back_pays_nothing_when_the_card_succeeds_after_all(
    world: World,
    spent: bool,
) -> None:
    """Otherwise a refund would make credit that nobody ever paid with."""
    wallet = "customer:hans:wallet"
    await move(world, "expense:store_credit", wallet, 300)
    payment_id, operation, ref = await an_unknown_payment(
        world, store_credit=StoreCredit(wallet, Money(300, "EUR"))
    )
    await world.callback(an_event(1, "SALE", "DECLINED", ref, amount=700, operation_id=operation))
    assert await world.balance(wallet) == (-300, 0)
    if spent:
        await move(world, wallet, "income:sales", 300)

    paid = Outcome(STATUS.SUCCEEDED, ref, Money(700, "EUR"), Money(50, "EUR"))
    found = await world.operation(payment_id)
    await world.tell(found.id, Fact("LOOKUP", paid, "lookup:truth", at()))

    seen = await world.see(payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("CAPTURED", 700)
    assert "AMOUNT_MISMATCH" in await world.discrepancies()
    with pytest.raises(AmountExceeded):
        await world.refund(payment_id, 1000)
    await world.refund(payment_id, 700)
    assert await world.balance(wallet) == (0 if spent else -300, 0)
    assert await world.balance("income:sales") == (-300 if spent else 0, 0)
    await world.check()


@pytest.mark.parametrize("ends", ["captured", "expired"])
async def test_what_is_left_of_a_hold_is_given_back_once_and_verify_agrees(
    world: World, ends: str
) -> None:
    """A capture that was refused, since the dashboard had taken a part, changes nothing of that."""
    payment_id = await world.authorize()
    ref = (await world.operation(payment_id, "AUTHORIZE")).provider_ref
    made = world.simulator.control("/_dashboard/captures", payment=ref, amount=600, final=False)
    await world.capture(payment_id, 1000)  # refused: only 400 are left there
    elsewhere = an_event(
        1, "CAPTURE", "SUCCEEDED", made["id"], amount=600, payment_ref=ref, fee=made["fee"]
    )
    await world.callback(elsewhere)

    if ends == "expired":
        gone = world.simulator.control("/_dashboard/expire", payment=ref)
        await world.callback(
            an_event(2, "VOID", "SUCCEEDED", gone["id"], amount=400, payment_ref=ref, raw="expired")
        )
    else:
        await world.capture(payment_id, 400)

    assert (await world.balance("income:sales"))[1] == 0
    await world.check()


async def test_the_store_credit_of_a_refund_that_came_back_stays_with_the_customer(
    world: World,
) -> None:
    """Otherwise it could be refunded a second time."""
    wallet = "customer:hans:wallet"
    await move(world, "expense:store_credit", wallet, 300)
    payment_id = await world.pay(store_credit=StoreCredit(wallet, Money(300, "EUR")))
    await world.refund(payment_id, 1000)
    operation = await world.operation(payment_id, "REFUND")
    world.simulator.control("/_dashboard/refund_failures", refund=operation.provider_ref)

    await world.callback(
        an_event(1, "REFUND", "REVERSED", operation.provider_ref, amount=700, payment_ref="x")
    )

    seen = await world.see(payment_id)
    assert (seen.payment.refund_reserved, seen.payment.refunded) == (300, 300)
    with pytest.raises(AmountExceeded):
        await world.refund(payment_id, 701)
    await world.refund(payment_id, 700)
    assert await world.balance(wallet) == (-300, 0)
    assert await world.balance("income:sales") == (0, 0)
    await world.check()


async def test_a_refund_of_another_amount_is_quarantined_and_its_money_taken_from_suspense(
    world: World,
) -> None:
    payment_id = await world.pay()
    world.simulator.fault("wrong_amount", match={"path": "/v1/refunds"}, times=1)
    await world.refund(payment_id, 400)

    await world.later(payment_id)

    seen = await world.see(payment_id)
    assert [(r.status, r.amount) for r in seen.refunds] == [("IN_REVIEW", 400)]
    assert await world.discrepancies() == ["AMOUNT_MISMATCH"]
    (moved,) = [amount for kind, amount in world.effects() if kind == "refund"]
    assert moved != 400
    assert await world.balance(f"suspense:{world.merchants[0].name}") == (moved, 0)
    assert await world.balance("income:sales") == (-1000, 400)
    await world.check()
