"""Status is computed from the set of evidence, and from nothing else.

Pure functions: the order in which facts arrived, and how often, makes no difference.

    evidence of an operation ──▶ operation ──▶ attempt ──▶ payment
                                          └──▶ refund  ──┘
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from payments.model import (
    ATTEMPT_ENDED,
    OPERATION_REFUSED,
    REFUND_FREED,
    TAKING,
    Aggregate,
    Attempt,
    AttemptStatus,
    Evidence,
    Operation,
    OperationKind,
    OperationStatus,
    Origin,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    Says,
    Source,
    opening_of,
)

RANK: Final = {source: rank for rank, source in enumerate(Source)}
"""INTENT < CLOCK < RESPONSE < WEBHOOK < LOOKUP < REPORT < OPERATOR."""

PROVEN: Final = RANK[Source.LOOKUP]
"""From this rank on somebody looked at the provider's own state, not at a message about it."""

_WAITING: Final = {
    Says.UNKNOWN: OperationStatus.UNKNOWN,
    Says.REQUIRES_ACTION: OperationStatus.REQUIRES_ACTION,
    Says.PENDING: OperationStatus.PENDING,
}
"""Answers that are not final; a later one outranks an earlier one."""

ORPHAN_RECIPE: Final = "orphan_capture"
CREDIT_RELEASED: Final = "store_credit_release"
"""The card was refused: the customer has the credit back, and may have spent it since."""
EXPECTED_RECIPES: Final = frozenset({"authorise", "sale", "capture"})
"""What is posted for a success that was waited for; an orphan has the other recipe."""


@dataclass(frozen=True, slots=True)
class _Finals:
    """The final statements of an evidence set. `mismatches` claim success of another amount."""

    successes: tuple[Evidence, ...]
    refusals: tuple[Evidence, ...]
    reversals: tuple[Evidence, ...]
    mismatches: tuple[Evidence, ...]
    horizon_passed: bool

    @property
    def looked(self) -> bool:
        """Whether somebody has looked at the provider's own state."""
        said = (*self.successes, *self.refusals, *self.reversals, *self.mismatches)
        return self.horizon_passed or _rank(said) >= PROVEN

    @property
    def exist(self) -> bool:
        return bool(self.successes or self.refusals or self.reversals or self.mismatches)

    @property
    def contradict(self) -> bool:
        """Whether they cannot all be true, and none is proven over the others."""
        success = _rank(self.successes)
        if self.mismatches and not (success >= PROVEN and success > _rank(self.mismatches)):
            return True
        if self.reversals and not self.successes:
            return True
        refusal = _rank(self.refusals)
        return bool(
            self.successes and self.refusals and not (success >= PROVEN and success > refusal)
        )


def project_operation(operation: Operation, evidence: Collection[Evidence]) -> Operation:
    """The operation as its evidence has it."""
    finals = _finals(evidence)
    status = _status(finals, evidence)
    shown = _strongest(e for e in evidence if e.provider_ref is not None)
    fee = _strongest(e for e in evidence if e.fee is not None)
    refusal = _strongest(finals.refusals) if status in OPERATION_REFUSED else None
    action = _latest(e for e in evidence if e.says is Says.REQUIRES_ACTION)
    waits = status is OperationStatus.REQUIRES_ACTION
    return replace(
        operation,
        status=status,
        provider_ref=shown.provider_ref if shown else operation.provider_ref,
        moved_amount=_moved(finals),
        fee=fee.fee if fee else None,
        expired=any(e.facts.get("expired") for e in (*finals.successes, *finals.refusals)),
        decline=refusal.facts.get("decline") if refusal else None,
        next_action=action.facts.get("next_action") if action and waits else None,
    )


def _finals(evidence: Collection[Evidence]) -> _Finals:
    def saying(*says: Says) -> tuple[Evidence, ...]:
        return tuple(e for e in evidence if e.says in says)

    return _Finals(
        successes=saying(Says.SUCCEEDED),
        refusals=saying(Says.DECLINED, Says.NOT_EXECUTED),
        reversals=saying(Says.REVERSED),
        mismatches=tuple(e for e in evidence if e.facts.get("mismatch")),
        horizon_passed=any(e.facts.get("horizon") for e in evidence),
    )


def _status(finals: _Finals, evidence: Collection[Evidence]) -> OperationStatus:
    if not finals.exist:
        return OperationStatus.IN_REVIEW if finals.horizon_passed else _waiting(evidence)
    if finals.contradict:
        return OperationStatus.IN_REVIEW if finals.looked else OperationStatus.UNKNOWN
    if finals.reversals:
        return OperationStatus.REVERSED
    if finals.successes:
        return OperationStatus.SUCCEEDED
    refusal = _strongest(finals.refusals)
    assert refusal is not None
    return OperationStatus(refusal.says.value)


def _waiting(evidence: Iterable[Evidence]) -> OperationStatus:
    """No final word yet: the furthest thing that was said of a try that was really sent."""
    evidence = tuple(evidence)
    sent = {e.facts.get("send", 1) for e in evidence if e.says is Says.SENT}
    unsent = {e.facts["send"] for e in evidence if e.says is Says.CREATED and "send" in e.facts}
    answers = {e.says for e in evidence if e.facts.get("send") not in unsent}
    for says in (Says.PENDING, Says.REQUIRES_ACTION, Says.UNKNOWN):
        if says in answers:
            return _WAITING[says]
    return OperationStatus.SENT if sent - unsent else OperationStatus.CREATED


def _moved(finals: _Finals) -> int | None:
    """What the provider moved: what a success says, or a mismatch that was looked up."""
    mismatch = _strongest(finals.mismatches)
    success = _strongest(finals.successes)
    if (
        mismatch
        and RANK[mismatch.source] >= PROVEN
        and (success is None or RANK[success.source] <= RANK[mismatch.source])
    ):
        return mismatch.amount
    return success.amount if success else None


def _rank(evidence: Iterable[Evidence]) -> int:
    return max((RANK[e.source] for e in evidence), default=-1)


def _strongest(evidence: Iterable[Evidence]) -> Evidence | None:
    """By rank; between equals a refusal by the provider counts more than that nothing was done."""
    return max(
        evidence, key=lambda e: (RANK[e.source], e.says is Says.DECLINED, e.dedup_key), default=None
    )


def _latest(evidence: Iterable[Evidence]) -> Evidence | None:
    return max(evidence, key=lambda e: (e.occurred_at, e.dedup_key), default=None)


# ---- attempts


def project_attempt(attempt: Attempt, operations: tuple[Operation, ...]) -> Attempt:
    """The attempt as its operations have it. Refunds change nothing about it."""
    opening = opening_of(operations)
    if opening is None:
        return attempt
    status = _attempt_status(opening, operations)
    waits = status is AttemptStatus.REQUIRES_ACTION
    return replace(
        attempt,
        status=status,
        decline=opening.decline if status is AttemptStatus.DECLINED else None,
        next_action=opening.next_action if waits else None,
    )


_AS_ATTEMPT: Final = {
    OperationStatus.CREATED: AttemptStatus.CREATED,
    OperationStatus.SENT: AttemptStatus.SENT,
    OperationStatus.REQUIRES_ACTION: AttemptStatus.REQUIRES_ACTION,
    OperationStatus.PENDING: AttemptStatus.PENDING,
    OperationStatus.UNKNOWN: AttemptStatus.UNKNOWN,
    OperationStatus.DECLINED: AttemptStatus.DECLINED,
    OperationStatus.NOT_EXECUTED: AttemptStatus.NOT_EXECUTED,
    OperationStatus.REVERSED: AttemptStatus.REVERSED,
    OperationStatus.IN_REVIEW: AttemptStatus.IN_REVIEW,
}


def _attempt_status(opening: Operation, operations: tuple[Operation, ...]) -> AttemptStatus:
    captures = [o for o in operations if o.kind is OperationKind.CAPTURE]
    voids = [o for o in operations if o.kind is OperationKind.VOID]
    void = next((o for o in voids if o.status is OperationStatus.SUCCEEDED), None)
    if any(o.status is OperationStatus.IN_REVIEW for o in (opening, *captures, *voids)):
        return AttemptStatus.IN_REVIEW
    if opening.status is not OperationStatus.SUCCEEDED:
        return _unopened_status(opening, void)
    if opening.kind is OperationKind.SALE:
        return AttemptStatus.CAPTURED
    return _authorized_status(opening, [o for o in captures if o.status in _TAKEN], void)


def _unopened_status(opening: Operation, void: Operation | None) -> AttemptStatus:
    """The opening has not succeeded; a void ends it, unless it is still a riddle."""
    riddles = (OperationStatus.CREATED, OperationStatus.SENT, OperationStatus.UNKNOWN)
    if void and opening.status not in riddles:
        return AttemptStatus.EXPIRED if void.expired else AttemptStatus.VOIDED
    if opening.expired and opening.status in OPERATION_REFUSED:
        return AttemptStatus.EXPIRED
    return _AS_ATTEMPT[opening.status]


def _authorized_status(
    opening: Operation, taken: list[Operation], void: Operation | None
) -> AttemptStatus:
    """The authorization succeeded; captures and a void say what is left of it."""
    if taken and (void or _closed(opening, taken)):
        reversed_all = all(o.status is OperationStatus.REVERSED for o in taken)
        return AttemptStatus.REVERSED if reversed_all else AttemptStatus.CAPTURED
    if void:
        return AttemptStatus.EXPIRED if void.expired else AttemptStatus.VOIDED
    return AttemptStatus.AUTHORIZED


_TAKEN: Final = (OperationStatus.SUCCEEDED, OperationStatus.REVERSED)


def is_voided(operation: Operation) -> bool:
    """Whether this void ended its attempt at the provider."""
    return operation.kind is OperationKind.VOID and operation.status is OperationStatus.SUCCEEDED


def _closed(opening: Operation, taken: Iterable[Operation]) -> bool:
    """Whether captures left nothing of the authorization."""
    taken = tuple(taken)
    total = sum(o.moved_amount or 0 for o in taken)
    return bool(taken) and (total >= opening.amount or any(o.final for o in taken))


# ---- refunds

_AS_REFUND: Final = {
    OperationStatus.CREATED: RefundStatus.CREATED,
    OperationStatus.SENT: RefundStatus.SENT,
    OperationStatus.REQUIRES_ACTION: RefundStatus.REQUIRES_ACTION,
    OperationStatus.PENDING: RefundStatus.PENDING,
    OperationStatus.UNKNOWN: RefundStatus.UNKNOWN,
    OperationStatus.SUCCEEDED: RefundStatus.SUCCEEDED,
    OperationStatus.DECLINED: RefundStatus.FAILED,
    OperationStatus.NOT_EXECUTED: RefundStatus.FAILED,
    OperationStatus.REVERSED: RefundStatus.RETURNED,
    OperationStatus.IN_REVIEW: RefundStatus.IN_REVIEW,
}


def project_refund(refund: Refund, operations: Iterable[Operation]) -> Refund:
    """The refund as its operation has it; one to store credit alone needs none and is done."""
    operation = next((o for o in operations if o.refund_id == refund.id), None)
    if operation is None:
        return replace(refund, status=RefundStatus.SUCCEEDED)
    status = _AS_REFUND[operation.status]
    failed = status is RefundStatus.FAILED and operation.decline
    message = operation.decline.get("message") if failed and operation.decline else None
    return replace(refund, status=status, failure_message=message)


# ---- payments


def project_payment(aggregate: Aggregate) -> Payment:
    """The payment as its attempts and refunds have it."""
    payment = aggregate.payment
    taken = [o for o in aggregate.operations if counts_as_taken(aggregate, o)]
    by_card = sum(o.moved_amount or 0 for o in taken)
    # Credit that was given back, since the card was refused, pays nothing if it succeeds after all.
    kept = any(CREDIT_RELEASED not in o.posted for o in taken)
    credit = payment.store_credit if kept or payment.paid_by_store_credit else 0
    ours = [r for r in aggregate.refunds if r.origin is Origin.OURS]
    done = (RefundStatus.SUCCEEDED, RefundStatus.RETURNED)
    declined = [a for a in aggregate.attempts if a.decline is not None]
    current = aggregate.current_attempt
    status = _payment_status(aggregate)
    return replace(
        payment,
        status=status,
        authorized=_authorized(aggregate) + credit,
        captured_gross=by_card + credit,
        capture_reversed=sum(
            o.moved_amount or 0 for o in taken if o.status is OperationStatus.REVERSED
        ),
        refund_reserved=sum(map(_standing, ours)),
        refunded=sum(_standing(r) for r in ours if r.status in done),
        refunded_external=sum(
            r.amount
            for r in aggregate.refunds
            if r.origin is Origin.EXTERNAL and r.status is RefundStatus.SUCCEEDED
        ),
        fees=sum(o.fee or 0 for o in aggregate.operations if o.status in _TAKEN),
        attempt_count=len(aggregate.attempts),
        last_decline=declined[-1].decline if declined else None,
        next_action=current.next_action
        if current and status is PaymentStatus.REQUIRES_ACTION
        else None,
    )


def _standing(refund: Refund) -> int:
    """Minor units that were or may be given back: what a bank returns is the card's part only."""
    if refund.status is RefundStatus.RETURNED:
        return refund.store_credit_amount
    return 0 if refund.status in REFUND_FREED else refund.amount


def counts_as_taken(aggregate: Aggregate, operation: Operation) -> bool:
    """Whether an operation took money for this payment: once it did, it always did.

    What a contradiction or a reversal does later is told by other figures.
    """
    if operation.kind not in TAKING or is_orphan(aggregate, operation):
        return False
    return operation.moved_amount is not None and (
        operation.status in _TAKEN or not EXPECTED_RECIPES.isdisjoint(operation.posted)
    )


def is_orphan(aggregate: Aggregate, operation: Operation) -> bool:
    """Whether its money, if it took any, came when nobody waited for it any more."""
    if ORPHAN_RECIPE in operation.posted:
        return True
    if not EXPECTED_RECIPES.isdisjoint(operation.posted):
        return False
    ended = aggregate.payment.ended_at is not None
    return ended or aggregate.attempt_of(operation).superseded


def _authorized(aggregate: Aggregate) -> int:
    """Held or taken at the provider, and not given back."""
    total = 0
    for attempt in aggregate.attempts:
        if attempt.superseded:
            continue
        operations = aggregate.operations_of(attempt)
        opening = opening_of(operations)
        if opening is None or opening.status not in _TAKEN:
            continue
        captures = [o for o in operations if o.kind is OperationKind.CAPTURE and o.status in _TAKEN]
        gone = _closed(opening, captures) or any(is_voided(o) for o in operations)
        if opening.kind is OperationKind.SALE or not gone:
            total += opening.moved_amount or 0
        else:
            total += sum(o.moved_amount or 0 for o in captures)
    return total


_AS_PAYMENT: Final = {
    AttemptStatus.CREATED: PaymentStatus.PROCESSING,
    AttemptStatus.SENT: PaymentStatus.PROCESSING,
    AttemptStatus.PENDING: PaymentStatus.PROCESSING,
    AttemptStatus.UNKNOWN: PaymentStatus.PROCESSING,
    AttemptStatus.REQUIRES_ACTION: PaymentStatus.REQUIRES_ACTION,
    AttemptStatus.CAPTURED: PaymentStatus.CAPTURED,
    AttemptStatus.IN_REVIEW: PaymentStatus.IN_REVIEW,
}


def _payment_status(aggregate: Aggregate) -> PaymentStatus:
    payment = aggregate.payment
    if payment.paid_by_store_credit:
        return PaymentStatus.CAPTURED
    current = aggregate.current_attempt
    if current is None or current.status in ATTEMPT_ENDED:
        return _idle_status(aggregate)
    if payment.ended_at is not None and current.status is not AttemptStatus.REVERSED:
        return PaymentStatus.IN_REVIEW
    if current.status in _AS_PAYMENT:
        return _AS_PAYMENT[current.status]
    nothing = (
        PaymentStatus.FAILED
        if current.status is AttemptStatus.REVERSED
        else PaymentStatus.AUTHORIZED
    )
    return PaymentStatus.PARTIALLY_CAPTURED if _keeps(aggregate, current) else nothing


def _keeps(aggregate: Aggregate, attempt: Attempt) -> bool:
    """Whether captures of this attempt succeeded and were not reversed."""
    return any(
        o.status is OperationStatus.SUCCEEDED and counts_as_taken(aggregate, o)
        for o in aggregate.operations_of(attempt)
    )


def _idle_status(aggregate: Aggregate) -> PaymentStatus:
    """No attempt is open: what can come next."""
    payment, current = aggregate.payment, aggregate.current_attempt
    if payment.cancel_requested_at is not None:
        return PaymentStatus.CANCELED
    if current is not None and current.status is AttemptStatus.VOIDED:
        return PaymentStatus.CANCELED
    if current is not None and current.status is AttemptStatus.EXPIRED:
        opening = opening_of(aggregate.operations_of(current))
        held = opening is not None and opening.status is OperationStatus.SUCCEEDED
        return PaymentStatus.EXPIRED if held else PaymentStatus.REQUIRES_PAYMENT_METHOD
    declines = sum(a.status is AttemptStatus.DECLINED for a in aggregate.attempts)
    if declines >= payment.attempt_limit:
        return PaymentStatus.FAILED
    if current is not None and current.status is AttemptStatus.DECLINED:
        return PaymentStatus.REQUIRES_PAYMENT_METHOD
    ready = payment.token_sealed is not None or payment.provider_amount == 0
    return PaymentStatus.REQUIRES_CONFIRMATION if ready else PaymentStatus.REQUIRES_PAYMENT_METHOD


def project(aggregate: Aggregate) -> Aggregate:
    """Attempts, refunds and payment, recomputed from the operations."""
    attempts = tuple(project_attempt(a, aggregate.operations_of(a)) for a in aggregate.attempts)
    refunds = tuple(project_refund(r, aggregate.operations) for r in aggregate.refunds)
    changed = replace(aggregate, attempts=attempts, refunds=refunds)
    return replace(changed, payment=project_payment(changed))
