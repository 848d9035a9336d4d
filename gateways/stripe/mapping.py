"""What Stripe's statuses and errors mean in our words. Pure. Source: docs.stripe.com/api."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final

from core.money import Money
from gateways.port import (
    DeclineKind,
    Failure,
    HttpResponse,
    NextAction,
    NextActionKind,
    Operation,
    Outcome,
    OutcomeStatus,
    Unparseable,
)
from gateways.stripe.reading import Json, member, money, parse, text, text_or_none
from gateways.stripe.stored_methods import stored_by

OPERATION_KEY: Final = "operation_id"
"""Metadata under which an intent or a refund carries the id of our operation that made it."""

STATE_CODES: Final = frozenset(
    {
        "payment_intent_unexpected_state",
        "charge_already_captured",
        "charge_already_refunded",
        "charge_expired_for_capture",
        "capture_charge_authorization_expired",
        "charge_disputed",
        "refund_disputed_payment",
    }
)
"""The object is not in a state for this; it may have been done already, so it is fetched."""


_REFUSALS: Final = {
    400: frozenset({"invalid_request_error", "card_error"}),
    402: frozenset({"card_error"}),
    404: frozenset({"invalid_request_error"}),
}
"""Only these answers prove that Stripe read the request and refused it."""
BALANCE_RETRY_SECONDS: Final = 3600.0
"""How long to leave a refund alone that the account's balance cannot cover."""


def _read_declines() -> Mapping[str, tuple[DeclineKind, bool]]:
    table = tomllib.loads(resources.files(__package__).joinpath("declines.toml").read_text("utf-8"))
    return {
        code: (DeclineKind(entry.get("kind", name)), bool(entry["elsewhere"]))
        for name, entry in table.items()
        for code in entry["codes"]
    }


_DECLINES: Final = _read_declines()
_DO_NOT_TELL: Final = frozenset({"lost_card", "stolen_card", "fraudulent", "merchant_blacklist"})


def intent_outcome(intent: Json, operation_kind: str) -> Outcome:
    """What a PaymentIntent says about the SALE or AUTHORIZE that made it. Raises: Unparseable."""
    provider_ref, raw_status = intent_id(intent), text(intent, "status")
    status = _intent_status(intent, raw_status, operation_kind)
    if status is OutcomeStatus.DECLINED:
        return Outcome(status, provider_ref, failure=_why_declined(intent), raw_status=raw_status)
    if status is OutcomeStatus.REQUIRES_ACTION:
        action, amount = _next_action(intent), money(intent, "amount")
    else:
        action, amount = None, _intent_amount(intent, raw_status, operation_kind)
    stored = stored_by(intent) if status is OutcomeStatus.SUCCEEDED else None
    return Outcome(
        status,
        provider_ref,
        amount,
        next_action=action,
        raw_status=raw_status,
        stored_method=stored,
    )


def is_undecided(intent: Json) -> bool:
    """Whether an intent was made, but not confirmed: nothing was charged, something yet may be."""
    status = text(intent, "status")
    return status == "requires_confirmation" or (
        status == "requires_payment_method" and not member(intent, "last_payment_error")
    )


def _intent_status(intent: Json, raw_status: str, operation_kind: str) -> OutcomeStatus:
    authorizing = operation_kind == "AUTHORIZE" and intent.get("capture_method") == "manual"
    found: OutcomeStatus | None = None
    match raw_status:
        case "succeeded" if operation_kind == "SALE" or authorizing:
            found = OutcomeStatus.SUCCEEDED
        case "requires_capture" if authorizing:
            found = OutcomeStatus.SUCCEEDED
        case "canceled":
            gone = authorizing and was_authorized(intent)
            found = OutcomeStatus.SUCCEEDED if gone else OutcomeStatus.DECLINED
        case "requires_payment_method" if member(intent, "last_payment_error"):
            found = OutcomeStatus.DECLINED
        case "processing":
            found = OutcomeStatus.PENDING
        case "requires_action":
            found = OutcomeStatus.REQUIRES_ACTION
        case _:
            pass
    if found is None:
        raise Unparseable(f"a {operation_kind} cannot be {raw_status[:40]}")
    return found


def _intent_amount(intent: Json, raw_status: str, operation_kind: str) -> Money:
    """What was taken (SALE), or what was authorized, whatever became of it later."""
    if raw_status == "succeeded" and operation_kind == "SALE":
        return money(intent, "amount_received")
    if raw_status == "requires_capture":
        return money(intent, "amount_capturable") + money(intent, "amount_received")
    return money(intent, "amount")


def _why_declined(intent: Json) -> Failure:
    error = member(intent, "last_payment_error")
    if error:
        return decline(error)
    return Failure("canceled", "the payment was canceled before it was taken")


def void_outcome(intent: Json) -> Outcome:
    """What a PaymentIntent says once its cancellation was accepted. Raises: Unparseable.

    What was captured before stays captured: the void gives back the rest.
    """
    status = text(intent, "status")
    if status != "canceled":
        raise Unparseable(f"a canceled intent cannot be {status[:40]}")
    released = money(intent, "amount") - money(intent, "amount_received")
    return Outcome(OutcomeStatus.SUCCEEDED, intent_id(intent), released, raw_status=status)


_REFUND_STATUSES: Final = {
    "succeeded": OutcomeStatus.SUCCEEDED,
    "pending": OutcomeStatus.PENDING,
    "requires_action": OutcomeStatus.REQUIRES_ACTION,
    "failed": OutcomeStatus.DECLINED,
    "canceled": OutcomeStatus.DECLINED,
}


def refund_outcome(refund: Json) -> Outcome:
    """What a Refund says about itself. Raises: Unparseable."""
    if text(refund, "object") != "refund":
        raise Unparseable("no refund")
    raw_status = text(refund, "status")
    status = _REFUND_STATUSES.get(raw_status)
    if status is None:
        raise Unparseable(f"a refund cannot be {raw_status[:40]}")
    failure = None
    if status is OutcomeStatus.DECLINED:
        reason = text_or_none(refund, "failure_reason")
        failure = Failure(f"refund_{raw_status}", "the refund failed", provider_code=reason)
    return Outcome(
        status, text(refund, "id"), money(refund, "amount"), failure=failure, raw_status=raw_status
    )


def refusal(response: HttpResponse) -> Outcome:
    """What an answer that is no success means. Raises: Unparseable, so that nobody guesses."""
    error = member(parse(response.body), "error")
    kind, code = text(error, "type"), text_or_none(error, "code")
    if response.status in {401, 403}:
        return _not_executed(response, "authentication", decline=DeclineKind.CONFIG)
    if response.status == 429:
        return _throttled(response, code)
    if response.status == 409:
        return _unknown("in_progress", code)
    if kind == "idempotency_error":
        return _unknown("idempotency_error", code)
    return _declined(response, error, code)


def _declined(response: HttpResponse, error: Json, code: str | None) -> Outcome:
    if error["type"] not in _REFUSALS.get(response.status, ()):
        raise Unparseable(f"HTTP {response.status}")
    if code == "balance_insufficient":
        return _not_executed(response, code, retry_after_seconds=BALANCE_RETRY_SECONDS)
    provider_ref = text_or_none(member(error, "payment_intent"), "id")
    return Outcome(OutcomeStatus.DECLINED, provider_ref, failure=decline(error), raw_status=code)


def state_code(response: HttpResponse) -> str | None:
    """The code, when the answer is that the object is not in a state for this."""
    if response.status != 400:
        return None
    code = text_or_none(member(parse(response.body), "error"), "code")
    return code if code in STATE_CODES else None


def decline(error: Json) -> Failure:
    """A card or request error in our words. Raises: Unparseable."""
    code = text_or_none(error, "code") or text(error, "type")
    silent = "generic_decline" if code == "card_declined" else code
    reason = text_or_none(error, "decline_code") or silent
    kind, elsewhere = _kind_of(reason) or _kind_of(code) or (DeclineKind.OTHER, False)
    return Failure(
        code="declined" if kind is not DeclineKind.OTHER else "refused",
        message="the card was declined" if reason in _DO_NOT_TELL else _message(reason),
        decline=kind,
        provider_code=reason,
        network_code=text_or_none(error, "network_decline_code"),
        advice_code=text_or_none(error, "network_advice_code")
        or text_or_none(error, "advice_code"),
        retry_other_provider=elsewhere,
    )


def _kind_of(code: str) -> tuple[DeclineKind, bool] | None:
    return _DECLINES.get("parameter_*" if code.startswith("parameter_") else code)


def was_authorized(intent: Json) -> bool:
    """Whether a canceled intent had been authorized: a charge was made, and did not fail."""
    return (
        intent.get("capture_method") == "manual"
        and intent.get("latest_charge") is not None
        and not member(intent, "last_payment_error")
    )


def operation_of(source: Json, key: str) -> str | None:
    """The id of our operation in an object's metadata."""
    return text_or_none(member(source, "metadata"), key)


def intent_id(intent: Json) -> str:
    """The id of what must be a PaymentIntent. Raises: Unparseable."""
    if text(intent, "object") != "payment_intent":
        raise Unparseable("no payment intent")
    return text(intent, "id")


def check_echo(operation: Operation, echoed: str | None, expected: str) -> None:
    """An answer that names another of our operations, or another payment, is not ours.

    Raises: Unparseable.
    """
    if echoed is not None and echoed != expected:
        raise Unparseable(f"the answer is not about {operation.kind} {operation.id}")


def _next_action(intent: Json) -> NextAction:
    """A page to go to; for any other kind of action Stripe's own script knows what to do."""
    action = member(intent, "next_action")
    if text(action, "type") == "redirect_to_url":
        url = text(member(action, "redirect_to_url"), "url")
        return NextAction(NextActionKind.REDIRECT, url=url)
    secret = text(intent, "client_secret")
    return NextAction(NextActionKind.SDK, fields={"client_secret": secret})


def _throttled(response: HttpResponse, code: str | None) -> Outcome:
    """Nothing was executed. Only a limit of the whole account says something about Stripe."""
    if code == "card_decline_rate_limit_exceeded":
        failure = Failure(
            "too_many_declines", "the card was declined too often", provider_code=code
        )
        return Outcome(OutcomeStatus.NOT_EXECUTED, failure=failure)
    reason = response.headers.get("stripe-rate-limited-reason", "")
    return _not_executed(
        response,
        "rate_limited",
        outage=reason.startswith("global"),
        retry_after_seconds=_seconds(response.headers.get("retry-after")),
    )


def _not_executed(
    response: HttpResponse,
    code: str,
    *,
    decline: DeclineKind | None = None,
    outage: bool = False,
    retry_after_seconds: float | None = None,
) -> Outcome:
    again = decline is None and response.headers.get("stripe-should-retry") != "false"
    return Outcome(
        OutcomeStatus.NOT_EXECUTED,
        failure=Failure(
            code,
            _message(code),
            decline=decline,
            retry_same_provider=again,
            retry_other_provider=True,
            retry_after_seconds=retry_after_seconds,
            outage=outage,
        ),
    )


def _unknown(code: str, provider_code: str | None) -> Outcome:
    failure = Failure(code, _message(code), provider_code=provider_code)
    return Outcome(OutcomeStatus.UNKNOWN, failure=failure)


def _message(code: str) -> str:
    return f"Stripe answered: {code.replace('_', ' ')}"[:200]


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None
