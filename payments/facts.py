"""What we learn about an operation, before and after it is written down as evidence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core.identifiers import new_id
from gateways.port import Failure, NextAction, Outcome, OutcomeStatus
from payments.model import Evidence, Operation, OperationKind, Says, Source

AMOUNT_MISMATCH: Final = "amount_mismatch"
_EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a source says about an operation. Two facts of one `dedup_key` are one fact.

    `send` numbers the try it is about (the fence under which it was sent), where that is known.
    """

    source: str
    outcome: Outcome
    dedup_key: str
    occurred_at: datetime
    provider_event_id: str | None = None
    note: str | None = None
    send: int | None = None


def as_evidence(operation: Operation, fact: Fact) -> Evidence:
    """The fact as evidence about this operation, its amount checked.

    A success that does not say how much is not understood; one of another amount is kept with what
    it says, as a mismatch. Only a void may say another amount: it gives back what is left.
    """
    outcome = _checked(operation, fact.outcome)
    mismatch = outcome.failure is not None and outcome.failure.code == AMOUNT_MISMATCH
    facts: dict[str, Any] = {
        "send": fact.send,
        "raw_status": outcome.raw_status,
        "mismatch": mismatch or None,
        "expired": outcome.raw_status == _EXPIRED or None,
        "decline": decline_of(outcome.failure),
        "next_action": action_of(outcome.next_action),
    }
    return Evidence(
        id=new_id(),
        operation_id=operation.id,
        source=Source(fact.source),
        says=Says(outcome.status.value),
        dedup_key=fact.dedup_key,
        occurred_at=fact.occurred_at,
        amount=outcome.amount.minor_units if outcome.amount else None,
        currency=outcome.amount.currency if outcome.amount else None,
        fee=_fee(operation, outcome),
        provider_ref=outcome.provider_ref,
        facts={name: value for name, value in facts.items() if value is not None},
        provider_event_id=fact.provider_event_id,
        note=fact.note,
    )


def _checked(operation: Operation, outcome: Outcome) -> Outcome:
    """The outcome, UNKNOWN where it contradicts what was asked for."""
    if outcome.status not in (OutcomeStatus.SUCCEEDED, OutcomeStatus.REVERSED):
        return outcome
    if outcome.amount is None:
        return _doubted(outcome, "unparseable", "success without an amount")
    if operation.kind is OperationKind.VOID or outcome.amount == operation.money:
        return outcome
    return _doubted(outcome, AMOUNT_MISMATCH, "the provider reports another amount")


def _doubted(outcome: Outcome, code: str, message: str) -> Outcome:
    return Outcome(
        OutcomeStatus.UNKNOWN,
        outcome.provider_ref,
        outcome.amount,
        outcome.fee,
        Failure(code, message),
        raw_status=outcome.raw_status,
        occurred_at=outcome.occurred_at,
    )


def _fee(operation: Operation, outcome: Outcome) -> int | None:
    """The fee, if it is of the payment's own currency; another one waits for the report."""
    fee = outcome.fee
    if fee is None or fee.currency != operation.currency or fee.minor_units < 0:
        return None
    return fee.minor_units


def decline_of(failure: Failure | None) -> dict[str, Any] | None:
    """Why it did not succeed, as it is stored and shown."""
    if failure is None:
        return None
    return {
        "kind": failure.decline.value if failure.decline else "OTHER",
        "code": failure.code,
        "message": failure.message,
        "provider_code": failure.provider_code,
        "network_code": failure.network_code,
        "advice_code": failure.advice_code,
        "retryable_with_same_method": failure.retry_same_provider,
    }


def action_of(action: NextAction | None) -> dict[str, Any] | None:
    """What the shopper must do, as it is stored and shown."""
    if action is None:
        return None
    return {
        "kind": action.kind.value,
        "url": action.url,
        "fields": dict(action.fields),
        "expires_at": action.expires_at.isoformat() if action.expires_at else None,
    }


def intent(operation: Operation, says: Says, send: int, at: datetime) -> Evidence:
    """That we mean to send (CREATED), or are about to (SENT)."""
    return Evidence(
        id=new_id(),
        operation_id=operation.id,
        source=Source.INTENT,
        says=says,
        dedup_key="created" if says is Says.CREATED else f"sent:{send}",
        occurred_at=at,
        facts={} if says is Says.CREATED else {"send": send},
    )


def nothing_sent(
    operation: Operation, send: int, failure: Failure | None, at: datetime
) -> Evidence:
    """A try that surely sent nothing, and that will be repeated: back to CREATED."""
    return Evidence(
        id=new_id(),
        operation_id=operation.id,
        source=Source.RESPONSE,
        says=Says.CREATED,
        dedup_key=f"unsent:{send}",
        occurred_at=at,
        facts={"send": send},
        note=failure.code if failure else None,
    )


def unanswered(operation: Operation, send: int, at: datetime) -> Evidence:
    """A try whose sender was cut off: nobody knows what became of it."""
    return Evidence(
        id=new_id(),
        operation_id=operation.id,
        source=Source.CLOCK,
        says=Says.UNKNOWN,
        dedup_key=f"unanswered:{send}",
        occurred_at=at,
        facts={"send": send},
        note="sent, and not answered before its lease ended",
    )


def horizon_passed(operation: Operation, at: datetime) -> Evidence:
    """Asking has ended without a last word: a person has to look."""
    return Evidence(
        id=new_id(),
        operation_id=operation.id,
        source=Source.CLOCK,
        says=Says.UNKNOWN,
        dedup_key="horizon",
        occurred_at=at,
        facts={"horizon": True},
        note="not certain within the time the provider can be asked",
    )
