"""From filter inputs to the queries of resolvers, judged field by field like other inputs."""

import re
from enum import Enum
from typing import Any

from core.money import Money
from resolvers.ledger import AccountQuery, EntryQuery, TransactionQuery
from resolvers.payments import PaymentQuery, Span
from resolvers.records import AuditQuery, DiscrepancyQuery, WebhookQuery
from schema.base import present
from schema.enums import SortDirection
from schema.inputs import (
    AccountFilter,
    AuditFilter,
    DateTimeRange,
    DiscrepancyFilter,
    EntryFilter,
    InboundWebhookFilter,
    MoneyInput,
    MoneyRange,
    PaymentFilter,
    PaymentSort,
    TransactionFilter,
)
from schema.parsing import Path, Reader

_TEXT_MAX = 255
_LIST_MAX = 100
_FILTER: Path = ("filter",)
_COUNTRY = re.compile(r"[A-Z]{2}")
_AGE_HOURS_MAX = 24 * 366 * 100


def _span(range: DateTimeRange | None) -> Span:
    value = present(range)
    return Span() if value is None else Span(gte=present(value.gte), lt=present(value.lt))


def _amounts(range: MoneyRange | None) -> tuple[str | None, Span]:
    value = present(range)
    if value is None:
        return None, Span()
    return value.currency, Span(gte=present(value.gte), lte=present(value.lte))


def name_of(member: Enum | None) -> str | None:
    """The name of an enum member; None when none was chosen."""
    chosen: Enum | None = present(member)
    return None if chosen is None else str(chosen.value)


def _names(reader: Reader, field: str, chosen: Any) -> tuple[str, ...]:
    """The names of enum members, or strings; a list that was left out is empty."""
    values = present(chosen) or ()
    if len(values) > _LIST_MAX:
        reader.refuse((*_FILTER, field), "TOO_MANY", f"Give at most {_LIST_MAX}.")
    return tuple(value if isinstance(value, str) else value.value for value in values)


def _ids(reader: Reader, field: str, prefix: str, ids: Any) -> Any:
    """Ids to look for: None when none were asked for."""
    if present(ids) is None:
        return None
    if len(ids) > _LIST_MAX:
        reader.refuse((*_FILTER, field), "TOO_MANY", f"Give at most {_LIST_MAX}.")
        return frozenset()
    return reader.ids((*_FILTER, field), prefix, ids)


def payments(filter: PaymentFilter | None, sort: PaymentSort | None) -> PaymentQuery:
    """Which payments, in which order. Raises: ValidationFailed."""
    reader = Reader()
    order: dict[str, Any] = {}
    if (by := present(sort)) is not None:
        order = {"sort": by.key.value, "descending": by.direction is SortDirection.DESC}
    if (value := present(filter)) is None:
        return PaymentQuery(**order)
    currency, amount = _amounts(value.amount)
    query = PaymentQuery(
        statuses=_names(reader, "status", value.status),
        providers=_ids(reader, "provider", "prv", value.provider),
        reference=reader.text((*_FILTER, "reference"), value.reference, _TEXT_MAX),
        customer_id=reader.text((*_FILTER, "customerId"), value.customer_id, _TEXT_MAX),
        currency=currency,
        amount=amount,
        created_at=_span(value.created_at),
        updated_at=_span(value.updated_at),
        has_unknown_operation=present(value.has_unknown_operation),
        metadata=reader.metadata((*_FILTER, "metadata"), value.metadata),
        provider_ref=reader.text((*_FILTER, "providerRef"), value.provider_ref, _TEXT_MAX),
        **order,
    )
    reader.finish()
    return query


def accounts(filter: AccountFilter | None) -> AccountQuery:
    """Which accounts. Raises: ValidationFailed."""
    if (value := present(filter)) is None:
        return AccountQuery()
    reader = Reader()
    query = AccountQuery(
        path_prefix=reader.text((*_FILTER, "pathPrefix"), value.path_prefix, _TEXT_MAX),
        kinds=_names(reader, "kind", value.kind),
        currencies=_names(reader, "currency", value.currency),
        ids=_ids(reader, "ids", "acc", value.ids),
    )
    reader.finish()
    return query


def entries(filter: EntryFilter | None) -> EntryQuery:
    """Which entries. Raises: ValidationFailed."""
    if (value := present(filter)) is None:
        return EntryQuery()
    reader = Reader()
    currency, amount = _amounts(value.amount)
    direction = present(value.direction)
    query = EntryQuery(
        posted_at=_span(value.posted_at),
        direction=direction.value if direction else None,
        currency=currency,
        amount=amount,
        kinds=_names(reader, "transactionKind", value.transaction_kind),
    )
    reader.finish()
    return query


def transactions(filter: TransactionFilter | None) -> TransactionQuery:
    """Which transactions. Raises: ValidationFailed."""
    if (value := present(filter)) is None:
        return TransactionQuery()
    reader = Reader()
    query = TransactionQuery(
        kinds=_names(reader, "kind", value.kind),
        posted_at=_span(value.posted_at),
        account_id=reader.id((*_FILTER, "accountId"), "acc", value.account_id),
        external_id=reader.text((*_FILTER, "externalId"), value.external_id, _TEXT_MAX),
        payment_id=reader.id((*_FILTER, "paymentId"), "pay", value.payment_id),
    )
    reader.finish()
    return query


def inbound_webhooks(filter: InboundWebhookFilter | None) -> WebhookQuery:
    """Which callbacks. Raises: ValidationFailed."""
    if (value := present(filter)) is None:
        return WebhookQuery()
    reader = Reader()
    query = WebhookQuery(
        providers=_ids(reader, "provider", "prv", value.provider),
        statuses=_names(reader, "status", value.status),
        provider_event_id=reader.text(
            (*_FILTER, "providerEventId"), value.provider_event_id, _TEXT_MAX
        ),
        received_at=_span(value.received_at),
    )
    reader.finish()
    return query


def discrepancies(filter: DiscrepancyFilter | None) -> DiscrepancyQuery:
    """Which discrepancies. Raises: ValidationFailed."""
    if (value := present(filter)) is None:
        return DiscrepancyQuery()
    reader = Reader()
    hours = present(value.older_than_hours)
    if hours is not None and not 0 <= hours <= _AGE_HOURS_MAX:
        reader.refuse((*_FILTER, "olderThanHours"), "OUT_OF_RANGE", "Give hours, 0 or more.")
    query = DiscrepancyQuery(
        kinds=_names(reader, "kind", value.kind),
        statuses=_names(reader, "status", value.status),
        providers=_ids(reader, "provider", "prv", value.provider),
        older_than_hours=hours,
    )
    reader.finish()
    return query


def audit(filter: AuditFilter | None) -> AuditQuery:
    """Which lines of the audit log. Raises: ValidationFailed."""
    if (value := present(filter)) is None:
        return AuditQuery()
    reader = Reader()
    query = AuditQuery(
        actor=reader.text((*_FILTER, "actor"), value.actor, _TEXT_MAX),
        action=reader.text((*_FILTER, "action"), value.action, _TEXT_MAX),
        subject_id=reader.text((*_FILTER, "subjectId"), value.subject_id, _TEXT_MAX),
        at=_span(value.at),
    )
    reader.finish()
    return query


def checkout(amount: MoneyInput, country: str | None) -> tuple[Money, str | None]:
    """What is to be paid, and from where. Raises: ValidationFailed."""
    reader = Reader()
    money = reader.required_money(("amount",), amount)
    code: str | None = present(country)
    if code is not None and not _COUNTRY.fullmatch(code):
        reader.refuse(("country",), "BAD_COUNTRY", "Give two capital letters (ISO 3166-1).")
    reader.finish()
    return money, code
