"""What a caller may ask for: imperative, already parsed, immutable.

Amounts, ids and paths are right by the time a command exists; who asks is the `Actor`.
`canonical_input` is the coerced input without the idempotency key and with defaults filled in:
two requests are the same request exactly when their canonical inputs are equal.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from core.money import Money

DEFAULT_MERCHANT_ACCOUNT: Final = "income:sales"
"""Ledger path that gets what the splits leave, unless the caller names another."""
SERVER: Final = "server"
"""Scope of every key and token of the merchant's own servers."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `name` is for the records ("key:key_…", "client:pay_…").

    `scope` is where idempotency keys live: "server", the public id of the one payment behind a
    client secret, or "customer:…".
    """

    tenant_id: int
    name: str
    scope: str
    correlation_id: str
    customer_id: str | None = None
    """The customer whose own token came along; a server needs none."""

    @property
    def is_server(self) -> bool:
        """Whether the merchant's server asks."""
        return self.scope == SERVER

    def may_spend_of(self, customer_id: str | None) -> bool:
        """Whether what belongs to this customer is the actor's to spend and to remove."""
        return self.is_server or (customer_id is not None and self.customer_id == customer_id)


class CaptureMode(enum.StrEnum):
    """Take at once, or authorize now and capture later."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"


class RefundReason(enum.StrEnum):
    """Why money goes back."""

    REQUESTED_BY_CUSTOMER = "REQUESTED_BY_CUSTOMER"
    DUPLICATE = "DUPLICATE"
    FRAUDULENT = "FRAUDULENT"
    NOT_RECEIVED = "NOT_RECEIVED"
    DEFECTIVE = "DEFECTIVE"
    DISPUTE_PREVENTION = "DISPUTE_PREVENTION"
    ORPHANED_PAYMENT = "ORPHANED_PAYMENT"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Method:
    """What is charged: a token of a provider or vault, never a card number."""

    token: str = field(repr=False)
    type: str = "card"


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """What is charged: a method the customer keeps."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Split:
    """One share of the price. `account` is a ledger path."""

    account: str
    amount: Money


@dataclass(frozen=True, slots=True)
class StoreCredit:
    """The part paid from a customer's store credit. `account` is a ledger path."""

    account: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Routing:
    """What the caller asks of the router."""

    provider_account_id: UUID | None = None
    strategy: str | None = None
    exclude: frozenset[UUID] = frozenset()
    allow_failover: bool = True


@dataclass(frozen=True, slots=True)
class CreatePayment:
    """Take (or only prepare, with `confirm` false) one amount once."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    amount: Money
    method: Method | SavedMethod | None = None
    capture_mode: CaptureMode = CaptureMode.AUTOMATIC
    confirm: bool = True
    reference: str | None = None
    return_url: str | None = None
    customer_id: str | None = None
    country: str | None = None
    merchant_account: str = DEFAULT_MERCHANT_ACCOUNT
    splits: tuple[Split, ...] = ()
    store_credit: StoreCredit | None = None
    routing: Routing = Routing()
    statement_descriptor: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    save_method: bool = False


@dataclass(frozen=True, slots=True)
class ConfirmPayment:
    """Try a prepared or declined payment, with a new method if one is given.

    `save_method` None leaves it as the payment was created.
    """

    idempotency_key: str
    canonical_input: Mapping[str, object]
    payment_id: UUID
    method: Method | SavedMethod | None = None
    return_url: str | None = None
    save_method: bool | None = None


@dataclass(frozen=True, slots=True)
class CapturePayment:
    """Take what was authorized; `amount` None means all that is left."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    payment_id: UUID
    amount: Money | None = None
    final: bool = True
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class CancelPayment:
    """End a payment that took nothing yet, or give back what is authorized and not captured."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    payment_id: UUID
    reason: str | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class CreateRefund:
    """Send captured money back; `amount` None means all that is refundable."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    payment_id: UUID
    amount: Money | None = None
    reason: RefundReason = RefundReason.REQUESTED_BY_CUSTOMER
    note: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class OperatorOutcome(enum.StrEnum):
    """What an administrator may say became of an operation."""

    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"
    NOT_EXECUTED = "NOT_EXECUTED"


@dataclass(frozen=True, slots=True)
class ResolveOperation:
    """Say what became of an operation whose outcome could not be found out."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    operation_id: UUID
    outcome: OperatorOutcome
    evidence_note: str
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True)
class RemoveSavedMethod:
    """Never pay with a saved method again, and have the provider forget it."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    saved_method_id: UUID


@dataclass(frozen=True, slots=True)
class SyncPayment:
    """Ask the provider now about everything that is not certain yet."""

    payment_id: UUID


@dataclass(frozen=True, slots=True)
class PaymentResult:
    """The payment a command made or acted on.

    `row` is how its last unit of work left it; without one read it for its current state.
    """

    payment_id: UUID
    replayed: bool
    row: asyncpg.Record | None = None


@dataclass(frozen=True, slots=True)
class RefundResult:
    """The refund a command made; read it for its current state."""

    refund_id: UUID
    payment_id: UUID
    replayed: bool


@dataclass(frozen=True, slots=True)
class SavedMethodResult:
    """The saved method a command acted on; read it for its current state."""

    saved_method_id: UUID
    replayed: bool


@dataclass(frozen=True, slots=True)
class OperationResult:
    """The operation a command acted on, and how many others must still say the same."""

    operation_id: UUID
    approvals_missing: int
    replayed: bool
