"""Every fact about an operation comes in here: answers, callbacks, look-ups, the clock.

facts ─▶ evidence ─▶ projection ─▶ entries required and not posted ─▶ outbox
         └───────────── one unit of work, under the payment's lock ──────────┘
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from core.database import Tx
from core.identifiers import MalformedId, decode, encode, new_id
from gateways.port import ProviderEvent
from payments import reading
from payments.amounts import shares_of_capture, shares_of_refund
from payments.change import Change
from payments.discrepancies import Discrepancy, insert
from payments.facts import Fact, as_evidence
from payments.model import (
    OPENINGS,
    Aggregate,
    Evidence,
    Operation,
    OperationKind,
    OperationStatus,
    Origin,
    PaymentStatus,
    Refund,
    opening_of,
)
from payments.projection import CREDIT_RELEASED, ORPHAN_RECIPE, counts_as_taken
from payments.saved_methods import kept_since
from payments.services import PaymentServices

__all__ = ["Fact", "conclude", "find_operation", "open_discrepancy", "record_external"]

RESOLUTION_SECONDS: Final = (2, 10, 30, 120, 600, 3_600, 21_600)
"""When an uncertain operation is asked about again; then daily."""
_DAILY: Final = 86_400
_JITTER: Final = 0.25


async def conclude(
    tx: Tx,
    services: PaymentServices,
    tenant_id: int,
    operation_id: UUID,
    facts: Sequence[Fact],
    *,
    actor: str = "system",
    stage: str = "conclude",
) -> Aggregate:
    """Write down what was learnt about an operation, and everything that follows from it.

    Safe to repeat: what is known already changes nothing. The caller commits. Raises: nothing the
    facts could cause; facts of a provider are never refused.
    """
    change, _ = await open_conclusion(
        tx, services, tenant_id, operation_id, facts, actor=actor, stage=stage
    )
    return await change.write(tx)


async def open_conclusion(
    tx: Tx,
    services: PaymentServices,
    tenant_id: int,
    operation_id: UUID,
    facts: Sequence[Fact | Evidence],
    *,
    actor: str = "system",
    stage: str = "conclude",
    fence: int | None = None,
    looks: int = 0,
) -> tuple[Change, Operation]:
    """Lock, load, learn; not written yet, so that more can follow in the same unit of work.

    With `fence` the lease of that claim is given back and the operation rescheduled, unless
    somebody else holds it by now: what was learnt is kept all the same. `looks` counts how often
    the provider was asked for this.
    """
    payment = await reading.lock_by_operation(tx, tenant_id, operation_id)
    assert payment is not None, operation_id
    before, known = await reading.load_with_evidence(tx, tenant_id, payment, operation_id)
    operation = before.operation(operation_id)
    change = Change(
        stage=stage,
        tenant_id=tenant_id,
        actor=actor,
        correlation_id=operation.correlation_id,
        at=services.clock.now(),
        before=before,
    )
    told = [fact if isinstance(fact, Evidence) else as_evidence(operation, fact) for fact in facts]
    learnt = change.learn(operation, known, told)
    change.kept = kept_since(services.vault, change.after.payment, learnt, facts)
    if fence is not None:
        change.owned[operation_id] = fence
    learnt = replace(learnt, resolution_tries=learnt.resolution_tries + looks)
    learnt = _reschedule(services, change, operation, learnt)
    _notice(change, operation, learnt)
    return change, learnt


def _reschedule(
    services: PaymentServices, change: Change, before: Operation, after: Operation
) -> Operation:
    """When to look at it next. What has just become doubtful is looked at at once."""
    if not after.is_open or (after.origin is Origin.EXTERNAL and not _doubtful(before, after)):
        return after
    if _doubtful(before, after):
        after = replace(after, next_action_at=change.at)
    elif after.id in change.owned:
        wait = resolution_delay(services, after.resolution_tries)
        after = replace(after, next_action_at=change.at + wait)
    change.replace_operation(after)
    return after


def _doubtful(before: Operation, after: Operation) -> bool:
    """It was certain, or contradictory statements have just met."""
    return after.status is OperationStatus.UNKNOWN and before.status in (
        OperationStatus.SUCCEEDED,
        OperationStatus.DECLINED,
        OperationStatus.NOT_EXECUTED,
        OperationStatus.REVERSED,
    )


def resolution_delay(services: PaymentServices, tries: int) -> timedelta:
    """Time until the next look, a little more than the schedule says so that crowds spread."""
    seconds = RESOLUTION_SECONDS[tries] if tries < len(RESOLUTION_SECONDS) else _DAILY
    return timedelta(seconds=seconds * services.random.uniform(1.0, 1.0 + _JITTER))


# ---- what does not add up


def _notice(change: Change, before: Operation, after: Operation) -> None:
    """Open a discrepancy for what a person should see."""
    if after.status is OperationStatus.IN_REVIEW and before.status is not after.status:
        change.discrepancies.append(_review(after))
    news = set(after.posted) - set(before.posted)
    if ORPHAN_RECIPE in news and after.status is not OperationStatus.IN_REVIEW:
        superseded = change.after.attempt_of(after).superseded
        kind = "DUPLICATE_AT_PROVIDER" if superseded else "STATUS_MISMATCH"
        change.discrepancies.append(
            _about(after, kind, "succeeded when nobody waited for it; the money is in suspense")
        )
    if after.kind is OperationKind.CAPTURE and "capture" in news:
        held, taken = _held_and_taken(change.after, after)
        if taken > held:
            note = "more was captured than authorized"
            about = _about(after, "AMOUNT_MISMATCH", note)
            change.discrepancies.append(replace(about, expected=held, actual=taken))
    if CREDIT_RELEASED in before.posted and "sale" in news:
        note = "the card was charged after its store credit had been given back"
        change.discrepancies.append(_about(after, "AMOUNT_MISMATCH", note))
    payment, earlier = change.after.payment, change.before.payment
    if (
        payment.status is PaymentStatus.IN_REVIEW
        and earlier.status is not payment.status
        and (not change.discrepancies)
    ):
        change.discrepancies.append(
            _about(after, "STATUS_MISMATCH", f"the payment was {earlier.status.value} before")
        )
    out = payment.refund_reserved + payment.refunded_external + payment.capture_reversed
    if after.kind is OperationKind.REFUND and out > payment.captured_gross:
        change.discrepancies.append(
            replace(
                _about(after, "AMOUNT_MISMATCH", "more was refunded than captured"),
                expected=payment.captured_gross,
                actual=out,
            )
        )


def _held_and_taken(aggregate: Aggregate, operation: Operation) -> tuple[int, int]:
    """Minor units the attempt of a capture was good for, and what was taken of it."""
    steps = aggregate.steps_beside(operation)
    opening = opening_of(steps)
    taken = sum(o.moved_amount or 0 for o in steps if counts_as_taken(aggregate, o))
    return (opening.moved_amount or 0 if opening else 0), taken


def _review(operation: Operation) -> Discrepancy:
    if operation.moved_amount is not None and operation.moved_amount != operation.amount:
        note = "the provider moved another amount; what it moved is in suspense"
        return replace(
            _about(operation, "AMOUNT_MISMATCH", note),
            expected=operation.amount,
            actual=operation.moved_amount,
        )
    if operation.moved_amount is None and operation.decline is None:
        return _about(operation, "UNKNOWN_OUTCOME_EXPIRED", "its outcome could not be found out")
    return _about(operation, "STATUS_MISMATCH", "its evidence contradicts itself")


def _about(operation: Operation, kind: str, note: str) -> Discrepancy:
    return Discrepancy(
        kind=kind,
        subject_key=encode("op", operation.id),
        note=note,
        payment_id=operation.payment_id,
        refund_id=operation.refund_id,
        operation_id=operation.id,
        provider_account_id=operation.provider_account_id,
        provider_ref=operation.provider_ref,
        currency=operation.currency,
    )


async def open_discrepancy(
    tx: Tx,
    tenant_id: int,
    *,
    kind: str,
    subject_key: str,
    note: str,
    provider_account_id: UUID | None = None,
    provider_ref: str | None = None,
) -> UUID | None:
    """Open one that belongs to no operation; None if it is open already."""
    found = Discrepancy(
        kind=kind,
        subject_key=subject_key,
        note=note,
        provider_account_id=provider_account_id,
        provider_ref=provider_ref,
    )
    return await insert(tx, tenant_id, found)


# ---- whose event is it


async def find_operation(
    tx: Tx, tenant_id: int, provider_account_id: UUID, event: ProviderEvent
) -> UUID | None:
    """The operation an event is about: by our id, else by the provider's object.

    It must have been sent to the very account the event comes from.
    """
    found = await _by_our_id(tx, tenant_id, provider_account_id, event)
    if found is not None or event.provider_ref is None:
        return found
    id: UUID | None = await tx.fetchval(
        """
        SELECT o.id FROM provider_operation AS o
         WHERE o.tenant_id = $1 AND o.provider_account_id = $2 AND o.provider_ref = $3
           AND ($4::TEXT[] IS NULL OR o.kind = ANY($4))
         ORDER BY o.id LIMIT 1
        """,
        tenant_id,
        provider_account_id,
        event.provider_ref,
        _kinds_of(event),
    )
    return id


async def _by_our_id(
    tx: Tx, tenant_id: int, provider_account_id: UUID, event: ProviderEvent
) -> UUID | None:
    if event.operation_id is None:
        return None
    try:
        claimed = decode("op", event.operation_id)
    except MalformedId:
        return None
    id: UUID | None = await tx.fetchval(
        """
        SELECT o.id FROM provider_operation AS o
         WHERE o.tenant_id = $1 AND o.provider_account_id = $2 AND o.id = $3
           AND ($4::TEXT[] IS NULL OR o.kind = ANY($4))
        """,
        tenant_id,
        provider_account_id,
        claimed,
        _kinds_of(event),
    )
    return id


def _kinds_of(event: ProviderEvent) -> list[str] | None:
    if event.operation_kind is None:
        return None
    return [*OPENINGS] if event.operation_kind in OPENINGS else [event.operation_kind]


_FOLLOWING: Final = frozenset(
    {OperationKind.CAPTURE.value, OperationKind.VOID.value, OperationKind.REFUND.value}
)


async def record_external(  # noqa: PLR0917 - the order of find_operation, and one more
    tx: Tx,
    services: PaymentServices,
    tenant_id: int,
    provider_account_id: UUID,
    event: ProviderEvent,
    correlation_id: str = "",
) -> UUID | None:
    """Make an operation for a movement somebody started at the provider (settled 6).

    None when the event names no payment of ours, or when it may be about an operation of ours
    whose answer is not here yet: then it has to wait. The caller concludes with the event's fact.
    """
    if event.payment_ref is None or event.operation_kind not in _FOLLOWING:
        return None
    payment_id = await _payment_of(tx, tenant_id, provider_account_id, event.payment_ref)
    payment = await reading.lock(tx, tenant_id, payment_id) if payment_id else None
    if payment is None:
        return None
    before = await reading.load(tx, tenant_id, payment)
    kind = OperationKind(event.operation_kind)
    same = next((o for o in before.operations if _is_same(o, kind, event)), None)
    if same is not None:
        return same.id
    if any(o.kind is kind and o.is_open and o.provider_ref is None for o in before.operations):
        return None
    change = Change(
        stage="external",
        tenant_id=tenant_id,
        actor="provider",
        correlation_id=correlation_id,
        at=services.clock.now(),
        before=before,
    )
    operation = _external(change, kind, event)
    if operation is None:
        return None
    await change.write(tx)
    return operation.id


def _is_same(operation: Operation, kind: OperationKind, event: ProviderEvent) -> bool:
    return operation.kind is kind and operation.provider_ref == event.provider_ref


async def _payment_of(
    tx: Tx, tenant_id: int, provider_account_id: UUID, payment_ref: str
) -> UUID | None:
    id: UUID | None = await tx.fetchval(
        """
        SELECT o.payment_id FROM provider_operation AS o
         WHERE o.tenant_id = $1 AND o.provider_account_id = $2 AND o.provider_ref = $3
           AND o.kind = ANY($4)
         ORDER BY o.id LIMIT 1
        """,
        tenant_id,
        provider_account_id,
        payment_ref,
        [*OPENINGS],
    )
    return id


def _external(change: Change, kind: OperationKind, event: ProviderEvent) -> Operation | None:
    """The operation, and the refund if it is one; None if the event does not say how much."""
    before, payment = change.before, change.before.payment
    opening = next(
        (
            o
            for attempt in before.attempts
            if (o := opening_of(before.operations_of(attempt)))
            and o.provider_ref == event.payment_ref
        ),
        None,
    )
    outcome = event.outcome
    amount = outcome.amount if outcome else None
    if (
        opening is None
        or amount is None
        or amount.currency != payment.currency
        or (amount.minor_units <= 0)
    ):
        return None
    refund_id = None
    if kind is OperationKind.REFUND:
        refund_id = new_id()
        change.begin_refund(
            Refund(
                id=refund_id,
                payment_id=payment.id,
                origin=Origin.EXTERNAL,
                amount=amount.minor_units,
                currency=amount.currency,
                card_amount=amount.minor_units,
                store_credit_amount=0,
                shares=shares_of_refund(before, amount.minor_units),
                reason="OTHER",
                correlation_id=change.correlation_id,
            )
        )
    is_capture = kind is OperationKind.CAPTURE
    id = new_id()
    return change.add_external(
        Operation(
            id=id,
            payment_id=payment.id,
            attempt_id=opening.attempt_id,
            refund_id=refund_id,
            kind=kind,
            origin=Origin.EXTERNAL,
            provider_account_id=opening.provider_account_id,
            parent_ref=event.payment_ref,
            provider_ref=event.provider_ref,
            amount=amount.minor_units,
            currency=amount.currency,
            final=False,
            shares=shares_of_capture(before, amount.minor_units) if is_capture else (),
            idempotency_key=f"{encode('op', id)}.1",
            correlation_id=change.correlation_id,
        )
    )
