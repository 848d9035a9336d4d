"""Stripe's callbacks: proof and translation. Source: docs.stripe.com/webhooks/signature."""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from core.money import Money
from gateways.port import (
    BadSignature,
    CallbackRequest,
    Failure,
    Outcome,
    OutcomeStatus,
    ProviderEvent,
    StaleSignature,
    Unparseable,
)
from gateways.stripe import captures
from gateways.stripe.mapping import (
    OPERATION_KEY,
    intent_outcome,
    operation_of,
    refund_outcome,
    void_outcome,
    was_authorized,
)
from gateways.stripe.reading import (
    Json,
    instant,
    integer,
    member,
    money,
    parse,
    reference,
    text,
    text_or_none,
)

TOLERANCE_SECONDS: Final = 300
SIGNATURES_MAX: Final = 16
_HEADER_CHARACTERS_MAX: Final = 4096


def verify(request: CallbackRequest, secrets: Sequence[str]) -> None:
    """Prove that Stripe signed these bytes, within five minutes either way.

    Stripe's own library sets no bound for times in the future; this is stricter.
    Raises: BadSignature, StaleSignature.
    """
    timestamp, signatures = _signature_header(request.headers.get("stripe-signature", ""))
    signed = timestamp.encode("ascii") + b"." + request.body
    proven = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), signed, "sha256").hexdigest() if secret else ""
        for signature in signatures:
            proven |= bool(secret) and hmac.compare_digest(expected, signature)
    if not proven:
        raise BadSignature("no signature matches")
    if abs(request.received_at.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise StaleSignature("signed at another time")


def _signature_header(header: str) -> tuple[str, list[str]]:
    if len(header) > _HEADER_CHARACTERS_MAX or not header.isascii():
        raise BadSignature("malformed signature header")
    pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
    timestamps = [value for name, value in pairs if name == "t"]
    signatures = [value for name, value in pairs if name == "v1"]
    if len(timestamps) != 1 or not timestamps[0].isdigit() or len(timestamps[0]) > 12:
        raise BadSignature("malformed signature header")
    if not 1 <= len(signatures) <= SIGNATURES_MAX:
        raise BadSignature("no signature, or too many")
    return timestamps[0], signatures


def parse_events(request: CallbackRequest) -> list[ProviderEvent]:
    """The facts in one event. A kind that we do not act on gives an event without outcome.

    Raises: Unparseable.
    """
    event = parse(request.body)
    kind = text(event, "type")
    blank = ProviderEvent(
        event_id=text(event, "id"),
        kind=kind,
        occurred_at=instant(event, "created") if "created" in event else request.received_at,
        live=_mode(event),
    )
    subject = member(member(event, "data"), "object")
    if kind in _INTENT_EVENTS:
        return _intent_facts(blank, event, subject)
    if kind in _REFUND_EVENTS:
        return [_refund_fact(blank, event, subject)]
    if kind == "charge.expired":
        return [_expired_fact(blank, subject)]
    if kind == "charge.captured":
        return [_captured_fact(blank, event, subject)]
    payment_ref = reference(subject, "payment_intent")
    return [replace(blank, provider_ref=text_or_none(subject, "id"), payment_ref=payment_ref)]


_INTENT_EVENTS: Final = frozenset(
    {
        "payment_intent.succeeded",
        "payment_intent.amount_capturable_updated",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.processing",
        "payment_intent.canceled",
    }
)
_REFUND_EVENTS: Final = frozenset(
    {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
)


def _intent_facts(blank: ProviderEvent, event: Json, intent: Json) -> list[ProviderEvent]:
    """An intent stands for its SALE or AUTHORIZE, for its captures, and for its cancellation."""
    manual = intent.get("capture_method") == "manual"
    intent_id = text(intent, "id")
    about = replace(blank, provider_ref=intent_id, payment_ref=intent_id)
    status = text(intent, "status")
    captured = (
        _capture_facts(about, intent) if manual and integer(intent, "amount_received") else []
    )
    first = replace(
        about,
        operation_kind="AUTHORIZE" if manual else "SALE",
        operation_id=operation_of(intent, OPERATION_KEY),
    )
    if status == "canceled":
        return [*captured, *_canceled_facts(first, event, intent)]
    if captured:
        return captured
    return [replace(first, outcome=intent_outcome(intent, first.operation_kind or ""))]


def _capture_facts(about: ProviderEvent, intent: Json) -> list[ProviderEvent]:
    """Each capture of ours that an intent with money received shows, each with its own amount.

    A capture that is not ours is told here only where it must be the only one; where there may be
    several, its own event tells how much it took.
    """
    if captures.ours(intent):
        if captures.allows_several(intent) and not captures.adds_up(intent):
            return [about]
        return [
            replace(
                about,
                event_id=f"{about.event_id}:{operation_id}",
                outcome=captures.outcome_of(intent, operation_id),
                operation_kind="CAPTURE",
                operation_id=operation_id,
                provider_ref=None,
            )
            for operation_id in captures.ours(intent)
        ]
    if captures.allows_several(intent):
        return [about]
    return [_external_capture(about, intent, money(intent, "amount_received"))]


def _external_capture(about: ProviderEvent, subject: Json, taken: Money) -> ProviderEvent:
    assert about.payment_ref is not None
    total = "amount_captured" if "amount_captured" in subject else "amount_received"
    place = captures.reference_of(about.payment_ref, money(subject, total))
    raw_status = text(subject, "status")
    return replace(
        about,
        outcome=Outcome(OutcomeStatus.SUCCEEDED, place, taken, raw_status=raw_status),
        operation_kind="CAPTURE",
        provider_ref=place,
    )


def _captured_fact(blank: ProviderEvent, event: Json, charge: Json) -> ProviderEvent:
    """One capture, ours or not: what the charge has now, less what it had before."""
    about = replace(
        blank,
        provider_ref=text(charge, "id"),
        payment_ref=reference(charge, "payment_intent"),
    )
    before = member(member(event, "data"), "previous_attributes")
    if about.payment_ref is None or "amount_captured" not in before:
        return about
    earlier = money({**before, "currency": charge.get("currency")}, "amount_captured")
    taken = money(charge, "amount_captured") - earlier
    if taken.minor_units <= 0:
        raise Unparseable("a capture that took nothing")
    return replace(_external_capture(about, charge, taken), operation_id=_asked_by(event))


def _asked_by(event: Json) -> str | None:
    """Our operation whose call caused an event: its key begins with the operation's id."""
    key = text_or_none(member(event, "request"), "idempotency_key") or ""
    operation_id = key.partition(".")[0]
    return operation_id if operation_id.startswith("op_") else None


def _canceled_facts(first: ProviderEvent, event: Json, intent: Json) -> list[ProviderEvent]:
    """A cancellation ends an authorization (VOID), or a payment that was never taken (declined).

    If we asked for it, the VOID is ours in both cases: the event echoes the key of our call.
    """
    void = replace(
        first,
        event_id=f"{first.event_id}:void",
        operation_kind="VOID",
        operation_id=_asked_by(event),
        outcome=void_outcome(intent),
    )
    if was_authorized(intent):
        return [void]
    declined = replace(first, outcome=intent_outcome(intent, first.operation_kind or ""))
    return [declined, void] if void.operation_id else [declined]


def _refund_fact(blank: ProviderEvent, event: Json, refund: Json) -> ProviderEvent:
    outcome = refund_outcome(refund)
    before = member(member(event, "data"), "previous_attributes").get("status")
    if outcome.status is OutcomeStatus.DECLINED and before == "succeeded":
        outcome = replace(outcome, status=OutcomeStatus.REVERSED)
    return replace(
        blank,
        outcome=outcome,
        operation_kind="REFUND",
        operation_id=operation_of(refund, OPERATION_KEY),
        provider_ref=outcome.provider_ref,
        payment_ref=reference(refund, "payment_intent"),
    )


def _expired_fact(blank: ProviderEvent, charge: Json) -> ProviderEvent:
    """An authorization that ran out: to the books the same as a void."""
    intent_id = reference(charge, "payment_intent")
    if intent_id is None or integer(charge, "amount_captured"):
        return replace(blank, provider_ref=text(charge, "id"), payment_ref=intent_id)
    failure = Failure("authorization_expired", "the authorization ran out")
    return replace(
        blank,
        outcome=Outcome(
            OutcomeStatus.SUCCEEDED,
            intent_id,
            money(charge, "amount"),
            failure=failure,
            raw_status="expired",
        ),
        operation_kind="VOID",
        provider_ref=intent_id,
        payment_ref=intent_id,
    )


def _mode(event: Json) -> bool | None:
    live = event.get("livemode")
    if live is not None and not isinstance(live, bool):
        raise Unparseable("livemode is no boolean")
    return live
