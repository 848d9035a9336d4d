"""A customer of the shop as their own browser sees them."""

from datetime import datetime

import strawberry

from resolvers import customers as read
from resolvers import saved_methods
from resolvers.views import customers as views
from schema.base import cost, edge, pages, shown, shows
from schema.payments import PaymentConnection
from schema.references import PaymentType
from schema.saved_methods import SavedMethodConnection
from schema.scalars import CurrencyCode
from schema.shapes import Connection, Money


@strawberry.type(description="What was added to a customer's store credit, or spent of it.")
class WalletEntry:
    is_type_of = shows(views.WalletEntry)

    id: strawberry.ID = shown("The id.")
    amount: Money = shown("Above zero for what was added, below zero for what was spent.")
    running_balance: Money = shown("The store credit right after this.")
    posted_at: datetime = shown("When it was written into the books.")

    kind = edge(read.kind_of, str, "What it was, such as store_credit_grant, sale or refund.")
    payment = edge(
        read.payment_of, PaymentType | None, "The customer's own payment behind it, if any."
    )


WalletEntryConnection = Connection[WalletEntry]


@strawberry.type(description="The store credit of a customer in one currency.")
class Wallet:
    currency: CurrencyCode = shown("ISO 4217 code.")
    balance: Money = shown("What was added less what was spent.")
    available: Money = shown("What can be spent now: the balance less what is reserved.")

    entries = pages(read.entries, WalletEntryConnection, "What happened to it, the newest first.")


@strawberry.type(description="A customer of the shop: what their own browser may see of them.")
class Customer:
    id: strawberry.ID = shown("The shop's own id of the customer.")

    payments = pages(read.payments_of, PaymentConnection, "Their payments, the newest first.")
    saved_methods = pages(
        saved_methods.saved_methods_of,
        SavedMethodConnection,
        "Methods they keep and can pay with, the newest first.",
    )
    wallets = edge(read.wallets, list[Wallet], "Their store credit, by currency.", cost(5))
