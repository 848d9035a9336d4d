"""Operations at a Stripe that remembers, sent by the real dispatcher over HTTP."""

from typing import Any

import pytest

from core.money import Money
from gateways.port import Outcome, OutcomeStatus
from tests.gateways.stripe.fake_cards import DECLINES
from tests.gateways.stripe.faults import Fault
from tests.gateways.stripe.till import Till, a_till

EXPECTED_DECLINES = {
    "pm_card_visa_chargeDeclined": ("SOFT", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("INSUFFICIENT_FUNDS", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("HARD", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("HARD", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": ("INVALID_METHOD", "expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": ("INVALID_METHOD", "incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": ("SOFT", "processing_error"),
    "pm_card_chargeCustomerFail": ("SOFT", "generic_decline"),
}


def ref(outcome: Outcome) -> str:
    assert outcome.provider_ref is not None
    return outcome.provider_ref


async def authorized(till: Till, **changes: Any) -> str:
    outcome = await till.do("AUTHORIZE", **changes)
    assert outcome.status is OutcomeStatus.SUCCEEDED
    return ref(outcome)


async def test_authorize_capture_and_refund_move_what_was_asked_for() -> None:
    with a_till() as till:
        parent = await authorized(till)
        captured = await till.do("CAPTURE", 3000, parent_ref=parent)
        refunded = await till.do("REFUND", 1000, parent_ref=parent)

    assert captured.amount == Money(3000, "EUR")
    assert refunded.amount == Money(1000, "EUR")
    assert till.fake.balance == 2000
    assert [each.kind for each in till.fake.movements] == ["AUTHORIZE", "CAPTURE", "REFUND"]


async def test_a_void_says_what_was_held() -> None:
    with a_till() as till:
        parent = await authorized(till)
        voided = await till.do("VOID", parent_ref=parent)

    assert (voided.status, voided.amount) == (OutcomeStatus.SUCCEEDED, Money(4250, "EUR"))
    assert till.fake.intents[parent]["status"] == "canceled"


@pytest.mark.parametrize("token", sorted(DECLINES))
async def test_a_test_card_is_declined_for_its_reason_also_when_repeated(token: str) -> None:
    with a_till() as till:
        operation = till.an_operation("SALE", token=token)
        first = await till.send(operation)
        again = await till.repeat(operation)

    for outcome in (first, again):
        assert outcome.status is OutcomeStatus.DECLINED
        assert outcome.failure is not None
        assert outcome.failure.decline is not None
        assert outcome.failure.provider_code is not None
        told = (outcome.failure.decline.value, outcome.failure.provider_code)
        assert told == EXPECTED_DECLINES[token]
    assert till.fake.movements == []


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("kind", ["SALE", "AUTHORIZE", "CAPTURE", "VOID", "REFUND"])
async def test_whatever_happens_to_a_request_it_is_done_once_or_proven_not_done(
    kind: str, fault: Fault
) -> None:
    with a_till() as till:
        opening = "SALE" if kind == "REFUND" else "AUTHORIZE"
        needs_parent = kind not in {"SALE", "AUTHORIZE"}
        parent = ref(await till.do(opening)) if needs_parent else None
        operation = till.an_operation(kind, parent_ref=parent)
        till.faults.append(fault)

        outcome = await till.find_out(operation, await till.send(operation))

    done = till.fake.done(operation.id)
    assert len(done) == (1 if outcome.status is OutcomeStatus.SUCCEEDED else 0)
    assert outcome.status in {OutcomeStatus.SUCCEEDED, OutcomeStatus.NOT_EXECUTED}
    assert (outcome.status is OutcomeStatus.NOT_EXECUTED) == (fault is Fault.FAILED_BEFORE)


async def test_while_the_first_request_runs_its_repetition_says_nothing() -> None:
    with a_till() as till:
        operation = till.an_operation("SALE")
        till.faults.append(Fault.SLOW)
        statuses = [(await till.send(operation)).status]
        statuses += [(await till.repeat(operation)).status for _ in range(2)]

    assert statuses == [OutcomeStatus.UNKNOWN, OutcomeStatus.UNKNOWN, OutcomeStatus.SUCCEEDED]
    assert len(till.fake.done(operation.id)) == 1


async def test_a_kept_500_is_unknown_however_often_it_is_repeated_and_found_by_our_id() -> None:
    with a_till() as till:
        operation = till.an_operation("SALE")
        till.faults.append(Fault.FAILED_AFTER)
        statuses = {(await till.send(operation)).status}
        statuses.add((await till.repeat(operation)).status)
        found = await till.look(operation)

    assert statuses == {OutcomeStatus.UNKNOWN}
    assert found.outcome is not None
    assert found.outcome.status is OutcomeStatus.SUCCEEDED
    assert len(till.fake.done(operation.id)) == 1


async def test_an_object_that_is_locked_is_tried_again_under_the_same_key() -> None:
    with a_till() as till:
        till.faults.append(Fault.LOCKED)
        operation = till.an_operation("SALE")
        outcome = await till.send(operation)

    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert till.fake.keys_used(operation.id) == {f"{operation.id}.1.1"}


async def test_a_sale_among_hundreds_is_found_by_our_id() -> None:
    with a_till() as till:
        operation = till.an_operation("SALE")
        till.faults.append(Fault.DROPPED_AFTER)
        await till.send(operation)
        for _ in range(250):
            await till.do("SALE", 100)

        found = await till.look(operation)

    assert found.outcome is not None
    assert (found.outcome.status, found.outcome.amount) == (
        OutcomeStatus.SUCCEEDED,
        Money(4250, "EUR"),
    )


async def test_a_refund_that_is_pending_arrives_or_comes_back() -> None:
    with a_till() as till:
        parent = ref(await till.do("SALE", token="pm_card_pendingRefund"))
        operation = till.an_operation("REFUND", 1500, parent_ref=parent)
        pending = await till.send(operation)
        till.fake.settle_refund(ref(pending))
        settled = await till.look(operation)
        till.fake.fail_refund(ref(pending))
        failed = await till.look(operation)

    assert pending.status is OutcomeStatus.PENDING
    assert settled.outcome is not None
    assert settled.outcome.status is OutcomeStatus.SUCCEEDED
    assert failed.outcome is not None
    assert failed.outcome.status is OutcomeStatus.DECLINED
