"""What one unit of work changes about one payment: collected first, written once, in lock order.

rows, evidence and outbox ──▶ entries (one call of the ledger) ──▶ COMMIT

The ledger comes last: whoever waits for the same accounts waits for nothing but our COMMIT.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from core.database import Tx
from core.identifiers import encode
from core.killpoints import kill_point
from core.tracing import span_of
from events import Event, Subject, append
from events.catalogue import Amount, DiscrepancyFact, Fact, PaymentFact, RefundFact, SavedMethodFact
from payments import booking, writing
from payments.booking import Bookings
from payments.discrepancies import Discrepancy, insert
from payments.due import required, succeeded_void
from payments.facts import intent
from payments.model import (
    CONFIRMABLE,
    PAYMENT_ENDED,
    Aggregate,
    Attempt,
    AttemptStatus,
    Evidence,
    Operation,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    Says,
)
from payments.projection import project, project_operation
from payments.saved_methods import Kept, keep
from payments.writing import Begun, Call, New


@dataclass(slots=True)
class Change:
    """A change in the making. `before` is what is in the database, under our lock.

    `stage` names the kill points of this unit of work. `owned` are operations whose lease is ours:
    only those are rescheduled, and only if the fence under which they were claimed still stands.
    """

    stage: str
    tenant_id: int
    actor: str
    correlation_id: str
    at: datetime
    before: Aggregate
    after: Aggregate = field(init=False)
    evidence: list[Evidence] = field(default_factory=list)
    begun: list[tuple[Begun, list[Evidence]]] = field(default_factory=list)
    new_attempts: list[Attempt] = field(default_factory=list)
    new_refunds: list[Refund] = field(default_factory=list)
    postings: list[tuple[UUID, str]] = field(default_factory=list)
    own_postings: list[str] = field(default_factory=list)
    """Recipes of the payment or refund itself, where no provider is involved."""
    events: list[Event] = field(default_factory=list)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    owned: dict[UUID, int] = field(default_factory=dict)
    requests: dict[UUID, bytes] = field(default_factory=dict)
    """Sealed requests about to be sent."""
    kept: Kept | None = None
    """What the customer keeps since the provider charged it."""
    calls: list[Call] = field(default_factory=list)
    """What was said on the wire."""
    client_secret_hash: bytes | None = None
    """Given where the payment itself is new."""
    row: asyncpg.Record | None = field(default=None, init=False)
    """The payment as it was written; None if it did not change."""

    def __post_init__(self) -> None:
        self.after = self.before

    # ---- what may be changed

    def set_payment(self, payment: Payment) -> None:
        """Change facts of our own about the payment; projections follow from them."""
        self.after = project(replace(self.after, payment=payment))

    def pay_by_store_credit(self) -> None:
        """Take the whole amount from store credit; no provider is needed."""
        self.own_postings.append("store_credit_sale")
        self.set_payment(replace(self.after.payment, paid_by_store_credit=True))

    def begin_attempt(self, attempt: Attempt) -> None:
        """A further try, once the one before has ended."""
        earlier = tuple(replace(a, superseded=True) for a in self.after.attempts)
        self.new_attempts.append(attempt)
        self.after = replace(self.after, attempts=(*earlier, attempt))

    def begin_refund(self, refund: Refund) -> None:
        """A further refund."""
        self.new_refunds.append(refund)
        self.after = project(replace(self.after, refunds=(*self.after.refunds, refund)))

    def begin_operation(
        self, begun: Begun, *, sent: bool, posts: tuple[str, ...] = ()
    ) -> Operation:
        """A further provider call, with the intent behind it; `posts` are its reservations."""
        evidence = [intent(begun.operation, Says.CREATED, 1, self.at)]
        if sent:
            evidence.append(intent(begun.operation, Says.SENT, 1, self.at))
        return self._add(begun, evidence, posts, sent_at=self.at if sent else None)

    def add_external(self, operation: Operation) -> Operation:
        """A provider call somebody else made; nobody here will send it."""
        return self._add(Begun(operation), [], (), sent_at=None)

    def _add(
        self,
        begun: Begun,
        evidence: list[Evidence],
        posts: tuple[str, ...],
        sent_at: datetime | None,
    ) -> Operation:
        operation = project_operation(begun.operation, evidence)
        operation = replace(operation, posted=posts, sent_at=sent_at, fence=1)
        self.begun.append((replace(begun, operation=operation), evidence))
        self.postings.extend((operation.id, name) for name in posts)
        self.after = project(replace(self.after, operations=(*self.after.operations, operation)))
        return operation

    def learn(self, operation: Operation, known: list[Evidence], told: list[Evidence]) -> Operation:
        """Add evidence to what is known about an operation and let everything follow from it.

        Returns the operation as it is now. What was told before, in the same words, is no news.
        """
        keys = {e.dedup_key for e in known}
        news = [e for e in told if e.dedup_key not in keys]
        unique = list({e.dedup_key: e for e in reversed(news)}.values())[::-1]
        self.evidence.extend(unique)
        projected = project_operation(operation, [*known, *unique])
        if any(e.says is Says.SENT for e in unique):
            projected = replace(projected, sent_at=self.at)
        completed_at = None if projected.is_open else projected.completed_at or self.at
        projected = replace(projected, completed_at=completed_at)
        self.after = project(self.after.with_operation(projected))
        posted = self._require(projected)
        void = succeeded_void(self.after, projected)
        if void is not None and void.id != projected.id:
            self._require(void)  # it may have waited for this step to end
        return posted

    def _require(self, operation: Operation) -> Operation:
        """Post what the evidence demands and was not posted yet."""
        names = (*required(self.after, operation), *self._fee_correction(operation))
        if not names:
            return operation
        self.postings.extend((operation.id, name) for name in names)
        posted = replace(operation, posted=(*operation.posted, *names))
        self.after = project(self.after.with_operation(posted))
        return posted

    def _fee_correction(self, operation: Operation) -> tuple[str, ...]:
        """A better source tells another fee than was posted."""
        before = self.before.operation(operation.id).fee
        if "psp_fee" not in operation.posted or operation.fee is None or operation.fee == before:
            return ()
        number = sum(name.startswith("psp_fee_correction") for name in operation.posted) + 1
        return (f"psp_fee_correction:{number}",)

    def replace_operation(self, operation: Operation) -> None:
        """Change what is not a projection (the schedule)."""
        self.after = self.after.with_operation(operation)

    # ---- writing it down

    async def write(self, tx: Tx) -> Aggregate:
        """Write everything; the caller commits. One call of the ledger, last of all.

        Its span belongs to the flow of work that the change does, whoever learnt of it.
        Raises: InsufficientFunds when a reservation of ours is not covered.
        """
        with span_of("payment.write", self.correlation_id, stage=self.stage) as traced:
            self._finish()
            traced.note(
                payment=encode("pay", self.after.payment.id),
                status=self.after.payment.status,
                recipes=",".join(recipe for _, recipe in self.postings),
            )
            return await self._write(tx)

    async def _write(self, tx: Tx) -> Aggregate:
        await self._write_rows(tx)
        later = [*await self._open_discrepancies(tx), *await self._keep_method(tx)]
        await append(tx, self.tenant_id, *later)
        kill_point(f"{self.stage}.rows_written")
        await booking.post(tx, self._bookings())
        kill_point(f"{self.stage}.before_commit")
        return self.after

    async def _write_rows(self, tx: Tx) -> None:
        """What changed, then what is new, and the events with whatever comes last."""
        new = self._new()
        if self.client_secret_hash is None:
            self.row = await writing.save(
                tx,
                self.tenant_id,
                self.before,
                self.after,
                evidence=self.evidence,
                calls=self.calls,
                owned=self.owned,
                requests=self.requests,
                events=() if new else self.events,
            )
        if new:
            row = await writing.insert(tx, self.tenant_id, new, self.events)
            self.row = self.row or row

    def _new(self) -> New:
        """The rows that were not there before, as they are by now."""
        attempts = {attempt.id for attempt in self.new_attempts}
        refunds = {refund.id for refund in self.new_refunds}
        is_new = self.client_secret_hash is not None
        return New(
            payment=self.after.payment if is_new else None,
            client_secret_hash=self.client_secret_hash,
            attempts=[a for a in self.after.attempts if a.id in attempts],
            refunds=[r for r in self.after.refunds if r.id in refunds],
            operations=[
                replace(begun, operation=self.after.operation(begun.operation.id))
                for begun, _ in self.begun
            ],
            evidence=[intent for _, evidence in self.begun for intent in evidence],
        )

    def _bookings(self) -> Bookings:
        return Bookings(
            tenant_id=self.tenant_id,
            actor=self.actor,
            correlation_id=self.correlation_id,
            at=self.at,
            before=self.before,
            after=self.after,
            postings=self.postings,
            own=self.own_postings,
            refund=self.new_refunds[-1] if self.new_refunds else None,
        )

    async def _open_discrepancies(self, tx: Tx) -> list[Event]:
        events = []
        for discrepancy in self.discrepancies:
            id = await insert(tx, self.tenant_id, discrepancy)
            if id is None:
                continue
            fact = DiscrepancyFact(
                discrepancy_id=encode("dis", id),
                kind=discrepancy.kind,
                payment_id=encode("pay", self.before.payment.id),
                note=discrepancy.note,
            )
            type = "reconciliation.discrepancy_opened.v1"
            events.append(self._event(type, Subject.DISCREPANCY, id, fact))
        return events

    async def _keep_method(self, tx: Tx) -> list[Event]:
        """Once, however often and by whom the provider says so."""
        kept = self.kept
        if kept is None or not await keep(tx, self.tenant_id, kept):
            return []
        fact = SavedMethodFact(
            saved_method_id=encode("sm", kept.id),
            customer_id=kept.customer_id,
            payment_id=encode("pay", kept.payment_id),
        )
        return [self._event("saved_method.created.v1", Subject.SAVED_METHOD, kept.id, fact)]

    def _finish(self) -> None:
        """Version, end and events of the payment, once all else is known."""
        payment = self.after.payment
        if payment.status in PAYMENT_ENDED and payment.ended_at is None:
            payment = replace(payment, ended_at=self.at)
        if payment.token_sealed is not None and payment.status in _NO_TRY_CAN_FOLLOW:
            payment = replace(payment, token_sealed=None)
        if payment != self.before.payment:
            payment = replace(payment, version=self.before.payment.version + 1)
        self.after = replace(self.after, payment=payment)
        self.events.extend(self._payment_events())
        self.events.extend(self._refund_events())

    def _payment_events(self) -> list[Event]:
        before, after = self.before.payment, self.after.payment
        types: list[str] = []
        declined = len(_declines(self.after)) > len(_declines(self.before))
        if declined:
            types.append("payment.declined.v1")
        if after.captured_gross > before.captured_gross:
            types.append("payment.captured.v1")
        elif after.status is not before.status and after.status in _TOLD:
            types.append(_TOLD[after.status])
        elif after.status is not before.status and not types and not self.events:
            types.extend(self._told_alone())
        return [self.payment_event(type) for type in types]

    def _told_alone(self) -> list[str]:
        """What is told only where no other event tells of the change, so that none is silent."""
        if self.after.payment.status is PaymentStatus.PROCESSING:
            return ["payment.processing.v1"]
        back = self.after.payment.status in CONFIRMABLE
        ended = any(a.status is AttemptStatus.NOT_EXECUTED for a in self.after.attempts)
        return ["payment.not_executed.v1"] if back and ended else []

    def payment_event(self, type: str) -> Event:
        """An event about the payment as it is after the change."""
        payment = self.after.payment
        decline = payment.last_decline
        fact = PaymentFact(
            payment_id=encode("pay", payment.id),
            reference=payment.reference,
            status=payment.status.value,
            version=payment.version,
            amount=_amount(payment.amount, payment.currency),
            amount_captured=_amount(payment.captured_gross, payment.currency),
            amount_refunded=_amount(payment.refunded + payment.refunded_external, payment.currency),
            customer_id=payment.customer_id,
            decline_code=decline.get("code") if decline else None,
        )
        return self._event(type, Subject.PAYMENT, payment.id, fact)

    def _refund_events(self) -> list[Event]:
        before = {r.id: r.status for r in self.before.refunds}
        events = []
        for refund in self.after.refunds:
            if refund.id not in before:
                events.append(self._refund_event("refund.created.v1", refund))
            changed = refund.status is not before.get(refund.id)
            if changed and refund.status in _TOLD_OF_REFUNDS:
                events.append(self._refund_event(_TOLD_OF_REFUNDS[refund.status], refund))
        return events

    def _refund_event(self, type: str, refund: Refund) -> Event:
        fact = RefundFact(
            refund_id=encode("ref", refund.id),
            payment_id=encode("pay", refund.payment_id),
            status=refund.status.value,
            amount=_amount(refund.amount, refund.currency),
            reason=refund.reason,
        )
        return self._event(type, Subject.REFUND, refund.id, fact)

    def _event(
        self,
        type: str,
        subject: Subject,
        id: UUID,
        fact: Fact,
    ) -> Event:
        return Event(
            type=type,
            subject=subject,
            subject_id=id,
            fact=fact,
            actor=self.actor,
            correlation_id=self.correlation_id,
            occurred_at=self.at,
        )


_NO_TRY_CAN_FOLLOW: Final = PAYMENT_ENDED | {
    PaymentStatus.REQUIRES_PAYMENT_METHOD,
    PaymentStatus.AUTHORIZED,
    PaymentStatus.PARTIALLY_CAPTURED,
    PaymentStatus.CAPTURED,
}

_TOLD: Final = {
    PaymentStatus.REQUIRES_ACTION: "payment.requires_action.v1",
    PaymentStatus.AUTHORIZED: "payment.authorized.v1",
    PaymentStatus.CAPTURED: "payment.captured.v1",
    PaymentStatus.CANCELED: "payment.canceled.v1",
    PaymentStatus.FAILED: "payment.failed.v1",
    PaymentStatus.EXPIRED: "payment.expired.v1",
    PaymentStatus.IN_REVIEW: "payment.in_review.v1",
}

_TOLD_OF_REFUNDS: Final = {
    RefundStatus.SUCCEEDED: "refund.succeeded.v1",
    RefundStatus.FAILED: "refund.failed.v1",
    RefundStatus.RETURNED: "refund.returned.v1",
    RefundStatus.IN_REVIEW: "refund.in_review.v1",
}


def _declines(aggregate: Aggregate) -> list[Attempt]:
    return [a for a in aggregate.attempts if a.decline is not None]


def _amount(minor_units: int, currency: str) -> Amount:
    return Amount(amount_minor=str(minor_units), currency=currency)
