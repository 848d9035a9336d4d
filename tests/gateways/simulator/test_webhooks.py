"""Callbacks: proven or refused, then translated."""

import hashlib
import hmac
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.money import Money
from gateways.port import (
    BadSignature,
    CallbackRequest,
    OutcomeStatus,
    StaleSignature,
    Unparseable,
)
from gateways.simulator import SimulatorAdapter
from simulator.deliveries import sign
from tests.gateways.simulator.test_flows import a_movement, a_payment

ADAPTER = SimulatorAdapter()
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
T = int(NOW.timestamp())
BODY = b'{"id":"evt_1"}'


def a_callback(header: str | None, body: bytes = BODY, at: datetime = NOW) -> CallbackRequest:
    headers = {} if header is None else {"simulator-signature": header}
    return CallbackRequest(headers, {}, body, at)


def an_event(type: str, subject: dict[str, Any]) -> CallbackRequest:
    event = {"id": "evt_1", "type": type, "created": "2026-03-01T12:00:05.000Z", "data": subject}
    return a_callback(None, json.dumps(event).encode())


def test_the_simulators_own_signature_is_accepted() -> None:
    ADAPTER.verify_webhook(a_callback(sign("wh", BODY, T)), ["wh"])


def test_a_known_vector_is_accepted() -> None:
    signature = hmac.new(b"whsec", b"1772366400.{}", hashlib.sha256).hexdigest()
    assert T == 1772366400

    ADAPTER.verify_webhook(a_callback(f"v1={signature}, t={T}", b"{}"), ["whsec"])


def test_while_a_secret_is_rotated_both_are_accepted() -> None:
    for secret in ("new", "old"):
        ADAPTER.verify_webhook(a_callback(sign(secret, BODY, T)), ["new", "old"])

    with pytest.raises(BadSignature):
        ADAPTER.verify_webhook(a_callback(sign("older", BODY, T)), ["new", "old"])


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_no_secret_verifies_nothing(secrets: list[str]) -> None:
    with pytest.raises(BadSignature):
        ADAPTER.verify_webhook(a_callback(sign("", BODY, T)), secrets)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_within_the_tolerance_it_is_accepted(seconds: int) -> None:
    at = NOW + timedelta(seconds=seconds)

    ADAPTER.verify_webhook(a_callback(sign("wh", BODY, T), at=at), ["wh"])


@pytest.mark.parametrize("seconds", [-301, 301, 10**6])
def test_outside_the_tolerance_it_is_stale_both_ways(seconds: int) -> None:
    at = NOW + timedelta(seconds=seconds)

    with pytest.raises(StaleSignature):
        ADAPTER.verify_webhook(a_callback(sign("wh", BODY, T), at=at), ["wh"])


def test_a_stale_forgery_is_a_forgery() -> None:
    with pytest.raises(BadSignature) as refused:
        ADAPTER.verify_webhook(a_callback(sign("x", BODY, T - 9999)), ["wh"])

    assert not isinstance(refused.value, StaleSignature)


GOOD = sign("wh", BODY, T)
SIGNATURE = GOOD.partition("v1=")[2]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=,v1=",
        f"v1={SIGNATURE}",
        f"t={T}",
        f"t={T},t={T},v1={SIGNATURE}",
        f"t={T}.0,v1={SIGNATURE}",
        f"t=+{T},v1={SIGNATURE}",
        f"t={'٣' * 10},v1={SIGNATURE}",
        f"t={'9' * 5000},v1={SIGNATURE}",
        f"t={T},v1={SIGNATURE[:-1]}",
        f"t={T},v1={SIGNATURE}0",
        f"t={T},v1={SIGNATURE.upper()}",
        f"t={T},v1=é{SIGNATURE[1:]}",
        f"t={T},v0={SIGNATURE}",
        f"t={T}," + ",".join([f"v1={'0' * 64}"] * 16) + f",v1={SIGNATURE}",
    ],
)
def test_a_malformed_header_is_refused(header: str | None) -> None:
    with pytest.raises(BadSignature):
        ADAPTER.verify_webhook(a_callback(header), ["wh"])


def test_sixteen_signatures_are_looked_at() -> None:
    header = f"t={T}," + ",".join([f"v1={'0' * 64}"] * 15) + f",v1={SIGNATURE}"

    ADAPTER.verify_webhook(a_callback(header), ["wh"])


def test_no_single_flipped_bit_is_accepted() -> None:
    dice = random.Random(24)
    body = json.dumps(a_payment()).encode()
    header = sign("wh", body, T)

    for _ in range(10_000):
        parts = [bytearray(header.encode()), bytearray(body)]
        part = dice.choice(parts)
        part[dice.randrange(len(part))] ^= 1 << dice.randrange(8)
        changed = a_callback(parts[0].decode("latin-1"), bytes(parts[1]))
        with pytest.raises(BadSignature):
            ADAPTER.verify_webhook(changed, ["wh"])


@pytest.mark.parametrize(
    ("type", "changes", "kind", "status"),
    [
        ("payment.captured", {}, "SALE", OutcomeStatus.SUCCEEDED),
        (
            "payment.authorized",
            {"status": "authorized", "capture": False},
            "AUTHORIZE",
            OutcomeStatus.SUCCEEDED,
        ),
        (
            "payment.pending",
            {"status": "pending", "amount_authorized": 0},
            "SALE",
            OutcomeStatus.PENDING,
        ),
        (
            "payment.declined",
            {"status": "declined", "amount_authorized": 0, "decline": {"code": "suspected_fraud"}},
            "SALE",
            OutcomeStatus.DECLINED,
        ),
        (
            "payment.expired",
            {"status": "expired", "amount_authorized": 0},
            "SALE",
            OutcomeStatus.DECLINED,
        ),
        (
            "payment.requires_action",
            {
                "status": "requires_action",
                "amount_authorized": 0,
                "next_action": {"type": "redirect", "url": "http://s/3ds/sp_1"},
            },
            "SALE",
            OutcomeStatus.REQUIRES_ACTION,
        ),
    ],
)
def test_an_event_about_a_payment_names_our_operation(
    type: str, changes: dict[str, Any], kind: str, status: OutcomeStatus
) -> None:
    (event,) = ADAPTER.parse_webhook(an_event(type, a_payment(**changes)))

    assert (event.event_id, event.kind) == ("evt_1", type)
    assert (event.operation_id, event.operation_kind) == ("op_1", kind)
    assert event.provider_ref == event.payment_ref == "sp_1"
    assert event.outcome is not None
    assert event.outcome.status is status
    assert event.outcome.amount == Money(1000, "EUR")


@pytest.mark.parametrize(
    ("type", "object", "kind"),
    [
        ("capture.succeeded", "capture", "CAPTURE"),
        ("payment.voided", "void", "VOID"),
        ("payment.expired", "void", "VOID"),
        ("refund.succeeded", "refund", "REFUND"),
    ],
)
@pytest.mark.parametrize("reference", ["op_1", None])
def test_an_event_about_a_movement_names_it_and_its_payment(
    type: str, object: str, kind: str, reference: str | None
) -> None:
    (event,) = ADAPTER.parse_webhook(an_event(type, a_movement(object, reference=reference)))

    assert (event.operation_id, event.operation_kind) == (reference, kind)
    assert (event.provider_ref, event.payment_ref) == ("sr_1", "sp_1")
    assert event.outcome is not None
    assert event.outcome.status is OutcomeStatus.SUCCEEDED


def test_a_refund_that_came_back_is_reversed() -> None:
    (event,) = ADAPTER.parse_webhook(
        an_event("refund.failed", a_movement("refund", status="failed"))
    )

    assert event.outcome is not None
    assert event.outcome.status is OutcomeStatus.REVERSED


def test_an_unknown_type_has_no_outcome() -> None:
    (event,) = ADAPTER.parse_webhook(an_event("payment.sung_about", {}))

    assert (event.kind, event.outcome) == ("payment.sung_about", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"id":"evt_1","type":"payment.captured"}',
        b'{"id":"evt_1","type":"payment.captured","created":"2026-03-01T12:00:05Z"}',
        b'{"id":1,"type":"payment.captured","created":"2026-03-01T12:00:05Z","data":{}}',
        b'{"id":"evt_1","type":"payment.captured","created":"now","data":{}}',
        b'{"id":"evt_1","type":"payment.captured","created":"2026-03-01T12:00:05Z","data":{}}',
    ],
)
def test_a_body_that_is_not_understood_is_unparseable(body: bytes) -> None:
    with pytest.raises(Unparseable):
        ADAPTER.parse_webhook(a_callback(None, body))


@pytest.mark.parametrize(
    "created",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2026-03-01T12:00:05",
    ],
)
def test_a_time_that_could_not_be_read_again_or_is_of_another_age_is_unparseable(
    created: str,
) -> None:
    event = {"id": "evt_1", "type": "payment.captured", "created": created, "data": a_payment()}

    with pytest.raises(Unparseable, match="created"):
        ADAPTER.parse_webhook(a_callback(None, json.dumps(event).encode()))
