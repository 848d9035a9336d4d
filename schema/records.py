"""Callbacks, discrepancies, the audit log, used idempotency keys, and who is asking."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from resolvers import node, payments
from resolvers import records as read
from resolvers.views import payments as payment_views
from resolvers.views import records as views
from schema.base import edge, requires, shown, shows
from schema.directives import Scope
from schema.enums import (
    DiscrepancyKind,
    DiscrepancyStatus,
    IdempotentState,
    InboundStatus,
)
from schema.references import EvidenceType, PaymentType, ProviderType, RefundType
from schema.shapes import Connection, Money, Node, PageInfo

_PAYMENTS = requires(Scope.PAYMENTS_READ)


@strawberry.type(
    description="A callback of a provider. Each is stored once, however often it comes."
)
class InboundWebhook(Node):
    is_type_of = shows(views.InboundWebhook)

    provider_event_id: str = shown("The provider's event id, or a digest of the body.")
    kind: str | None = shown("The provider's name of the event.")
    status: InboundStatus = shown("Where its processing stands.")
    tries: int = shown("How often it was tried.")
    received_at: datetime = shown("When it arrived first.")
    processed_at: datetime | None = shown("When its effect was committed.")
    error: str | None = shown("Why the last try failed.")

    provider = edge(payments.provider_of, ProviderType, "Whose callback it is.")
    payload = edge(read.payload_of_webhook, JSON | None, "The body.", requires(Scope.ADMIN))
    evidence = edge(
        read.evidence_of_webhook, list[EvidenceType], "What it told about operations.", _PAYMENTS
    )


@strawberry.type(description="Something that does not add up and waits for an explanation.")
class Discrepancy(Node):
    is_type_of = shows(payment_views.Discrepancy)

    kind: DiscrepancyKind = shown("What does not add up.")
    status: DiscrepancyStatus = shown("Where its handling stands.")
    provider_ref: str | None = shown("The provider's name for what is concerned.")
    expected: Money | None = shown("What we expected.")
    actual: Money | None = shown("What we found.")
    note: str | None = shown("What is wrong, in words.")
    created_at: datetime = shown("When it was found.")
    resolved_at: datetime | None = shown("When it was explained.")

    age_hours = edge(read.age_hours, float, "How long it waited, or has been waiting.")
    payment = edge(payments.payment_of, PaymentType | None, "The payment concerned.", _PAYMENTS)
    refund = edge(payments.refund_of, RefundType | None, "The refund concerned.", _PAYMENTS)


@strawberry.type(description="Who did what. Append-only.")
class AuditEntry(Node):
    is_type_of = shows(views.AuditEntry)

    at: datetime = shown("When.")
    actor: str = shown(
        "Who: a key, the subject of a JWT, a client secret, a process of ours, the command line."
    )
    action: str = shown("What, such as key.issue.")
    before: JSON | None = shown("What it was before; no secrets.")
    after: JSON | None = shown("What it was after; no secrets.")
    refused: bool = shown("Whether it was not allowed.")
    correlation_id: strawberry.ID = shown("The request it belongs to.")

    subject = edge(node.subject_of, Node | None, "What it was done to.")


@strawberry.type(description="What became of the first call with an idempotency key.")
class IdempotentResult:
    key: str = shown("The key.")
    mutation: str = shown("The mutation it was used with.")
    state: IdempotentState = shown("Whether that call has finished.")
    first_seen_at: datetime = shown("When it came.")

    resource = edge(node.resource_of, Node | None, "What it made or acted on, as it is now.")


@strawberry.type(description="Who is asking.")
class Viewer:
    tenant_id: strawberry.ID = shown("The tenant.")
    key_id: strawberry.ID = shown(
        "The key; the subject of a JWT as jwt:…; the payment, for a browser with a client secret."
    )
    live: bool = shown("Whether real money moves.")
    scopes: list[Scope] = shown("What the key may do.")
    api_version: str = shown("Version of the meaning of this API.")


InboundWebhookConnection = Connection[InboundWebhook]
DiscrepancyConnection = Connection[Discrepancy]


@strawberry.type(description="A row of a page of the audit log.")
class AuditEdge:
    node: AuditEntry = shown("The row.")
    cursor: str = shown("Where the row stands in the list.")


@strawberry.type(description="A page of the audit log.")
class AuditConnection:
    edges: list[AuditEdge] = shown("The rows with their cursors.")
    nodes: list[AuditEntry] = shown("The rows.")
    page_info: PageInfo = shown("Where the page stands in the list.")
