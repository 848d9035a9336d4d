"""Reading the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    true,
)

from core.errors import Rejected
from core.identifiers import MalformedId, split
from core.money import Money
from ledger.tables import (
    AccountBalanceRow,
    AccountRow,
    AccountTypeRow,
    EntryRow,
    HoldRow,
    LedgerTransactionRow,
)
from resolvers.books import select_accounts, select_entries
from resolvers.context import Context
from resolvers.loaders import load
from resolvers.paging import Order, Page, PageRequest, fetch_page
from resolvers.payments import ANY, Span, bare_id
from resolvers.reading import any_of, columns_of, fetch, fetch_one, rows_of, table_of
from resolvers.views.ledger import (
    TOTALS,
    Account,
    Balance,
    Counters,
    Entry,
    Hold,
    Statement,
    Transaction,
    TrialBalanceLine,
    entry_key,
)
from resolvers.views.payments import Payment
from tenants.tables import Tenant

_ACCOUNTS: Final = columns_of(AccountRow)
_TYPES: Final = columns_of(AccountTypeRow)
_BALANCES: Final = columns_of(AccountBalanceRow)
_ENTRIES: Final = columns_of(EntryRow)
_TRANSACTIONS: Final = columns_of(LedgerTransactionRow)
_HOLDS: Final = columns_of(HoldRow)

POSTED: Final = 0

_ACCOUNTS_BY_PATH: Final = Order(
    "accounts", (_ACCOUNTS["path"], _ACCOUNTS["currency"]), (str, str), descending=False
)
_NEWEST_ENTRIES: Final = Order("entries", (_ENTRIES["seq"],), (int,))
_STATEMENT_LINES: Final = Order("statement", (_ENTRIES["seq"],), (int,), descending=False)
_NEWEST_TRANSACTIONS: Final = Order("transactions", (_TRANSACTIONS["id"],), (int,))
_NEWEST_HOLDS: Final = Order("holds", (_HOLDS["created_at"], _HOLDS["id"]), (datetime, UUID))


class BadPeriod(Rejected):
    """The period ends before it begins."""

    code = "BAD_PERIOD"


@dataclass(frozen=True, slots=True)
class AccountQuery:
    """Which accounts."""

    path_prefix: str | None = None
    kinds: Sequence[str] = ()
    currencies: Sequence[str] = ()
    ids: frozenset[UUID] | None = None


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """Which entries of an account."""

    posted_at: Span = ANY
    direction: str | None = None
    currency: str | None = None
    amount: Span = ANY
    kinds: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TransactionQuery:
    """Which transactions."""

    kinds: Sequence[str] = ()
    posted_at: Span = ANY
    account_id: UUID | None = None
    external_id: str | None = None
    payment_id: UUID | None = None


# ---- accounts


async def account(context: Context, id: str | None, path: str | None) -> Account | None:
    """By id, or by path (and then also by id, if both are given)."""
    if id is not None:
        bare = bare_id("acc", id)
        found = await load(context).account.load(bare) if bare else None
        return found if found is None or path in {None, found.path} else None
    return await account_at(context, path) if path is not None else None


_BASE_CURRENCY: Final = select(columns_of(Tenant)["base_currency"]).scalar_subquery()
_ACCOUNT_AT: Final = (
    select_accounts()
    .where(_ACCOUNTS["path"] == bindparam("path"))
    .order_by((_ACCOUNTS["currency"] == _BASE_CURRENCY).desc(), _ACCOUNTS["currency"])
    .limit(1)
)


async def account_at(context: Context, path: str, currency: str | None = None) -> Account | None:
    """By path; in the tenant's base currency, or else the first, unless a currency is given."""
    statement = _ACCOUNT_AT
    if currency is not None:
        statement = statement.where(_ACCOUNTS["currency"] == currency)
    row = await fetch_one(context, statement, path=path)
    return Account(row) if row is not None else None


async def accounts(context: Context, query: AccountQuery, request: PageRequest) -> Page[Account]:
    """By path and currency. Raises: BadCursor."""
    statement = select_accounts()
    if query.path_prefix is not None:
        statement = statement.where(_under(query.path_prefix))
    if query.kinds:
        statement = statement.where(any_of(_TYPES["class"], query.kinds))
    if query.currencies:
        statement = statement.where(any_of(_ACCOUNTS["currency"], query.currencies))
    if query.ids is not None:
        statement = statement.where(any_of(_ACCOUNTS["public_id"], query.ids))
    return await fetch_page(context, statement, _ACCOUNTS_BY_PATH, request, Account)


def _under(prefix: str) -> ColumnElement[bool]:
    return _ACCOUNTS["path"].startswith(prefix, autoescape=True)


# ---- balances


def _entry_at(at: ColumnElement[Any], *, before: bool = False) -> Any:
    """The newest entry of each account up to an instant (before it, with `before`)."""
    recorded = _ENTRIES["recorded_at"]
    return (
        rows_of(EntryRow)
        .where(
            _ENTRIES["tenant_id"] == _ACCOUNTS["tenant_id"],
            _ENTRIES["account_id"] == _ACCOUNTS["id"],
            recorded < at if before else recorded <= at,
        )
        .order_by(_ENTRIES["seq"].desc())
        .limit(1)
        .lateral("newest")
    )


async def balance(context: Context, parent: Account, at: datetime | None) -> Balance:
    """What the account holds, or held."""
    if at is None:
        return Balance.of(parent.counters, context.services.clock.now())
    (then,) = await _counters_at(context, parent, [at], before=False)
    return Balance.of(then, at)


def _counters_then(*, before: bool) -> Select[Any]:
    """The newest entry of an account up to each of several instants."""
    instants = bindparam("instants", type_=ARRAY(_ENTRIES["recorded_at"].type))
    asked = func.unnest(instants).table_valued("instant", name="asked").render_derived()
    newest = _entry_at(asked.c.instant, before=before)
    return (
        select(asked.c.instant, newest.c, _ACCOUNTS["normal"])
        .select_from(table_of(AccountRow).join(asked, true()).join(newest, true()))
        .where(_ACCOUNTS["id"] == bindparam("account"))
    )


_COUNTERS_THEN: Final = {before: _counters_then(before=before) for before in (False, True)}


async def _counters_at(
    context: Context, account: Account, instants: Sequence[datetime], *, before: bool
) -> list[Counters]:
    """What the account had counted at each instant, or just before it."""
    statement = _COUNTERS_THEN[before]
    rows = await fetch(context, statement, account=account.number, instants=list(instants))
    found = {row["instant"]: Counters.of(row, "_after") for row in rows}
    nothing = Counters(account.currency, account.row["normal"], 0, 0, 0, 0, 0)
    return [found.get(instant, nothing) for instant in instants]


async def balances(context: Context, prefix: str, at: datetime | None) -> list[Balance]:
    """Sums by currency, each account on its normal side."""
    source, names, suffix = _totals_source(at)
    rows = await fetch(
        context,
        select(
            _ACCOUNTS["currency"],
            _ACCOUNTS["normal"],
            *(_sum(names[f"{name}{suffix}"], name) for name in TOTALS),
            _sum(names["seq"], "seq"),
        )
        .select_from(source)
        .where(_under(prefix))
        .group_by(_ACCOUNTS["currency"], _ACCOUNTS["normal"])
        .order_by(_ACCOUNTS["currency"], _ACCOUNTS["normal"]),
    )
    as_of = at or context.services.clock.now()
    found: dict[str, list[Balance]] = {}
    for row in rows:
        found.setdefault(row["currency"], []).append(Balance.of(Counters.of(row), as_of))
    return [_added(parts) for parts in found.values()]


def _sum(column: Any, name: str) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0).label(name)


def _totals_source(at: datetime | None) -> tuple[Any, Any, str]:
    """Where running totals come from: the balances of now, or the newest entries of then."""
    accounts = table_of(AccountRow)
    if at is None:
        same = and_(
            _BALANCES["tenant_id"] == _ACCOUNTS["tenant_id"],
            _BALANCES["account_id"] == _ACCOUNTS["id"],
        )
        return accounts.join(table_of(AccountBalanceRow), same), _BALANCES, ""
    newest = _entry_at(literal(at, _ENTRIES["recorded_at"].type))
    return accounts.join(newest, true()), newest.c, "_after"


def _added(parts: Sequence[Balance]) -> Balance:
    """The sum of balances of one currency: of its debit-normal and of its credit-normal part."""
    first, *rest = parts
    for part in rest:
        first = Balance(
            currency=first.currency,
            debits=first.debits + part.debits,
            credits=first.credits + part.credits,
            posted=first.posted + part.posted,
            pending=first.pending + part.pending,
            held=first.held + part.held,
            available=first.available + part.available,
            as_of_sequence=first.as_of_sequence + part.as_of_sequence,
            as_of=first.as_of,
        )
    return first


async def trial_balance(context: Context, at: datetime | None) -> list[TrialBalanceLine]:
    """Sums of all accounts by currency and layer."""
    source, names, suffix = _totals_source(at)
    rows = await fetch(
        context,
        select(_ACCOUNTS["currency"], *(_sum(names[f"{name}{suffix}"], name) for name in TOTALS))
        .select_from(source)
        .group_by(_ACCOUNTS["currency"])
        .order_by(_ACCOUNTS["currency"]),
    )
    return [
        TrialBalanceLine(
            row["currency"],
            layer.upper(),
            Money(int(row[f"debits_{layer}"]), row["currency"]),
            Money(int(row[f"credits_{layer}"]), row["currency"]),
        )
        for row in rows
        for layer in ("posted", "pending")
    ]


# ---- entries


async def entry(context: Context, id: str) -> Entry | None:
    """By id; None if there is none the caller may see."""
    try:
        key = entry_key(split(id)[1])
    except MalformedId:
        return None
    if key is None:
        return None
    number, seq = key
    row = await fetch_one(
        context,
        select_entries().where(_ENTRIES["account_id"] == number, _ENTRIES["seq"] == seq),
    )
    return Entry(row) if row is not None else None


async def entries(
    context: Context, parent: Account, query: EntryQuery, request: PageRequest
) -> Page[Entry]:
    """The newest first, those of both layers. Raises: BadCursor."""
    statement = select_entries().where(_ENTRIES["account_id"] == parent.number)
    statement = query.posted_at.restrict(statement, _ENTRIES["recorded_at"])
    statement = query.amount.restrict(statement, _ENTRIES["amount"])
    if query.direction is not None:
        statement = statement.where(_ENTRIES["direction"] == query.direction[0])
    if query.currency is not None:
        statement = statement.where(_ENTRIES["currency"] == query.currency)
    if query.kinds:
        statement = statement.where(_of_kinds(query.kinds))
    return await fetch_page(context, statement, _NEWEST_ENTRIES, request, Entry)


def _of_kinds(kinds: Sequence[str]) -> ColumnElement[bool]:
    return any_of(func.split_part(_TRANSACTIONS["recipe"], "@", 1, type_=Text()), kinds)


async def statement(
    context: Context, parent: Account, from_: datetime, to: datetime, request: PageRequest
) -> Statement:
    """Opening and closing balance and the posted entries between. Raises: BadPeriod, BadCursor."""
    if to < from_:
        raise BadPeriod
    opening, closing = await _counters_at(context, parent, [from_, to], before=True)
    between = select_entries().where(
        _ENTRIES["account_id"] == parent.number,
        _ENTRIES["layer"] == POSTED,
        _ENTRIES["seq"] > opening.seq,
        _ENTRIES["seq"] <= closing.seq,
    )
    lines = await fetch_page(context, between, _STATEMENT_LINES, request, Entry)

    def amount(minor_units: int) -> Money:
        return Money(minor_units, parent.currency)

    return Statement(
        account=parent,
        from_=from_,
        to=to,
        opening=amount(opening.posted),
        closing=amount(closing.posted),
        total_debits=amount(closing.debits_posted - opening.debits_posted),
        total_credits=amount(closing.credits_posted - opening.credits_posted),
        lines=lines,
    )


async def account_of(context: Context, parent: Entry) -> Account | None:
    """The account an entry is on."""
    return await load(context).account_by_number.load(parent.row["account_id"])


async def account_of_statement(_context: Context, parent: Statement) -> Account:
    """The account of a statement."""
    return parent.account


# ---- transactions


async def transaction(context: Context, id: str) -> Transaction | None:
    """By id; None if there is none the caller may see."""
    bare = bare_id("txn", id)
    return await load(context).transaction.load(bare) if bare else None


async def transactions(
    context: Context, query: TransactionQuery, request: PageRequest
) -> Page[Transaction]:
    """The newest first. Raises: BadCursor."""
    statement = query.posted_at.restrict(
        rows_of(LedgerTransactionRow), _TRANSACTIONS["recorded_at"]
    )
    if query.kinds:
        statement = statement.where(_of_kinds(query.kinds))
    if query.external_id is not None:
        statement = statement.where(_TRANSACTIONS["provider_ref"] == query.external_id)
    if query.payment_id is not None:
        statement = statement.where(_TRANSACTIONS["payment_id"] == query.payment_id)
    if query.account_id is not None:
        on_account = and_(
            _ENTRIES["tenant_id"] == _TRANSACTIONS["tenant_id"],
            _ENTRIES["transaction_id"] == _TRANSACTIONS["id"],
            _ACCOUNTS["tenant_id"] == _ENTRIES["tenant_id"],
            _ACCOUNTS["id"] == _ENTRIES["account_id"],
            _ACCOUNTS["public_id"] == query.account_id,
        )
        statement = statement.where(exists().where(on_account))
    return await fetch_page(context, statement, _NEWEST_TRANSACTIONS, request, Transaction)


async def transactions_of_payment(
    context: Context, parent: Payment, request: PageRequest
) -> Page[Transaction]:
    """The newest first. Raises: BadCursor."""
    return await transactions(context, TransactionQuery(payment_id=parent.uuid), request)


async def entries_of_transaction(context: Context, parent: Transaction) -> list[Entry]:
    """In the order of its legs."""
    return await load(context).entries_of_transaction.load(parent.row["id"])


async def reverses(context: Context, parent: Transaction) -> Transaction | None:
    """The transaction this one undoes."""
    number = parent.row["reverses_id"]
    return await load(context).transaction_by_number.load(number) if number else None


async def reversed_by(context: Context, parent: Transaction) -> Transaction | None:
    """The transaction that undid this one."""
    return await load(context).reversal_of.load(parent.row["id"])


# ---- holds


async def holds(context: Context, status: str | None, request: PageRequest) -> Page[Hold]:
    """The newest first. Raises: BadCursor."""
    return await fetch_page(context, _holds(status), _NEWEST_HOLDS, request, Hold)


async def holds_of_account(
    context: Context, parent: Account, status: str | None, request: PageRequest
) -> Page[Hold]:
    """Those with a leg on the account, the newest first. Raises: BadCursor."""
    on_account = and_(
        _ENTRIES["tenant_id"] == _HOLDS["tenant_id"],
        _ENTRIES["transaction_id"] == _HOLDS["transaction_id"],
        _ENTRIES["account_id"] == parent.number,
    )
    statement = _holds(status).where(exists().where(on_account))
    return await fetch_page(context, statement, _NEWEST_HOLDS, request, Hold)


def _holds(status: str | None) -> Select[Any]:
    statement = rows_of(HoldRow)
    return statement if status is None else statement.where(_HOLDS["status"] == status)


async def legs_of_hold(context: Context, parent: Hold) -> list[Entry]:
    """The pending entries that made the hold."""
    legs = await load(context).entries_of_transaction.load(parent.row["transaction_id"])
    return [leg for leg in legs if leg.layer == "PENDING"]
