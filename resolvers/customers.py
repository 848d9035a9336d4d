"""What a customer may see: their own payments and store credit, and nothing by an id of their own
choosing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.database import Tx
from ledger import chart
from ledger.tables import AccountRow, EntryRow
from resolvers import payments
from resolvers.books import select_accounts, select_entries
from resolvers.context import Context
from resolvers.ledger import POSTED
from resolvers.loaders import load
from resolvers.mutations import answers
from resolvers.paging import Order, Page, PageRequest, fetch_page
from resolvers.payments import PaymentQuery
from resolvers.reading import columns_of, fetch
from resolvers.views.customers import Customer, Wallet, WalletEntry
from resolvers.views.ledger import Account
from resolvers.views.payments import Payment
from tenants import issue_customer_token

_ACCOUNTS: Final = columns_of(AccountRow)
_ENTRIES: Final = columns_of(EntryRow)
_NEWEST_ENTRIES: Final = Order("wallet", (_ENTRIES["seq"],), (int,))


@dataclass(frozen=True, slots=True)
class CreateCustomerToken:
    """For whom, and for how long."""

    customer_id: str
    seconds: int


@dataclass(frozen=True, slots=True)
class CustomerTokenPayload:
    """The new token; it is not shown again."""

    token: str
    expires_at: datetime


@answers
async def create_token(
    context: Context, parse: Callable[[], CreateCustomerToken]
) -> CustomerTokenPayload:
    """CustomerTokenCreate. Each call makes another token; none does anything by being made."""
    command, actor = parse(), context.actor()

    async def work(tx: Tx) -> CustomerTokenPayload:
        made = await issue_customer_token(
            tx, actor.tenant_id, command.customer_id, seconds=command.seconds, actor=actor.name
        )
        return CustomerTokenPayload(made.token, made.expires_at)

    return await context.services.database.run(actor.tenant_id, work)


async def customer(context: Context) -> Customer | None:
    """Whom the caller's token names; None for every other caller."""
    id = context.caller.customer_id
    return None if id is None else Customer(id)


async def payments_of(context: Context, parent: Customer, request: PageRequest) -> Page[Payment]:
    """Their own, the newest first. Raises: BadCursor."""
    return await payments.payments(context, PaymentQuery(customer_id=parent.id), request)


async def wallets(context: Context, parent: Customer) -> list[Wallet]:
    """Their store credit, one wallet for each currency they ever had some in."""
    is_theirs = _ACCOUNTS["path"] == chart.wallet_path(parent.id)
    statement = select_accounts().where(is_theirs).order_by(_ACCOUNTS["currency"])
    return [Wallet(Account(row)) for row in await fetch(context, statement)]


async def entries(context: Context, parent: Wallet, request: PageRequest) -> Page[WalletEntry]:
    """What happened to it, the newest first, without what is only reserved. Raises: BadCursor."""
    statement = select_entries().where(
        _ENTRIES["account_id"] == parent.account.number, _ENTRIES["layer"] == POSTED
    )
    return await fetch_page(context, statement, _NEWEST_ENTRIES, request, WalletEntry)


async def kind_of(context: Context, parent: WalletEntry) -> str:
    """What kind of transaction it was."""
    transaction = await load(context).transaction_by_number.load(parent.row["transaction_id"])
    assert transaction is not None, "an entry belongs to a transaction"
    kind: str = transaction.kind
    return kind


async def payment_of(context: Context, parent: WalletEntry) -> Payment | None:
    """The payment behind it, if it is the customer's own."""
    transaction = await load(context).transaction_by_number.load(parent.row["transaction_id"])
    if transaction is None or transaction.row["payment_id"] is None:
        return None
    found = await load(context).payment.load(transaction.row["payment_id"])
    own = found is not None and found.row["customer_id"] == context.caller.customer_id
    return found if own else None
