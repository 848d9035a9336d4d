"""Payments, their attempts, operations, evidence and refunds."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from resolvers import ledger as books
from resolvers import payments as read
from resolvers.money import customer_message
from resolvers.views import payments as views
from schema.base import cost, edge, method, pages, requires, shown, shows
from schema.directives import Scope
from schema.enums import (
    AttemptStatus,
    CaptureMode,
    DeclineKind,
    EvidenceSource,
    NextActionKind,
    OperationKind,
    OperationStatus,
    PaymentAction,
    PaymentStatus,
    RefundReason,
    RefundStatus,
    RoutingStrategy,
    RoutingVerdict,
)
from schema.references import (
    AttemptType,
    EvidenceType,
    OperationType,
    PaymentType,
    ProviderType,
    RefundConnection,
    TransactionConnection,
)
from schema.scalars import Url
from schema.shapes import Edge, KeyValue, MetadataEntry, Money, Node, PageInfo

_READ = requires(Scope.PAYMENTS_READ)

Language = Annotated[
    str | None,
    strawberry.argument(description="A BCP 47 tag such as de; English if it is not spoken."),
]


@strawberry.type(description="A candidate for a payment, and what was decided about it.")
class RoutingCandidate:
    rank: int = shown("Place in the order of trying, from 1.")
    verdict: RoutingVerdict = shown("What was decided.")
    reason: str = shown("Why, in words.")

    provider = edge(read.provider_of_candidate, ProviderType, "The candidate.")


@strawberry.type(description="Who was considered for an attempt, and why each was taken or not.")
class RoutingDecision:
    strategy: RoutingStrategy = shown("How the order came about.")
    decided_at: datetime = shown("When.")
    candidates: list[RoutingCandidate] = shown("Everybody who was considered, in order.")


@strawberry.type(description="What the shopper must do before the payment can go on.")
class NextAction:
    kind: NextActionKind = shown("What to do.")
    url: Url | None = shown("Where to.")
    fields: list[KeyValue] = shown("What to send or to show.")
    expires_at: datetime | None = shown("Until when.")


@strawberry.type(description="Why a provider refused. A decline is an answer, not an error.")
class Decline:
    kind: DeclineKind = shown("Why, in our words.", _READ)
    code: str = shown("Why, as a stable code.", _READ)
    provider_code: str | None = shown("The provider's own code.", _READ)
    network_code: str | None = shown("The card network's response code (ISO 8583).", _READ)
    advice_code: str | None = shown("The card network's advice to merchants.", _READ)
    retryable_with_same_method: bool = shown("Whether the same method may work another time.")

    @method("Safe to show to the shopper.", str)
    @staticmethod
    def customer_message(root: strawberry.Parent[Any], locale: Language = "en") -> str:
        return customer_message(root.kind, locale or "en")


@strawberry.type(description="One fact somebody told us about an operation. Never changed.")
class Evidence:
    id: strawberry.ID = shown("The id.")
    source: EvidenceSource = shown("Who says so.")
    says: OperationStatus = shown("What it says.")
    amount: Money | None = shown("What was moved, as far as the source tells.")
    occurred_at: datetime = shown("When it happened, says the source.")
    received_at: datetime = shown("When we learnt it.")
    provider_event_id: str | None = shown("The callback it came by.")
    applied: bool = shown(
        "Whether the operation's status is what this fact says; false for an earlier stage and for"
        " a fact that a stronger one overruled."
    )
    note: str | None = shown("For people.")


@strawberry.type(description="One provider call that may move money.")
class ProviderOperation(Node):
    is_type_of = shows(views.ProviderOperation)

    kind: OperationKind = shown("What the provider was asked to do.")
    status: OperationStatus = shown("What is known about it. Computed from the evidence.")
    provider_ref: str | None = shown("The provider's name for it.", _READ)
    amount: Money = shown("What was asked for.")
    fee: Money | None = shown("What the provider charges for it, once known.", _READ)
    idempotency_key: str = shown("The key sent to the provider; the same on every retry.", _READ)
    created_at: datetime = shown("When it was intended.")
    sent_at: datetime | None = shown("When it was sent; committed before the first byte left.")
    completed_at: datetime | None = shown("When the outcome became certain.")
    latency_ms: int | None = shown("From sending to certainty, in milliseconds.", _READ)
    decline: Decline | None = shown("Why it was refused.")
    next_resolution_at: datetime | None = shown("While the outcome is unknown: when it is asked.")
    resolution_tries: int = shown("How often it was asked.")

    provider = edge(read.provider_of, ProviderType, "Who was asked.", _READ)
    evidence = edge(read.evidence, list[EvidenceType], "Every fact known about it.", _READ, cost(5))
    transcript = edge(
        read.transcript,
        strawberry.scalars.JSON | None,
        "Every HTTP exchange made for it, masked.",
        requires(Scope.ADMIN),
        cost(5),
    )


@strawberry.type(description="One try of a payment at one provider account.")
class PaymentAttempt(Node):
    is_type_of = shows(views.PaymentAttempt)

    number: int = shown("1, 2, 3 … within the payment.")
    status: AttemptStatus = shown("Where it stands. Computed from its operations.")
    routing: RoutingDecision = shown("Why this provider.", _READ)
    decline: Decline | None = shown("Why it was refused.")
    next_action: NextAction | None = shown("What the shopper must do.")
    created_at: datetime = shown("When it was made.")

    provider = edge(read.provider_of, ProviderType, "Where it was tried.", _READ)
    operations = edge(
        read.operations_of_attempt,
        list[OperationType],
        "What the provider was asked to do, refunds included.",
        _READ,
        cost(5),
    )


@strawberry.type(description="What is charged, as far as it may be shown.")
class PaymentMethod:
    type: str = shown("card, or another type.")
    brand: str | None = shown("Brand of the card.")
    last4: str | None = shown("Its last four digits.")
    exp_month: int | None = shown("Month it expires.")
    exp_year: int | None = shown("Year it expires.")
    fingerprint: str | None = shown("The same for the same card, here and only here.", _READ)
    country: str | None = shown("Where it was issued, ISO 3166-1.")
    wallet: str | None = shown("The wallet it came from.")


@strawberry.type(description="What the shop wants: one amount, taken once.")
class Payment(Node):
    is_type_of = shows(views.Payment)

    status: PaymentStatus = shown("Where it stands. Computed from evidence.")
    version: int = shown("Raised by each change.")
    created_at: datetime = shown("When it was made.")
    updated_at: datetime = shown("When it was changed last.")
    expires_at: datetime | None = shown("Until when it waits for a method or a confirmation.")
    reference: str | None = shown("Your order or cart id.")
    amount: Money = shown("The whole price, store credit included.")
    amount_authorized: Money = shown("Reserved at the provider and not given back.")
    amount_capturable: Money = shown("Reserved and not captured yet.")
    amount_captured: Money = shown("Captured and not taken back by the provider.")
    amount_refundable: Money = shown("What a new refund may take at most.", _READ)
    amount_refunded: Money = shown("Given back.")
    amount_disputed: Money = shown("Withdrawn by open or lost disputes.", _READ)
    fees: Money = shown("Provider fees known so far.", _READ)
    net: Money = shown("Captured less refunded, disputed and fees.", _READ)
    capture_mode: CaptureMode = shown("When the money is taken.")
    method: PaymentMethod | None = shown("What is charged.")
    customer_id: str | None = shown("Your own customer id.", _READ)
    next_action: NextAction | None = shown("What the shopper must do now.")
    last_decline: Decline | None = shown("The newest refusal.")
    metadata: list[MetadataEntry] = shown("Keys and values of your own.", _READ)

    allowed_actions = edge(
        read.allowed_actions, list[PaymentAction], "What can be done with it now.", _READ
    )
    attempts = edge(read.attempts, list[AttemptType], "Every try, in order.", _READ, cost(5))
    refunds = pages(read.refunds, RefundConnection, "Its refunds, the newest first.", _READ)
    transactions = pages(
        books.transactions_of_payment,
        TransactionConnection,
        "What it did to the books, the newest first.",
        requires(Scope.LEDGER_READ),
        size=50,
    )
    client_secret = edge(
        read.client_secret,
        str | None,
        "Lets a browser read and confirm this one payment. Only for server keys.",
        requires(Scope.PAYMENTS_WRITE),
    )


@strawberry.type(description="Captured money on its way back.")
class Refund(Node):
    is_type_of = shows(views.Refund)

    status: RefundStatus = shown("Where it stands. Computed from its operation.")
    amount: Money = shown("How much.")
    reason: RefundReason = shown("Why.")
    note: str | None = shown("For people.")
    failure_message: str | None = shown("Why it failed.")
    created_at: datetime = shown("When it was made.")
    updated_at: datetime = shown("When it was changed last.")
    version: int = shown("Raised by each change.")
    metadata: list[MetadataEntry] = shown("Keys and values of your own.")

    payment = edge(read.payment_of, PaymentType, "The payment refunded.")
    operations = edge(
        read.operations_of_refund,
        list[OperationType],
        "What the provider was asked to do.",
        cost(5),
    )


@strawberry.type(description="A page of payments.")
class PaymentConnection:
    edges: list[Edge[Payment]] = shown("The rows with their cursors.")
    nodes: list[Payment] = shown("The rows.")
    page_info: PageInfo = shown("Where the page stands in the list.")

    total_count = edge(
        read.total_count, int | None, "How many there are; null beyond 10 000.", cost(10)
    )
