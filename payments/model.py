"""A payment with everything that belongs to it, as plain immutable values.

    Payment 1 ── * Attempt 1 ── * Operation 1 ── * Evidence
            1 ── * Refund  1 ── * Operation (REFUND)

Amounts are minor units of `payment.currency`. Field names are the columns'.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.money import Money


class PaymentStatus(enum.StrEnum):
    """What the shop sees."""

    REQUIRES_PAYMENT_METHOD = "REQUIRES_PAYMENT_METHOD"
    REQUIRES_CONFIRMATION = "REQUIRES_CONFIRMATION"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    PARTIALLY_CAPTURED = "PARTIALLY_CAPTURED"
    CAPTURED = "CAPTURED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    IN_REVIEW = "IN_REVIEW"


class AttemptStatus(enum.StrEnum):
    """How one try at one provider stands."""

    CREATED = "CREATED"
    SENT = "SENT"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    NOT_EXECUTED = "NOT_EXECUTED"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"
    REVERSED = "REVERSED"
    IN_REVIEW = "IN_REVIEW"


class RefundStatus(enum.StrEnum):
    """How one refund stands."""

    CREATED = "CREATED"
    SENT = "SENT"
    PENDING = "PENDING"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    RETURNED = "RETURNED"
    IN_REVIEW = "IN_REVIEW"


class OperationKind(enum.StrEnum):
    """What a provider is asked to do."""

    AUTHORIZE = "AUTHORIZE"
    SALE = "SALE"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"


OPENINGS: Final = frozenset({OperationKind.SALE, OperationKind.AUTHORIZE})
"""What opens an attempt; everything else follows from one of them."""
TAKING: Final = frozenset({OperationKind.SALE, OperationKind.CAPTURE})
"""What takes money for the payment."""


class OperationStatus(enum.StrEnum):
    """What is known about one provider call."""

    CREATED = "CREATED"
    SENT = "SENT"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"
    NOT_EXECUTED = "NOT_EXECUTED"
    REVERSED = "REVERSED"
    IN_REVIEW = "IN_REVIEW"


class Origin(enum.StrEnum):
    """Who started it."""

    OURS = "OURS"
    EXTERNAL = "EXTERNAL"


class Source(enum.StrEnum):
    """Who states a fact."""

    INTENT = "INTENT"
    CLOCK = "CLOCK"
    RESPONSE = "RESPONSE"
    WEBHOOK = "WEBHOOK"
    LOOKUP = "LOOKUP"
    REPORT = "REPORT"
    OPERATOR = "OPERATOR"


class Says(enum.StrEnum):
    """What a fact says about the operation."""

    CREATED = "CREATED"
    SENT = "SENT"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"
    NOT_EXECUTED = "NOT_EXECUTED"
    REVERSED = "REVERSED"


ATTEMPT_ENDED: Final = frozenset(
    {
        AttemptStatus.DECLINED,
        AttemptStatus.NOT_EXECUTED,
        AttemptStatus.EXPIRED,
        AttemptStatus.VOIDED,
    }
)
"""Nothing is held or taken at the provider, and nothing can be: another attempt may begin."""

OPERATION_REFUSED: Final = frozenset({OperationStatus.DECLINED, OperationStatus.NOT_EXECUTED})
"""It ended, and nothing moved."""
OPERATION_OPEN: Final = frozenset(
    {
        OperationStatus.CREATED,
        OperationStatus.SENT,
        OperationStatus.REQUIRES_ACTION,
        OperationStatus.PENDING,
        OperationStatus.UNKNOWN,
    }
)
"""The last word has not been said; the worker keeps asking."""

REFUND_FREED: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED, RefundStatus.RETURNED})
"""The money is not on its way: it can be refunded again."""

CONFIRMABLE: Final = (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.REQUIRES_CONFIRMATION)
"""No attempt is open: another can begin."""
PAYMENT_ENDED: Final = frozenset(
    {PaymentStatus.CANCELED, PaymentStatus.FAILED, PaymentStatus.EXPIRED}
)
"""The shop was told that no money comes."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact somebody told us about an operation. Never changed, never deleted.

    `facts` keeps what else was told: `send` (number of the try it is about), `decline`,
    `next_action`, `raw_status`, `mismatch`, `horizon`, `expired`.
    """

    id: UUID
    operation_id: UUID
    source: Source
    says: Says
    dedup_key: str
    occurred_at: datetime
    amount: int | None = None
    currency: str | None = None
    fee: int | None = None
    provider_ref: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    provider_event_id: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One provider call that may move money. Everything from `status` on is a projection."""

    id: UUID
    payment_id: UUID
    attempt_id: UUID
    refund_id: UUID | None
    kind: OperationKind
    origin: Origin
    provider_account_id: UUID
    parent_ref: str | None
    amount: int
    currency: str
    final: bool
    shares: tuple[int, ...]
    idempotency_key: str
    correlation_id: str
    status: OperationStatus = OperationStatus.CREATED
    provider_ref: str | None = None
    moved_amount: int | None = None
    fee: int | None = None
    expired: bool = False
    posted: tuple[str, ...] = ()
    decline: Mapping[str, Any] | None = None
    next_action: Mapping[str, Any] | None = None
    next_action_at: datetime | None = None
    resolution_tries: int = 0
    fence: int = 0
    tries: int = 0
    created_at: datetime | None = None
    sent_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def money(self) -> Money:
        """What was asked of the provider."""
        return Money(self.amount, self.currency)

    @property
    def is_open(self) -> bool:
        """Whether the worker still has to find out, or to do, something."""
        return self.status in OPERATION_OPEN


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a payment at one provider account. `status` is a projection."""

    id: UUID
    payment_id: UUID
    number: int
    provider_account_id: UUID
    routing: Mapping[str, Any]
    status: AttemptStatus = AttemptStatus.CREATED
    superseded: bool = False
    decline: Mapping[str, Any] | None = None
    next_action: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of a captured payment on its way back. `status` is a projection."""

    id: UUID
    payment_id: UUID
    origin: Origin
    amount: int
    currency: str
    card_amount: int
    store_credit_amount: int
    shares: tuple[int, ...]
    reason: str
    correlation_id: str
    status: RefundStatus = RefundStatus.CREATED
    note: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    failure_message: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Payment:
    """What the shop wants. `status`, the amounts from `authorized` on and what the shopper is shown
    are projections; `cancel_requested_at` and `ended_at` are facts of our own.
    """

    id: UUID
    amount: int
    currency: str
    capture_mode: str
    merchant_account: str
    attempt_limit: int
    correlation_id: str
    status: PaymentStatus = PaymentStatus.REQUIRES_PAYMENT_METHOD
    version: int = 1
    reference: str | None = None
    method: Mapping[str, Any] = field(default_factory=dict)
    token_sealed: bytes | None = field(default=None, repr=False)
    customer_id: str | None = None
    country: str | None = None
    return_url: str | None = None
    statement_descriptor: str | None = None
    splits: tuple[Mapping[str, Any], ...] = ()
    store_credit_account: str | None = None
    store_credit: int = 0
    routing: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    authorized: int = 0
    paid_by_store_credit: bool = False
    captured_gross: int = 0
    capture_reversed: int = 0
    refund_reserved: int = 0
    refunded: int = 0
    refunded_external: int = 0
    disputed: int = 0
    fees: int = 0
    attempt_count: int = 0
    last_decline: Mapping[str, Any] | None = None
    next_action: Mapping[str, Any] | None = None
    cancel_requested_at: datetime | None = None
    ended_at: datetime | None = None
    save_method: bool = False
    saved_method_id: UUID | None = None

    @property
    def keeps_method(self) -> bool:
        """Whether the customer keeps the method once it was charged: what is kept already is not
        kept again.
        """
        return self.save_method and self.saved_method_id is None

    def money(self, minor_units: int) -> Money:
        """An amount in the currency of this payment."""
        return Money(minor_units, self.currency)

    @property
    def provider_amount(self) -> int:
        """What a provider is asked for: the price without the part paid from store credit."""
        return self.amount - self.store_credit

    @property
    def shares(self) -> tuple[int, ...]:
        """Minor units of the price by account: one for each split, then the merchant's, if any."""
        splits = [int(split["amount"]) for split in self.splits]
        rest = self.amount - sum(splits)
        return (*splits, rest) if rest else tuple(splits)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A payment with all its attempts (by number), operations and refunds (by id)."""

    payment: Payment
    attempts: tuple[Attempt, ...] = ()
    operations: tuple[Operation, ...] = ()
    refunds: tuple[Refund, ...] = ()

    def operation(self, operation_id: UUID) -> Operation:
        """One operation of this payment."""
        return next(each for each in self.operations if each.id == operation_id)

    def operations_of(self, attempt: Attempt) -> tuple[Operation, ...]:
        """What was asked of the provider in one attempt, refunds included."""
        return tuple(each for each in self.operations if each.attempt_id == attempt.id)

    def attempt_of(self, operation: Operation) -> Attempt:
        """The attempt an operation belongs to."""
        return next(each for each in self.attempts if each.id == operation.attempt_id)

    def steps_beside(self, operation: Operation) -> tuple[Operation, ...]:
        """Everything asked in the attempt of an operation, the operation included."""
        return tuple(each for each in self.operations if each.attempt_id == operation.attempt_id)

    def refund_of(self, operation: Operation) -> Refund | None:
        """The refund an operation carries out."""
        return next((each for each in self.refunds if each.id == operation.refund_id), None)

    @property
    def current_attempt(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    def with_operation(self, changed: Operation) -> "Aggregate":
        """The same with one operation replaced."""
        operations = tuple(changed if o.id == changed.id else o for o in self.operations)
        return replace(self, operations=operations)


def opening_of(operations: tuple[Operation, ...]) -> Operation | None:
    """The operation that opened an attempt: its SALE or AUTHORIZE."""
    opening = (OperationKind.SALE, OperationKind.AUTHORIZE)
    return next((each for each in operations if each.kind in opening), None)
