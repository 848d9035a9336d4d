"""The loaders of one request: what is asked for in one turn of the event loop is read at once.

Each batch is one statement. A row that does not exist and a row of another
tenant are the same: None.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlmodel import SQLModel
from strawberry.dataloader import DataLoader

from gateways.accounts import webhook_url
from gateways.registry import UnknownAdapter
from gateways.tables import ProviderAccountRow, ProviderHealthRow
from ledger.tables import AccountRow, EntryRow, HoldRow, LedgerTransactionRow
from payments import RESOLVABLE
from payments.tables import (
    DiscrepancyRow,
    EvidenceRow,
    PaymentAttemptRow,
    PaymentRow,
    ProviderCallRow,
    ProviderOperationRow,
    RefundRow,
    SavedMethodRow,
)
from resolvers.books import select_accounts, select_entries
from resolvers.context import Context
from resolvers.reading import any_of, columns_of, fetch, rows_of, table_of
from resolvers.views.customers import SavedMethod
from resolvers.views.ledger import Account, Entry, Hold, Transaction
from resolvers.views.payments import (
    Discrepancy,
    Evidence,
    Payment,
    PaymentAttempt,
    ProviderOperation,
    Refund,
)
from resolvers.views.providers import Provider, ProviderHealth, health_of
from resolvers.views.records import AuditEntry, InboundWebhook
from tenants.tables import AuditLog
from webhooks.tables import InboundWebhookRow

Seen = TypeVar("Seen")


class Loaders:
    """One per request; each loader is made when it is first used."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _one(
        self, model: type[SQLModel], view: Callable[[Any], Seen], key: str = "id"
    ) -> DataLoader[Any, Seen | None]:
        """Loads by a unique column."""
        column = columns_of(model)[key]

        async def load(keys: list[Any]) -> list[Seen | None]:
            rows = await fetch(self._context, rows_of(model).where(any_of(column, keys)))
            found = {row[key]: view(row) for row in rows}
            return [found.get(each) for each in keys]

        return DataLoader(load)

    def _many(
        self, model: type[SQLModel], view: Callable[[Any], Seen], key: str, *order: str
    ) -> DataLoader[Any, list[Seen]]:
        """Loads what belongs to a row; for what is few by nature (attempts, operations)."""
        columns = columns_of(model)

        async def load(keys: list[Any]) -> list[list[Seen]]:
            statement = (
                rows_of(model)
                .where(any_of(columns[key], keys))
                .order_by(*(columns[name] for name in order))
            )
            return _grouped(await fetch(self._context, statement), key, keys, view)

        return DataLoader(load)

    @cached_property
    def payment(self) -> DataLoader[UUID, Payment | None]:
        return self._one(PaymentRow, Payment)

    @cached_property
    def attempt(self) -> DataLoader[UUID, PaymentAttempt | None]:
        return self._one(PaymentAttemptRow, PaymentAttempt)

    @cached_property
    def saved_method(self) -> DataLoader[UUID, SavedMethod | None]:
        return self._one(SavedMethodRow, SavedMethod)

    @cached_property
    def operation(self) -> DataLoader[UUID, ProviderOperation | None]:
        return self._one(ProviderOperationRow, ProviderOperation)

    @cached_property
    def has_riddle(self) -> DataLoader[UUID, bool]:
        """Whether an operation of a payment is UNKNOWN or IN_REVIEW."""
        columns = columns_of(ProviderOperationRow)

        async def load(keys: list[UUID]) -> list[bool]:
            statement = (
                select(columns["payment_id"])
                .where(any_of(columns["payment_id"], keys), any_of(columns["status"], RESOLVABLE))
                .distinct()
            )
            found = {row["payment_id"] for row in await fetch(self._context, statement)}
            return [key in found for key in keys]

        return DataLoader(load)

    @cached_property
    def refund(self) -> DataLoader[UUID, Refund | None]:
        return self._one(RefundRow, Refund)

    @cached_property
    def webhook(self) -> DataLoader[UUID, InboundWebhook | None]:
        return self._one(InboundWebhookRow, InboundWebhook)

    @cached_property
    def webhook_payload(self) -> DataLoader[UUID, object]:
        columns = columns_of(InboundWebhookRow)

        async def load(keys: list[UUID]) -> list[object]:
            wanted = select(columns["id"], columns["payload"]).where(any_of(columns["id"], keys))
            found = {row["id"]: row["payload"] for row in await fetch(self._context, wanted)}
            return [found.get(key) for key in keys]

        return DataLoader(load)

    @cached_property
    def audit_entry(self) -> DataLoader[UUID, AuditEntry | None]:
        return self._one(AuditLog, AuditEntry)

    @cached_property
    def discrepancy(self) -> DataLoader[UUID, Discrepancy | None]:
        return self._one(DiscrepancyRow, Discrepancy)

    @cached_property
    def attempts_of_payment(self) -> DataLoader[UUID, list[PaymentAttempt]]:
        return self._many(PaymentAttemptRow, PaymentAttempt, "payment_id", "number")

    @cached_property
    def operations_of_attempt(self) -> DataLoader[UUID, list[ProviderOperation]]:
        return self._many(ProviderOperationRow, ProviderOperation, "attempt_id", "id")

    @cached_property
    def operations_of_refund(self) -> DataLoader[UUID, list[ProviderOperation]]:
        return self._many(ProviderOperationRow, ProviderOperation, "refund_id", "id")

    @cached_property
    def calls_of_operation(self) -> DataLoader[UUID, list[dict[str, object]]]:
        return self._many(ProviderCallRow, _call, "operation_id", "id")

    @cached_property
    def evidence_of_operation(self) -> DataLoader[UUID, list[Evidence]]:
        column = columns_of(EvidenceRow)["operation_id"]

        async def load(keys: list[UUID]) -> list[list[Evidence]]:
            rows = await fetch(self._context, _evidence(any_of(column, keys)))
            return _grouped(rows, "operation_id", keys, Evidence)

        return DataLoader(load)

    @cached_property
    def evidence_of_event(self) -> DataLoader[tuple[UUID, str], list[Evidence]]:
        """By provider account and the provider's event id."""
        events = columns_of(EvidenceRow)["provider_event_id"]

        async def load(keys: list[tuple[UUID, str]]) -> list[list[Evidence]]:
            asked = {event for _, event in keys}
            rows = await fetch(self._context, _evidence(any_of(events, asked)))
            found = defaultdict(list)
            for row in rows:
                found[row["provider_account_id"], row["provider_event_id"]].append(Evidence(row))
            return [found[key] for key in keys]

        return DataLoader(load)

    @cached_property
    def account(self) -> DataLoader[UUID, Account | None]:
        return self._account("public_id")

    @cached_property
    def account_by_number(self) -> DataLoader[int, Account | None]:
        return self._account("id")

    def _account(self, key: str) -> DataLoader[Any, Account | None]:
        column = columns_of(AccountRow)[key]

        async def load(keys: list[Any]) -> list[Account | None]:
            rows = await fetch(self._context, select_accounts().where(any_of(column, keys)))
            found = {row[key]: Account(row) for row in rows}
            return [found.get(each) for each in keys]

        return DataLoader(load)

    @cached_property
    def transaction(self) -> DataLoader[UUID, Transaction | None]:
        return self._one(LedgerTransactionRow, Transaction, "public_id")

    @cached_property
    def transaction_by_number(self) -> DataLoader[int, Transaction | None]:
        return self._one(LedgerTransactionRow, Transaction)

    @cached_property
    def reversal_of(self) -> DataLoader[int, Transaction | None]:
        return self._one(LedgerTransactionRow, Transaction, "reverses_id")

    @cached_property
    def hold(self) -> DataLoader[UUID, Hold | None]:
        return self._one(HoldRow, Hold)

    @cached_property
    def entries_of_transaction(self) -> DataLoader[int, list[Entry]]:
        entries = columns_of(EntryRow)

        async def load(keys: list[int]) -> list[list[Entry]]:
            statement = (
                select_entries()
                .where(any_of(entries["transaction_id"], keys))
                .order_by(entries["transaction_id"], entries["leg_no"])
            )
            return _grouped(await fetch(self._context, statement), "transaction_id", keys, Entry)

        return DataLoader(load)

    @cached_property
    def provider(self) -> DataLoader[UUID, Provider | None]:
        return self._one(ProviderAccountRow, lambda row: provider_of(self._context, row))

    @cached_property
    def provider_health(self) -> DataLoader[UUID, ProviderHealth]:
        async def load(keys: list[UUID]) -> list[ProviderHealth]:
            return await self._health(keys)

        return DataLoader(load)

    async def _health(self, keys: Sequence[UUID]) -> list[ProviderHealth]:
        breakers, operations = columns_of(ProviderHealthRow), columns_of(ProviderOperationRow)
        account = operations["provider_account_id"]
        states = await fetch(
            self._context,
            rows_of(ProviderHealthRow)
            .where(any_of(breakers["provider_account_id"], keys))
            .order_by(breakers["kind"]),
        )
        counts = await fetch(
            self._context,
            select(account, func.count().label("unknown"))
            .where(any_of(account, keys), operations["status"] == "UNKNOWN")
            .group_by(account),
        )
        unknown = {row["provider_account_id"]: row["unknown"] for row in counts}
        by_account = _grouped(states, "provider_account_id", keys, lambda row: row)
        return [health_of(rows, unknown, key) for key, rows in zip(keys, by_account, strict=True)]


def load(context: Context) -> Loaders:
    """The loaders of the request; made at first use, so that who loads nothing pays nothing."""
    found = context.memory.get(Loaders)
    if not isinstance(found, Loaders):
        found = context.memory[Loaders] = Loaders(context)
    return found


def provider_of(context: Context, row: Any) -> Provider:
    """A provider account with what its adapter says of itself."""
    try:
        manifest = context.services.registry.of(row["adapter"]).manifest
    except UnknownAdapter:
        manifest = None
    return Provider(row, manifest, webhook_url(context.services.public_url, row["id"]))


def _grouped(
    rows: Sequence[Any], key: str, keys: Sequence[Any], view: Callable[[Any], Seen]
) -> list[list[Seen]]:
    found: dict[Any, list[Seen]] = {each: [] for each in keys}
    for row in rows:
        found[row[key]].append(view(row))
    return [found[each] for each in keys]


def _evidence(condition: ColumnElement[bool]) -> Any:
    """Facts with the status of their operation, in the order they were learnt."""
    evidence, operations = columns_of(EvidenceRow), columns_of(ProviderOperationRow)
    return (
        rows_of(
            EvidenceRow,
            operations["status"].label("operation_status"),
            operations["provider_account_id"],
        )
        .join(
            table_of(ProviderOperationRow),
            (operations["tenant_id"] == evidence["tenant_id"])
            & (operations["id"] == evidence["operation_id"]),
        )
        .where(condition)
        .order_by(evidence["id"])
    )


def _call(row: Any) -> dict[str, object]:
    """One line of the transcript."""
    return {
        "at": row["at"].isoformat(),
        "purpose": row["purpose"],
        "method": row["method"],
        "url": row["url"],
        "status": row["status"],
        "error": row["error"],
        "latencyMs": row["latency_ms"],
    }
