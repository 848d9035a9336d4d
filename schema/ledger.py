"""Accounts, balances, transactions, entries, holds and statements."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from resolvers import ledger as read
from resolvers import payments
from resolvers.paging import ENTRIES_PAGE_SIZE_MAX
from resolvers.views import ledger as views
from schema import filters
from schema.base import (
    After,
    First,
    FirstEntries,
    Info,
    cost,
    edge,
    method,
    page,
    present,
    requires,
    shown,
    shows,
)
from schema.directives import Scope
from schema.enums import AccountKind, Direction, HoldStatus, Layer
from schema.inputs import EntryFilter, StatementPeriodInput
from schema.references import AccountType, EntryType, PaymentType, RefundType, TransactionType
from schema.scalars import BigInt, CurrencyCode
from schema.shapes import Connection, MetadataEntry, Money, Node

_READ = requires(Scope.LEDGER_READ)
_PAYMENTS = requires(Scope.PAYMENTS_READ)
_ENTRIES = cost(1, per="first", maximum=ENTRIES_PAGE_SIZE_MAX)

At = Annotated[
    datetime | None, strawberry.argument(description="As the books stood then; now, unless given.")
]


@strawberry.type(description="What an account holds. Positive on the account's normal side.")
class Balance:
    currency: CurrencyCode = shown("ISO 4217 code.")
    debits: Money = shown("All posted debits.")
    credits: Money = shown("All posted credits.")
    posted: Money = shown("What has happened: the normal side less the other.")
    pending: Money = shown("What it will be when everything announced happens.")
    held: Money = shown("What is reserved to go out.")
    available: Money = shown("What can be spent: posted less held.")
    as_of_sequence: BigInt = shown("The last entry this includes.")
    as_of: datetime = shown("When it was so.")


@strawberry.type(description="One debit or credit.")
class Entry(Node):
    is_type_of = shows(views.Entry)

    sequence: BigInt = shown("1, 2, 3 … within the account, without gaps.")
    direction: Direction = shown("Debit or credit.")
    layer: Layer = shown("Posted for good, or pending: reserved and announced.")
    amount: Money = shown("How much; above zero.")
    running_balance: Money = shown("Posted balance of the account right after this entry.")
    posted_at: datetime = shown("When it was written into the books.")
    effective_at: datetime = shown("When it happened.")

    transaction: TransactionType = shown("The transaction it belongs to.")
    account = edge(read.account_of, AccountType, "The account it is on.")


@strawberry.type(description="A balanced set of entries: debits equal credits in each currency.")
class Transaction(Node):
    is_type_of = shows(views.Transaction)

    sequence: BigInt = shown("Rises with each transaction.")
    kind: str = shown("What it is, such as sale, capture, refund or psp_fee.")
    description: str | None = shown("For people.")
    posted_at: datetime = shown("When it was written into the books.")
    effective_at: datetime = shown("When it happened.")
    external_id: str | None = shown("Somebody else's name for it.")
    correlation_id: strawberry.ID = shown("The request that caused it.")
    hash: str = shown("SHA-256 over everything that can never change, in hexadecimal.")
    metadata: list[MetadataEntry] = shown("Keys and values kept with it.")

    entries = edge(read.entries_of_transaction, list[EntryType], "Its entries, in order.", cost(5))
    reverses = edge(read.reverses, TransactionType | None, "The transaction this one undoes.")
    reversed_by = edge(
        read.reversed_by, TransactionType | None, "The transaction that undid this one."
    )
    payment = edge(payments.payment_of, PaymentType | None, "The payment behind it.", _PAYMENTS)
    refund = edge(payments.refund_of, RefundType | None, "The refund behind it.", _PAYMENTS)


@strawberry.type(description="An amount reserved on one or several accounts.")
class Hold(Node):
    is_type_of = shows(views.Hold)

    amount: Money = shown("What was reserved at first.")
    status: HoldStatus = shown("Where it stands.")
    reason: str = shown("What it is for.")
    expires_at: datetime | None = shown("Advisory; only evidence ends a hold.")
    created_at: datetime = shown("When it was made.")

    legs = edge(read.legs_of_hold, list[EntryType], "The pending entries that made it.", cost(5))
    payment = edge(payments.payment_of, PaymentType | None, "The payment behind it.", _PAYMENTS)


EntryConnection = Connection[Entry]
HoldConnection = Connection[Hold]


@strawberry.type(description="What happened on an account in a period.")
class Statement:
    from_: datetime = shown("First instant of the period.", name="from")
    to: datetime = shown("First instant after the period.")
    opening: Money = shown("Posted balance before the period.")
    closing: Money = shown("Posted balance at the end of the period.")
    total_debits: Money = shown("All posted debits in the period.")
    total_credits: Money = shown("All posted credits in the period.")
    lines: EntryConnection = shown("The posted entries of the period, the oldest first.")

    account = edge(read.account_of_statement, AccountType, "The account.")


@strawberry.type(description="An account of the ledger.")
class Account(Node):
    is_type_of = shows(views.Account)

    path: str = shown("Names joined by colons: psp:simulator-a:clearing.")
    name: str = shown("For people.")
    kind: AccountKind = shown("Its class.")
    currency: CurrencyCode = shown("ISO 4217 code; an account has one.")
    normal_side: Direction = shown("The side on which its balance is positive.")
    allow_negative: bool = shown("Whether it may be overdrawn.")
    frozen: bool = shown("Whether new transactions of ours are refused.")
    version: BigInt = shown("Raised by each entry.", _READ)
    created_at: datetime = shown("When it was made.")
    metadata: list[MetadataEntry] = shown("Keys and values of your own.", _READ)

    @method("What it holds.", Balance, _READ, cost(2))
    @staticmethod
    async def balance(root: strawberry.Parent[Any], info: Info, at: At = UNSET) -> views.Balance:
        return await read.balance(info.context, root, present(at))

    @method("Its entries, the newest first.", EntryConnection, _READ, _ENTRIES)
    @staticmethod
    async def entries(
        root: strawberry.Parent[Any],
        info: Info,
        first: FirstEntries = 50,
        after: After = UNSET,
        filter: Annotated[EntryFilter | None, strawberry.argument(description="Which.")] = UNSET,
    ) -> Any:
        wanted = page(first, after, ENTRIES_PAGE_SIZE_MAX)
        return await read.entries(info.context, root, filters.entries(filter), wanted)

    @method("What happened on it in a period.", Statement, _READ, _ENTRIES)
    @staticmethod
    async def statement(
        root: strawberry.Parent[Any],
        info: Info,
        period: Annotated[StatementPeriodInput, strawberry.argument(description="Which period.")],
        first: FirstEntries = 200,
        after: After = UNSET,
    ) -> Any:
        wanted = page(first, after, ENTRIES_PAGE_SIZE_MAX)
        return await read.statement(info.context, root, period.from_, period.to, wanted)

    @method(
        "What is reserved on it, the newest first.", HoldConnection, _READ, cost(1, per="first")
    )
    @staticmethod
    async def holds(
        root: strawberry.Parent[Any],
        info: Info,
        first: First = 20,
        after: After = UNSET,
        status: Annotated[
            HoldStatus | None, strawberry.argument(description="In this state; null for all.")
        ] = HoldStatus.ACTIVE,
    ) -> Any:
        chosen = filters.name_of(status)
        return await read.holds_of_account(info.context, root, chosen, page(first, after))


@strawberry.type(description="The sums of one currency and layer. They are equal, always.")
class TrialBalanceLine:
    currency: CurrencyCode = shown("ISO 4217 code.")
    layer: Layer = shown("Which layer of the books.")
    debits: Money = shown("The sum of all debits.")
    credits: Money = shown("The sum of all credits.")


AccountConnection = Connection[Account]
