"""Reading payments, their attempts, operations and refunds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, exists, func, select

from core.identifiers import MalformedId, decode, encode
from payments import client_secret as derive_client_secret
from payments import find_by_client_secret
from payments import operation_by_idempotency_key as find_operation_by_key
from payments.tables import (
    PaymentAttemptRow,
    PaymentRow,
    ProviderOperationRow,
    RefundRow,
)
from resolvers.context import Context
from resolvers.loaders import load
from resolvers.paging import Order, Page, PageRequest, fetch_page
from resolvers.reading import any_of, columns_of, fetch_one, rows_of
from resolvers.views.payments import (
    Evidence,
    Payment,
    PaymentAttempt,
    ProviderOperation,
    Refund,
    RoutingCandidate,
)
from resolvers.views.providers import Provider
from resolvers.views.records import IdempotentResult

COUNT_MAX: Final = 10_000
"""Longer lists are not counted."""

_PAYMENTS: Final = columns_of(PaymentRow)
_ATTEMPTS: Final = columns_of(PaymentAttemptRow)
_OPERATIONS: Final = columns_of(ProviderOperationRow)
_REFUNDS: Final = columns_of(RefundRow)


@dataclass(frozen=True, slots=True)
class Span:
    """gte ≤ x < lt for instants, gte ≤ x ≤ lte for amounts; None leaves an end open."""

    gte: Any = None
    lt: Any = None
    lte: Any = None

    def restrict(self, statement: Select[Any], column: Any) -> Select[Any]:
        """The statement with only what lies in the span."""
        if self.gte is not None:
            statement = statement.where(column >= self.gte)
        if self.lt is not None:
            statement = statement.where(column < self.lt)
        return statement if self.lte is None else statement.where(column <= self.lte)


ANY: Final = Span()


@dataclass(frozen=True, slots=True)
class PaymentQuery:
    """Which payments, in which order. An empty or missing condition restricts nothing."""

    statuses: Sequence[str] = ()
    providers: frozenset[UUID] | None = None
    reference: str | None = None
    customer_id: str | None = None
    currency: str | None = None
    amount: Span = ANY
    created_at: Span = ANY
    updated_at: Span = ANY
    has_unknown_operation: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    provider_ref: str | None = None
    sort: str = "CREATED_AT"
    descending: bool = True


_SORTS: Final = {
    "CREATED_AT": ("created_at", datetime),
    "UPDATED_AT": ("updated_at", datetime),
    "AMOUNT": ("amount", int),
}


def _order(query: PaymentQuery) -> Order:
    name, kind = _SORTS[query.sort]
    direction = "desc" if query.descending else "asc"
    return Order(
        f"payments.{name}.{direction}",
        (_PAYMENTS[name], _PAYMENTS["id"]),
        (kind, UUID),
        query.descending,
    )


def _matching(query: PaymentQuery) -> Select[Any]:
    statement = rows_of(PaymentRow)
    for column, value in (
        ("reference", query.reference),
        ("customer_id", query.customer_id),
        ("currency", query.currency),
    ):
        if value is not None:
            statement = statement.where(_PAYMENTS[column] == value)
    if query.statuses:
        statement = statement.where(any_of(_PAYMENTS["status"], query.statuses))
    if query.metadata:
        statement = statement.where(_PAYMENTS["metadata"].contains(dict(query.metadata)))
    for column, span in (
        ("amount", query.amount),
        ("created_at", query.created_at),
        ("updated_at", query.updated_at),
    ):
        statement = span.restrict(statement, _PAYMENTS[column])
    return _matching_operations(statement, query)


def _matching_operations(statement: Select[Any], query: PaymentQuery) -> Select[Any]:
    of_payment = (_OPERATIONS["tenant_id"] == _PAYMENTS["tenant_id"]) & (
        _OPERATIONS["payment_id"] == _PAYMENTS["id"]
    )
    if query.provider_ref is not None:
        known_as = _OPERATIONS["provider_ref"] == query.provider_ref
        statement = statement.where(exists().where(of_payment, known_as))
    if query.has_unknown_operation is not None:
        unknown = exists().where(of_payment, _OPERATIONS["status"] == "UNKNOWN")
        statement = statement.where(unknown if query.has_unknown_operation else ~unknown)
    if query.providers is not None:
        of_attempt = (_ATTEMPTS["tenant_id"] == _PAYMENTS["tenant_id"]) & (
            _ATTEMPTS["payment_id"] == _PAYMENTS["id"]
        )
        tried_at = any_of(_ATTEMPTS["provider_account_id"], query.providers)
        statement = statement.where(exists().where(of_attempt, tried_at))
    return statement


async def payments(context: Context, query: PaymentQuery, request: PageRequest) -> Page[Payment]:
    """A page of payments. Raises: BadCursor."""
    statement = _matching(query)
    count = _counter(context, statement)
    return await fetch_page(context, statement, _order(query), request, Payment, count=count)


def _counter(context: Context, statement: Select[Any]) -> Callable[[], Awaitable[int | None]]:
    async def count() -> int | None:
        some = statement.with_only_columns(_PAYMENTS["id"]).limit(COUNT_MAX + 1).subquery()
        row = await fetch_one(context, select(func.count().label("found")).select_from(some))
        assert row is not None
        return None if row["found"] > COUNT_MAX else int(row["found"])

    return count


async def total_count(_context: Context, page: Page[Payment]) -> int | None:
    """How many there are in all pages; None beyond 10 000."""
    assert page.count is not None
    return await page.count()


def bare_id(prefix: str, public_id: str) -> UUID | None:
    """The bare id; None for what is no id of this kind, which is as good as a missing one."""
    try:
        return decode(prefix, public_id)
    except MalformedId:
        return None


async def payment(context: Context, id: str) -> Payment | None:
    """By id; None if there is none the caller may see."""
    bare = bare_id("pay", id)
    return await load(context).payment.load(bare) if bare else None


async def refund(context: Context, id: str) -> Refund | None:
    """By id; None if there is none the caller may see."""
    bare = bare_id("ref", id)
    return await load(context).refund.load(bare) if bare else None


async def payment_by_reference(context: Context, reference: str) -> Payment | None:
    """By the shop's own reference."""
    statement = rows_of(PaymentRow).where(_PAYMENTS["reference"] == reference)
    row = await fetch_one(context, statement)
    return Payment(row) if row is not None else None


async def payment_by_client_secret(context: Context, client_secret: str) -> Payment | None:
    """The one payment a client secret opens; None when it opens none."""
    id = await open_client_secret(context, client_secret)
    return await load(context).payment.load(id) if id else None


async def open_client_secret(context: Context, client_secret: str) -> UUID | None:
    """The payment behind a client secret, whose tenant the request then belongs to.

    None when there is none, when the request belongs to another tenant already, or when the caller
    came with the client secret of another payment.
    """
    found = await find_by_client_secret(context.services.database, client_secret)
    if found is None or not context.enter(found[0]):
        return None
    id = found[1]
    return id if context.caller.payment_id in {None, id} else None


async def operation_by_idempotency_key(
    context: Context, mutation: str, key: str
) -> IdempotentResult | None:
    """What became of the first call with this key by a server."""
    actor = context.actor()
    found = await find_operation_by_key(mutation, key, actor, context.services.payments)
    if found is None:
        return None
    state = "IN_PROGRESS" if found.in_progress else "COMPLETED"
    resource_id = encode(*found.resource)
    return IdempotentResult(found.key, found.mutation, state, found.first_seen_at, resource_id)


async def attempts(context: Context, parent: Payment) -> list[PaymentAttempt]:
    """Every try, in order."""
    return await load(context).attempts_of_payment.load(parent.uuid)


async def refunds(context: Context, parent: Payment, request: PageRequest) -> Page[Refund]:
    """The newest first."""
    order = Order("refunds", (_REFUNDS["created_at"], _REFUNDS["id"]), (datetime, UUID))
    statement = rows_of(RefundRow).where(_REFUNDS["payment_id"] == parent.uuid)
    return await fetch_page(context, statement, order, request, Refund)


async def allowed_actions(context: Context, parent: Payment) -> list[str]:
    """What can be done now, operations that nobody could find out about included."""
    riddle = await load(context).has_riddle.load(parent.uuid)
    return [*parent.allowed_actions, *(["RESOLVE"] if riddle else [])]


async def operations_of_attempt(context: Context, parent: PaymentAttempt) -> list[Any]:
    """What was asked of the provider, in order."""
    return await load(context).operations_of_attempt.load(parent.uuid)


async def operations_of_refund(context: Context, parent: Refund) -> list[Any]:
    """What was asked of the provider, in order."""
    return await load(context).operations_of_refund.load(parent.uuid)


async def payment_of(context: Context, parent: Any) -> Payment | None:
    """The payment a row names."""
    id = parent.row["payment_id"]
    return await load(context).payment.load(id) if id else None


async def refund_of(context: Context, parent: Any) -> Refund | None:
    """The refund a row names."""
    id = parent.row["refund_id"]
    return await load(context).refund.load(id) if id else None


async def provider_of(context: Context, parent: Any) -> Provider | None:
    """The provider account a row names."""
    return await load(context).provider.load(parent.row["provider_account_id"])


async def provider_of_candidate(context: Context, parent: RoutingCandidate) -> Provider | None:
    """The provider account a routing decision names."""
    return await load(context).provider.load(parent.provider_account_id)


async def evidence(context: Context, parent: ProviderOperation) -> list[Evidence]:
    """Every fact known about an operation, in the order they were learnt."""
    return await load(context).evidence_of_operation.load(parent.uuid)


async def transcript(context: Context, parent: ProviderOperation) -> list[dict[str, object]]:
    """Every HTTP exchange made for an operation, masked."""
    return await load(context).calls_of_operation.load(parent.uuid)


async def client_secret(context: Context, parent: Payment) -> str:
    """Made anew each time, from a key only we have; nothing but its hash is stored."""
    return derive_client_secret(context.services.payments.vault, parent.uuid)
