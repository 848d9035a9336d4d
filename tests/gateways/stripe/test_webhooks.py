"""Callbacks of Stripe: the published signature vectors, and every published event."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import Money
from gateways.port import (
    BadSignature,
    CallbackRequest,
    NextActionKind,
    OutcomeStatus,
    ProviderEvent,
    StaleSignature,
    Unparseable,
)
from gateways.stripe import StripeAdapter
from tests.gateways.builders import a_bench, an_account

HERE = Path(__file__).parent
SECRET = "whsec_new"
NOW = datetime.fromtimestamp(1795219203, UTC)
VECTORS = json.loads((HERE / "vectors.json").read_text("utf-8"))["vectors"]
STRICTER_THAN_THE_SDK = {"valid_future_timestamp_sdk"}


def a_callback(event: object, *, now: datetime = NOW, header: str | None = None) -> CallbackRequest:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return CallbackRequest({"stripe-signature": header or signed(body)}, {}, body, now)


def signed(body: bytes, *, secret: str = SECRET, at: int = 1795219203) -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def sample(name: str, **changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((HERE / f"samples/event_{name}.json").read_text("utf-8"))
    event["data"]["object"].update(changes)
    return event


def facts(event: object) -> list[ProviderEvent]:
    return StripeAdapter().parse_webhook(a_callback(event))


def fact(name: str, **changes: Any) -> ProviderEvent:
    [only] = facts(sample(name, **changes))
    return only


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_published_vectors(vector: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in vector["header"].items()}
    now = datetime.fromtimestamp(vector["now"], UTC)
    request = CallbackRequest(headers, {}, vector["payload"].encode(), now)
    valid = vector["expected"] == "valid" and vector["name"] not in STRICTER_THAN_THE_SDK

    if valid:
        StripeAdapter().verify_webhook(request, vector["secrets"])
    else:
        with pytest.raises(BadSignature):
            StripeAdapter().verify_webhook(request, vector["secrets"])


def test_there_are_seventeen_vectors() -> None:
    assert len(VECTORS) == 17


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_signature_holds_for_five_minutes_either_way(seconds: int) -> None:
    request = a_callback({}, now=NOW + timedelta(seconds=seconds))

    StripeAdapter().verify_webhook(request, [SECRET])


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_signature_of_another_time_is_stale(seconds: int) -> None:
    request = a_callback({}, now=NOW + timedelta(seconds=seconds))

    with pytest.raises(StaleSignature):
        StripeAdapter().verify_webhook(request, [SECRET])


@pytest.mark.parametrize("secrets", [[], [""], ["", ""], ["whsec_other"]])
def test_without_the_secret_nothing_is_proven(secrets: list[str]) -> None:
    request = a_callback({}, header=signed(b"{}", secret="") + ",v1=")

    with pytest.raises(BadSignature):
        StripeAdapter().verify_webhook(request, secrets)


@pytest.mark.parametrize(("others", "accepted"), [(15, True), (16, False)])
def test_no_more_than_sixteen_signatures_are_tried(others: int, accepted: bool) -> None:
    good = signed(b"{}")
    header = good + ",v1=00" * others

    if accepted:
        StripeAdapter().verify_webhook(a_callback({}, header=header), [SECRET])
    else:
        with pytest.raises(BadSignature):
            StripeAdapter().verify_webhook(a_callback({}, header=header), [SECRET])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1,t=1795219203,v1=00",
        "t=,v1=00",
        "t=-5,v1=00",
        "t=١٢,v1=00",
        "t=1795219203",
        "t=1795219203,v1",
        "t=9999999999999,v1=00",
        "v1=00,t=1e5",
        "x" * 5000,
    ],
)
def test_a_malformed_header_is_a_bad_signature(header: str) -> None:
    with pytest.raises(BadSignature):
        StripeAdapter().verify_webhook(
            replace(a_callback({}), headers={"stripe-signature": header}), [SECRET]
        )


@given(st.integers(min_value=0), st.sampled_from(["body", "header"]))
def test_a_single_flipped_bit_is_noticed(position: int, part: str) -> None:
    body = json.dumps(sample("refund.created")).encode()
    header = signed(body)
    target = bytearray(body if part == "body" else header.encode())
    position %= len(target) * 8
    target[position // 8] ^= 1 << (position % 8)
    changed = bytes(target)
    request = CallbackRequest(
        {"stripe-signature": header if part == "body" else changed.decode("latin-1")},
        {},
        changed if part == "body" else body,
        NOW,
    )

    with pytest.raises(BadSignature):
        StripeAdapter().verify_webhook(request, [SECRET])


def test_an_automatic_intent_that_succeeded_is_its_sale() -> None:
    event = fact("payment_intent.succeeded", metadata={"operation_id": "op_1"})

    assert event.outcome is not None
    assert (event.operation_kind, event.operation_id) == ("SALE", "op_1")
    assert event.outcome.status is OutcomeStatus.SUCCEEDED
    assert event.outcome.amount == Money(4250, "EUR")
    assert event.provider_ref == event.payment_ref == "pi_3SAMPLEord1001"
    assert event.occurred_at == NOW
    assert event.live is False


def test_a_manual_intent_that_succeeded_is_its_capture_of_what_was_received() -> None:
    event = fact(
        "payment_intent.succeeded",
        capture_method="manual",
        amount_received=3000,
        metadata={"operation_id": "op_auth", "capture_op_capture": "3000"},
    )

    assert event.outcome is not None
    assert (event.operation_kind, event.operation_id) == ("CAPTURE", "op_capture")
    assert event.outcome.amount == Money(3000, "EUR")


def test_a_capture_made_in_the_dashboard_names_the_payment_but_no_operation() -> None:
    event = fact(
        "payment_intent.succeeded", capture_method="manual", metadata={"operation_id": "op_auth"}
    )

    assert (event.operation_kind, event.operation_id) == ("CAPTURE", None)
    assert event.payment_ref == "pi_3SAMPLEord1001"


def test_a_capture_event_tells_what_one_capture_took() -> None:
    event = fact("charge.captured")

    assert event.outcome is not None
    assert (event.operation_kind, event.operation_id) == ("CAPTURE", None)
    assert event.outcome.amount == Money(3000, "EUR")
    assert event.provider_ref == event.outcome.provider_ref == "pi_3SAMPLEord1001#3000"
    assert event.payment_ref == "pi_3SAMPLEord1001"


def test_a_capture_event_tells_the_difference_and_whose_call_it_was() -> None:
    event = sample("charge.captured")
    event["data"]["previous_attributes"]["amount_captured"] = 1000
    event["request"]["idempotency_key"] = "op_capture.1.1"

    [capture] = facts(event)

    assert capture.outcome is not None
    assert (capture.operation_id, capture.outcome.amount) == ("op_capture", Money(2000, "EUR"))


@pytest.mark.parametrize("missing", ["amount_captured", "payment_intent"])
def test_a_capture_event_that_does_not_say_how_much_of_what_only_informs(missing: str) -> None:
    event = sample("charge.captured")
    part = "object" if missing == "payment_intent" else "previous_attributes"
    del event["data"][part][missing]

    [capture] = facts(event)

    assert (capture.outcome, capture.provider_ref) == (None, "ch_3SAMPLEord1001a")


def test_an_amount_that_became_capturable_is_an_authorization() -> None:
    event = fact("payment_intent.amount_capturable_updated", metadata={"operation_id": "op_1"})

    assert event.outcome is not None
    assert (event.operation_kind, event.operation_id) == ("AUTHORIZE", "op_1")
    assert event.outcome.status is OutcomeStatus.SUCCEEDED
    assert event.outcome.amount == Money(4250, "EUR")


def test_a_failed_payment_is_a_decline_with_its_reasons() -> None:
    event = fact("payment_intent.payment_failed")

    assert event.outcome is not None
    assert event.outcome.status is OutcomeStatus.DECLINED
    assert event.outcome.failure is not None
    assert event.outcome.failure.decline == "INSUFFICIENT_FUNDS"
    assert event.outcome.failure.network_code == "51"


def test_an_action_is_passed_on() -> None:
    event = fact("payment_intent.requires_action")

    assert event.outcome is not None
    assert event.outcome.status is OutcomeStatus.REQUIRES_ACTION
    assert event.outcome.next_action is not None
    assert event.outcome.next_action.kind is NextActionKind.REDIRECT


def test_processing_is_pending() -> None:
    event = fact("payment_intent.processing")

    assert event.outcome is not None
    assert event.outcome.status is OutcomeStatus.PENDING


def test_a_canceled_authorization_is_a_void() -> None:
    event = fact("payment_intent.canceled", metadata={"operation_id": "op_auth"})

    assert event.outcome is not None
    assert (event.operation_kind, event.operation_id) == ("VOID", None)
    assert event.outcome.status is OutcomeStatus.SUCCEEDED
    assert event.outcome.amount == Money(4250, "EUR")


def test_a_cancellation_we_asked_for_names_our_operation() -> None:
    event = sample("payment_intent.canceled")
    event["request"]["idempotency_key"] = "op_void.1.1"

    [void] = facts(event)

    assert (void.operation_kind, void.operation_id) == ("VOID", "op_void")


def test_a_payment_canceled_before_it_was_taken_is_declined_and_our_void_is_done() -> None:
    event = sample(
        "payment_intent.canceled",
        capture_method="automatic",
        latest_charge=None,
        metadata={"operation_id": "op_sale"},
    )
    event["request"]["idempotency_key"] = "op_void.1.1"

    declined, void = facts(event)

    assert declined.outcome is not None
    assert (declined.operation_kind, declined.operation_id) == ("SALE", "op_sale")
    assert declined.outcome.status is OutcomeStatus.DECLINED
    assert void.outcome is not None
    assert (void.operation_kind, void.operation_id) == ("VOID", "op_void")
    assert void.outcome.status is OutcomeStatus.SUCCEEDED
    assert declined.event_id != void.event_id


def test_an_expired_authorization_is_a_void() -> None:
    event = fact("charge.expired")

    assert event.outcome is not None
    assert event.operation_kind == "VOID"
    assert event.outcome.status is OutcomeStatus.SUCCEEDED
    assert event.payment_ref == "pi_3SAMPLEord1001"


@pytest.mark.parametrize("name", ["refund.created", "refund.updated"])
def test_a_refund_names_its_operation_and_its_payment(name: str) -> None:
    event = fact(name, metadata={"operation_id": "op_9"})

    assert event.outcome is not None
    assert (event.operation_kind, event.operation_id) == ("REFUND", "op_9")
    assert event.outcome.status is OutcomeStatus.SUCCEEDED
    assert event.outcome.amount == Money(1500, "EUR")
    assert (event.provider_ref, event.payment_ref) == ("re_3SAMPLEord1001", "pi_3SAMPLEord1001")


def test_a_refund_made_in_the_dashboard_has_no_operation() -> None:
    assert fact("refund.created").operation_id is None


def test_a_refund_that_had_succeeded_and_failed_is_reversed() -> None:
    event = fact("refund.failed")

    assert event.outcome is not None
    assert event.outcome.status is OutcomeStatus.REVERSED
    assert event.outcome.failure is not None
    assert event.outcome.failure.provider_code == "expired_or_canceled_card"


def test_a_refund_that_failed_without_having_succeeded_is_declined() -> None:
    event = sample("refund.failed")
    event["data"]["previous_attributes"] = {"status": "pending"}

    [declined] = facts(event)

    assert declined.outcome is not None
    assert declined.outcome.status is OutcomeStatus.DECLINED


@pytest.mark.parametrize(
    "name",
    [
        "charge.failed",
        "charge.refunded",
        "charge.succeeded",
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "payment_intent.created",
        "payout.created",
        "payout.failed",
        "payout.paid",
        "payout.reconciliation_completed",
    ],
)
def test_events_that_only_inform_have_no_outcome(name: str) -> None:
    event = fact(name)

    assert event.outcome is None
    assert event.kind == name
    assert event.provider_ref is not None


def test_every_published_event_is_covered_here() -> None:
    assert len(list(HERE.glob("samples/event_*.json"))) == 24


def test_a_kind_nobody_knows_is_no_error() -> None:
    [event] = facts({"id": "evt_1", "type": "moon.phase", "data": {"object": {"id": "x"}}})

    assert (event.kind, event.outcome) == ("moon.phase", None)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"id": "evt_1"}', b"\xff", b'{"id": 1, "type": "x"}', b"[" * 100_000],
)
def test_what_is_no_event_is_not_understood(body: bytes) -> None:
    with pytest.raises(Unparseable):
        StripeAdapter().parse_webhook(CallbackRequest({}, {}, body, NOW))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_received": "4250"},
        {"amount_received": None},
        {"amount_received": 42.5},
        {"amount_received": True},
        {"currency": "xxx"},
        {"currency": None},
        {"status": "sideways"},
        {"metadata": [1]},
        {"id": None},
    ],
)
def test_a_success_that_cannot_be_read_is_not_a_success(changes: dict[str, Any]) -> None:
    with pytest.raises(Unparseable):
        facts(sample("payment_intent.succeeded", **changes))


def test_an_event_of_the_other_mode_is_refused() -> None:
    bench = a_bench(StripeAdapter())
    event = sample("payment_intent.succeeded")

    [good] = bench.dispatcher.verify_and_parse(an_account("stripe"), a_callback(event))

    assert good.event_id == "evt_3SAMPLE004"
    with pytest.raises(BadSignature):
        bench.dispatcher.verify_and_parse(an_account("stripe", live=True), a_callback(event))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(sorted(path.name for path in HERE.glob("samples/event_*.json"))),
    st.sampled_from(["id", "status", "amount", "currency", "metadata", "payment_intent", "object"]),
    JSON,
)
def test_whatever_a_member_is_the_parser_answers_or_does_not_understand(
    name: str, changed: str, value: object
) -> None:
    event = json.loads((HERE / "samples" / name).read_text("utf-8"))
    event["data"]["object"][changed] = value
    try:
        body = json.dumps(event, allow_nan=False).encode()
    except (ValueError, UnicodeEncodeError):
        return
    try:
        events = StripeAdapter().parse_webhook(CallbackRequest({}, {}, body, NOW))
    except Unparseable:
        return

    assert events
