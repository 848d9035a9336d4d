"""Reading callbacks, discrepancies, the audit log, and who is asking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select

from core.identifiers import encode
from payments.tables import DiscrepancyRow
from resolvers.context import API_VERSION, Context
from resolvers.loaders import load
from resolvers.paging import Order, Page, PageRequest, fetch_page
from resolvers.payments import ANY, Span
from resolvers.reading import any_of, columns_of, fetch_one, rows_of
from resolvers.views.payments import Discrepancy, Evidence
from resolvers.views.records import AuditEntry, InboundWebhook, Viewer, as_json
from tenants.tables import AuditLog, Tenant
from webhooks.tables import InboundWebhookRow

_WEBHOOKS: Final = columns_of(InboundWebhookRow)
_DISCREPANCIES: Final = columns_of(DiscrepancyRow)
_AUDIT: Final = columns_of(AuditLog)

_BY_ARRIVAL: Final = Order(
    "webhooks", (_WEBHOOKS["received_at"], _WEBHOOKS["id"]), (datetime, UUID)
)
_BY_FINDING: Final = Order("discrepancies", (_DISCREPANCIES["id"],), (UUID,))
_BY_TIME: Final = Order("audit", (_AUDIT["id"],), (UUID,))


@dataclass(frozen=True, slots=True)
class WebhookQuery:
    """Which callbacks."""

    providers: frozenset[UUID] | None = None
    statuses: Sequence[str] = ()
    provider_event_id: str | None = None
    received_at: Span = ANY


@dataclass(frozen=True, slots=True)
class DiscrepancyQuery:
    """Which discrepancies."""

    kinds: Sequence[str] = ()
    statuses: Sequence[str] = ()
    providers: frozenset[UUID] | None = None
    older_than_hours: int | None = None


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines of the audit log."""

    actor: str | None = None
    action: str | None = None
    subject_id: str | None = None
    at: Span = ANY


async def inbound_webhooks(
    context: Context, query: WebhookQuery, request: PageRequest
) -> Page[InboundWebhook]:
    """The newest first. Raises: BadCursor."""
    statement = query.received_at.restrict(rows_of(InboundWebhookRow), _WEBHOOKS["received_at"])
    if query.providers is not None:
        statement = statement.where(any_of(_WEBHOOKS["provider_account_id"], query.providers))
    if query.statuses:
        statement = statement.where(any_of(_WEBHOOKS["status"], query.statuses))
    if query.provider_event_id is not None:
        statement = statement.where(_WEBHOOKS["provider_event_id"] == query.provider_event_id)
    return await fetch_page(context, statement, _BY_ARRIVAL, request, InboundWebhook)


async def discrepancies(
    context: Context, query: DiscrepancyQuery, request: PageRequest
) -> Page[Discrepancy]:
    """The newest first. Raises: BadCursor."""
    statement = rows_of(DiscrepancyRow)
    if query.kinds:
        statement = statement.where(any_of(_DISCREPANCIES["kind"], query.kinds))
    if query.statuses:
        statement = statement.where(any_of(_DISCREPANCIES["status"], query.statuses))
    if query.providers is not None:
        statement = statement.where(any_of(_DISCREPANCIES["provider_account_id"], query.providers))
    if query.older_than_hours is not None:
        since = context.services.clock.now() - timedelta(hours=query.older_than_hours)
        statement = statement.where(_DISCREPANCIES["created_at"] < since)
    return await fetch_page(context, statement, _BY_FINDING, request, Discrepancy)


async def audit_log(context: Context, query: AuditQuery, request: PageRequest) -> Page[AuditEntry]:
    """The newest first. Raises: BadCursor."""
    statement = query.at.restrict(rows_of(AuditLog), _AUDIT["at"])
    for column, value in (
        ("actor", query.actor),
        ("action", query.action),
        ("subject", query.subject_id),
    ):
        if value is not None:
            statement = statement.where(_AUDIT[column] == value)
    return await fetch_page(context, statement, _BY_TIME, request, AuditEntry)


async def evidence_of_webhook(context: Context, parent: InboundWebhook) -> list[Evidence]:
    """What a callback told about our operations."""
    key = (parent.row["provider_account_id"], parent.row["provider_event_id"])
    return await load(context).evidence_of_event.load(key)


async def payload_of_webhook(context: Context, parent: InboundWebhook) -> object:
    """The raw body that was verified."""
    body = await load(context).webhook_payload.load(parent.uuid)
    return as_json(body) if isinstance(body, bytes) else None


async def age_hours(context: Context, parent: Discrepancy) -> float:
    """From when it was found until it was resolved, or until now."""
    end = parent.row["resolved_at"] or context.services.clock.now()
    age: timedelta = end - parent.row["created_at"]
    return round(age.total_seconds() / 3600, 2)


async def viewer(context: Context) -> Viewer:
    """Who is asking. Raises: Unauthenticated for a browser."""
    actor = context.actor()
    row: Any = await fetch_one(context, select(columns_of(Tenant)["public_id"]))
    caller = context.caller
    key = encode("key", caller.key_id) if caller.key_id else caller.subject or actor.scope
    return Viewer(
        encode("ten", row["public_id"]), key, caller.live, sorted(caller.scopes), API_VERSION
    )
