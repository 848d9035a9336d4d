"""The shopper is asked who they are: what they are shown, and how it ends."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import respx

from gateways.port import (
    CallbackRequest,
    DeclineKind,
    Failure,
    NextActionKind,
    Operation,
    Outcome,
    OutcomeStatus,
    ProviderEvent,
)
from gateways.stripe import StripeAdapter
from tests.gateways.stripe.builders import intent, send
from tests.gateways.stripe.fake_cards import THREE_D_SECURE
from tests.gateways.stripe.faults import Fault
from tests.gateways.stripe.till import Till, a_till

TOKEN = "pm_card_authenticationRequired"
BACK = "https://shop.example/return"
KINDS = pytest.mark.parametrize("kind", ["SALE", "AUTHORIZE"])


async def asked(till: Till, kind: str = "SALE", **changes: Any) -> tuple[Operation, Outcome]:
    """An operation that waits for its shopper, as it is asked about later."""
    operation = till.an_operation(kind, **{"token": TOKEN, "return_url": BACK, **changes})
    outcome = await till.send(operation)
    assert outcome.status is OutcomeStatus.REQUIRES_ACTION
    later = till.an_operation(kind, id=operation.id, provider_ref=outcome.provider_ref)
    return later, outcome


async def looked(till: Till, operation: Operation) -> Outcome:
    found = (await till.look(operation)).outcome
    assert found is not None
    return found


def told(till: Till) -> ProviderEvent:
    """What the newest event says."""
    body = json.dumps(till.fake.events[-1]).encode()
    received = CallbackRequest({}, {}, body, datetime(2026, 11, 21, tzinfo=UTC))
    return StripeAdapter().parse_webhook(received)[-1]


def failure_of(outcome: Outcome | None) -> Failure:
    assert outcome is not None
    assert outcome.status is OutcomeStatus.DECLINED
    assert outcome.failure is not None
    return outcome.failure


@KINDS
@pytest.mark.parametrize("token", sorted(THREE_D_SECURE))
async def test_the_shopper_is_sent_to_stripes_page_and_back_to_the_shop(
    kind: str, token: str
) -> None:
    with a_till() as till:
        _, outcome = await asked(till, kind, token=token)

    [made] = till.fake.intents.values()
    assert outcome.next_action is not None
    assert outcome.next_action.kind is NextActionKind.REDIRECT
    assert outcome.next_action.url == made["next_action"]["redirect_to_url"]["url"]
    assert made["next_action"]["redirect_to_url"]["return_url"] == BACK
    assert outcome.next_action.fields == {}
    assert till.fake.movements == []


@pytest.mark.parametrize(
    ("account", "changes"),
    [({}, {"return_url": None}), ({"omit": frozenset({"return_url"})}, {})],
    ids=["no address", "an account that omits it"],
)
async def test_without_an_address_to_come_back_to_stripes_script_is_needed(
    account: dict[str, Any], changes: dict[str, Any]
) -> None:
    with a_till(**account) as till:
        _, outcome = await asked(till, **changes)
        [calls] = till.stored.values()

    [made] = till.fake.intents.values()
    assert made["next_action"]["type"] == "use_stripe_sdk"
    assert outcome.next_action is not None
    assert outcome.next_action.kind is NextActionKind.SDK
    assert outcome.next_action.fields == {"client_secret": made["client_secret"]}
    assert outcome.next_action.url is None
    assert b"return_url" not in calls[0].body


@KINDS
async def test_an_authenticated_shopper_has_paid_says_the_lookup_and_the_event(kind: str) -> None:
    with a_till() as till:
        operation, _ = await asked(till, kind)
        waiting = await looked(till, operation)
        till.fake.authenticate(str(operation.provider_ref))
        settled = await looked(till, operation)

    event = told(till)
    assert event.outcome is not None
    assert waiting.status is OutcomeStatus.REQUIRES_ACTION
    assert settled.status is event.outcome.status is OutcomeStatus.SUCCEEDED
    assert settled.amount == event.outcome.amount == operation.amount
    assert (event.operation_kind, event.operation_id) == (kind, operation.id)
    assert [each.kind for each in till.fake.done(operation.id)] == [kind]


@KINDS
async def test_a_failed_authentication_is_a_decline_that_asks_to_authenticate(kind: str) -> None:
    with a_till() as till:
        operation, _ = await asked(till, kind)
        till.fake.fail_authentication(str(operation.provider_ref))
        settled = await looked(till, operation)

    for outcome in (settled, told(till).outcome):
        failure = failure_of(outcome)
        assert failure.decline is DeclineKind.SCA_REQUIRED
        assert failure.provider_code == "payment_intent_authentication_failure"
        assert not failure.retry_other_provider
    assert till.fake.movements == []


@KINDS
async def test_a_shopper_who_never_comes_back_leaves_something_that_can_be_voided(
    kind: str,
) -> None:
    with a_till() as till:
        operation, _ = await asked(till, kind)
        void = till.an_operation("VOID", parent_ref=operation.provider_ref)
        voided = await till.send(void)
        ended = await looked(till, operation)

    assert voided.status is OutcomeStatus.SUCCEEDED
    assert failure_of(ended).code == "canceled"
    assert till.fake.balance == 0
    assert told(till).operation_id == void.id


async def test_a_void_that_comes_after_the_shopper_is_refused_and_the_payment_stands() -> None:
    with a_till() as till:
        operation, _ = await asked(till)
        till.fake.authenticate(str(operation.provider_ref))
        voided = await till.do("VOID", parent_ref=operation.provider_ref)
        settled = await looked(till, operation)

    assert failure_of(voided).code == "invalid_state"
    assert settled.status is OutcomeStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("meanwhile", "status"),
    [
        (lambda till, ref: None, OutcomeStatus.REQUIRES_ACTION),
        (lambda till, ref: till.fake.authenticate(ref), OutcomeStatus.SUCCEEDED),
        (lambda till, ref: till.fake.fail_authentication(ref), OutcomeStatus.DECLINED),
        (lambda till, ref: till.fake.cancel_by_hand(ref), OutcomeStatus.DECLINED),
    ],
    ids=["waits", "authenticated", "failed", "canceled"],
)
async def test_when_the_answer_was_lost_the_lookup_finds_where_the_shopper_stands(
    meanwhile: Callable[[Till, str], Any], status: OutcomeStatus
) -> None:
    with a_till() as till:
        operation = till.an_operation("SALE", token=TOKEN, return_url=BACK)
        till.faults.append(Fault.DROPPED_AFTER)
        lost = await till.send(operation)
        [made] = till.fake.intents
        meanwhile(till, made)
        found = await looked(till, operation)

    assert lost.status is OutcomeStatus.UNKNOWN
    assert (found.status, found.provider_ref) == (status, made)


@respx.mock
@pytest.mark.parametrize(
    "action",
    [
        None,
        {},
        {"type": None},
        {"type": "redirect_to_url"},
        {"type": "redirect_to_url", "redirect_to_url": {}},
    ],
)
async def test_an_action_that_does_not_say_what_to_do_is_not_understood(action: Any) -> None:
    dispatched = await send("SALE", intent("requires_action_redirect", next_action=action))

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN
