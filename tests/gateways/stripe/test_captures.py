"""Several captures of one authorization: Stripe tells totals, we count each capture once."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.identifiers import encode, new_id
from core.money import Money
from gateways.port import (
    CallbackRequest,
    Capability,
    LookupResult,
    Operation,
    Outcome,
    OutcomeStatus,
    ProviderEvent,
    Unparseable,
)
from gateways.stripe import StripeAdapter
from gateways.stripe.captures import mark_of
from tests.gateways.builders import an_account
from tests.gateways.stripe.fake_cards import ONE_CAPTURE_ONLY, Json
from tests.gateways.stripe.faults import Fault
from tests.gateways.stripe.till import Till, a_till

AGREED = {"fields": {"multicapture": "yes"}}
SUCCEEDED = OutcomeStatus.SUCCEEDED
RECEIVED_AT = datetime(2026, 11, 21, tzinfo=UTC)


def euros(minor_units: int) -> Money:
    return Money(minor_units, "EUR")


async def authorized(till: Till, **changes: Any) -> str:
    outcome = await till.do("AUTHORIZE", **changes)
    assert outcome.provider_ref is not None
    return outcome.provider_ref


async def part(till: Till, parent: str, minor_units: int, *, final: bool = False) -> Operation:
    operation = till.an_operation("CAPTURE", minor_units, parent_ref=parent, final=final)
    outcome = await till.send(operation)
    assert (outcome.status, outcome.amount) == (SUCCEEDED, euros(minor_units))
    return operation


def facts(event: Json) -> list[ProviderEvent]:
    request = CallbackRequest({}, {}, json.dumps(event).encode(), RECEIVED_AT)
    return StripeAdapter().parse_webhook(request)


def told(till: Till, *kinds: str) -> list[tuple[str | None, Outcome]]:
    """Every CAPTURE in the events so far: whose it is, and what is said."""
    return [
        (fact.operation_id, fact.outcome)
        for event in till.fake.events
        if not kinds or event["type"] in kinds
        for fact in facts(event)
        if fact.operation_kind == "CAPTURE" and fact.outcome is not None
    ]


async def test_each_of_several_captures_reports_its_own_amount() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        for minor_units, final in [(1000, False), (500, False), (750, True)]:
            await part(till, parent, minor_units, final=final)

    intent = till.fake.intents[parent]
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 2250)
    assert till.fake.balance == 2250


async def test_only_where_it_is_agreed_is_it_asked_for_and_sent() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        asked = till.fake.intents[parent]["payment_method_options"]["card"]
        sale = await till.do("SALE")
        not_asked = [
            till.fake.intents[str(sale.provider_ref)]["payment_method_options"]["card"],
        ]
    with a_till() as till:
        parent = await authorized(till)
        not_asked.append(till.fake.intents[parent]["payment_method_options"]["card"])
        operation = till.an_operation("CAPTURE", 1000, parent_ref=parent, final=False)
        before = len(till.fake.requests)
        prepared = till.bench.dispatcher.prepare(till.account, operation)

    assert asked == {"request_multicapture": "if_available"}
    assert not_asked == [{}, {}]
    assert prepared.refusal is not None
    assert prepared.refusal.status is OutcomeStatus.NOT_EXECUTED
    assert len(till.fake.requests) == before


@pytest.mark.parametrize(
    ("fields", "can"),
    [({}, False), ({"multicapture": "no"}, False), ({"multicapture": "yes"}, True)],
)
def test_an_account_has_the_capability_only_with_the_agreement(
    fields: dict[str, str], can: bool
) -> None:
    found = an_account("stripe", fields=fields).capabilities(StripeAdapter.manifest)

    assert (Capability.MULTI_CAPTURE in found) is can
    assert Capability.PARTIAL_CAPTURE in found


async def test_a_card_that_allows_one_capture_refuses_a_part_that_is_not_the_last() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till, token=ONE_CAPTURE_ONLY)
        refused = await till.do("CAPTURE", 1000, parent_ref=parent, final=False)
        await part(till, parent, 1000, final=True)

    assert refused.status is OutcomeStatus.DECLINED
    assert till.fake.balance == 1000


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("fault", [Fault.DROPPED_AFTER, Fault.FAILED_AFTER, Fault.CUT_SHORT])
async def test_a_capture_whose_answer_is_lost_is_found_among_the_others(
    lost: int, fault: Fault
) -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        operations = []
        for number, minor_units in enumerate([1000, 500, 750]):
            if number == lost:
                till.faults.append(fault)
            operation = till.an_operation(
                "CAPTURE", minor_units, parent_ref=parent, final=number == 2
            )
            operations.append(operation)
            await till.send(operation)
        found = [await till.look(operation) for operation in operations]
        never = await till.look(till.an_operation("CAPTURE", 1000, parent_ref=parent))

    assert [each.outcome.amount for each in found if each.outcome] == [
        euros(1000),
        euros(500),
        euros(750),
    ]
    assert never == LookupResult(not_found_is_conclusive=True)


async def test_the_events_tell_each_capture_with_its_own_amount_however_often() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        operations = [
            await part(till, parent, minor_units, final=minor_units == 750)
            for minor_units in (1000, 500, 750)
        ]

    asked = {operation.id: operation.amount for operation in operations}
    for kinds in [
        ("charge.captured",),
        ("payment_intent.amount_capturable_updated", "payment_intent.succeeded"),
    ]:
        said = told(till, *kinds)
        assert {operation_id for operation_id, _ in said} == set(asked)
        assert all(outcome.amount == asked[str(id)] for id, outcome in said)
        assert all(outcome.status is SUCCEEDED for _, outcome in said)


async def test_captures_by_hand_among_ours_are_told_once_by_their_own_events() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        first = await part(till, parent, 1000)
        till.fake.capture_by_hand(parent, 300, final=False)
        till.fake.capture_by_hand(parent, 200, final=False)

    others = [outcome for operation_id, outcome in told(till) if operation_id is None]
    assert [(o.provider_ref, o.amount) for o in others] == [
        (f"{parent}#1300", euros(300)),
        (f"{parent}#1500", euros(200)),
    ]
    assert {o.amount for id, o in told(till) if id == first.id} == {euros(1000)}


async def test_captures_by_hand_alone_are_told_by_their_own_events_and_never_as_a_total() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        till.fake.capture_by_hand(parent, 300, final=False)
        till.fake.capture_by_hand(parent, 200, final=True)

    assert [(outcome.provider_ref, outcome.amount) for _, outcome in told(till)] == [
        (f"{parent}#300", euros(300)),
        (f"{parent}#500", euros(200)),
    ]


async def test_after_a_capture_by_hand_only_the_event_tells_what_ours_took() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        till.fake.capture_by_hand(parent, 300, final=False)
        operation = till.an_operation("CAPTURE", 1000, parent_ref=parent, final=False)
        answered = await till.send(operation)
        looked = await till.look(operation)

    assert answered.status is OutcomeStatus.UNKNOWN
    assert looked == LookupResult()
    [ours] = [outcome for id, outcome in told(till) if id == operation.id]
    assert (ours.status, ours.amount) == (SUCCEEDED, euros(1000))


async def test_the_only_capture_by_hand_has_one_name_in_both_its_events() -> None:
    with a_till() as till:
        parent = await authorized(till)
        till.fake.capture_by_hand(parent, 3000)

    [(operation_id, outcome)] = told(till, "payment_intent.succeeded")
    assert told(till, "charge.captured") == [(operation_id, outcome)]
    assert (operation_id, outcome.provider_ref) == (None, f"{parent}#3000")
    assert outcome.amount == euros(3000)


async def test_our_own_capture_has_the_name_its_event_has() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        await part(till, parent, 1000)
        answered = await till.do("CAPTURE", 500, parent_ref=parent, final=False)

    [_, (_, outcome)] = told(till, "charge.captured")
    assert answered.provider_ref == outcome.provider_ref == f"{parent}#1500"


async def test_a_void_after_captures_gives_back_the_rest() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        await part(till, parent, 1000)
        voided = await till.do("VOID", parent_ref=parent)

    assert (voided.status, voided.amount) == (SUCCEEDED, euros(3250))
    assert till.fake.balance == 1000
    assert {outcome.amount for _, outcome in told(till)} == {euros(1000)}


def test_a_mark_with_an_id_of_ours_is_a_name_stripe_takes() -> None:
    assert len(mark_of(encode("op", new_id()))) <= 40


async def test_the_metadata_of_the_shop_leaves_room_for_marks_and_cannot_forge_one() -> None:
    metadata = {f"name{n}": "x" for n in range(60)}
    with a_till(**AGREED) as till:
        parent = await authorized(till, metadata={"capture_op_forged": "1", **metadata})
        several = till.fake.intents[parent]["metadata"]
    with a_till() as till:
        parent = await authorized(till, metadata=metadata)
        once = till.fake.intents[parent]["metadata"]

    assert "capture_op_forged" not in several
    assert (len(several), len(once)) == (21, 41)


@pytest.mark.parametrize("mark", ["", "x", "-1", "1.5", "1" * 16, "\u0661"])
async def test_a_mark_that_is_no_amount_is_not_understood(mark: str) -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        await part(till, parent, 1000)
        event = till.fake.events[-1]
        event["data"]["object"]["metadata"]["capture_op_x"] = mark

        with pytest.raises(Unparseable):
            facts(event)


async def test_a_capture_event_that_took_nothing_is_not_understood() -> None:
    with a_till(**AGREED) as till:
        parent = await authorized(till)
        await part(till, parent, 1000)
    [event] = [each for each in till.fake.events if each["type"] == "charge.captured"]
    event["data"]["previous_attributes"]["amount_captured"] = 1000

    with pytest.raises(Unparseable):
        facts(event)
