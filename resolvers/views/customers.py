"""A customer of the shop, their store credit and saved methods, as their own browser sees them."""

from dataclasses import dataclass

from core.money import Money
from resolvers.views.ledger import Account, Entry
from resolvers.views.rows import Attribute, View, column, public_id

_NORMAL_DIRECTIONS = {1: "D", -1: "C"}


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a customer token names. `id` is the shop's own id."""

    id: str


@dataclass(frozen=True, slots=True)
class Wallet:
    """The store credit of a customer in one currency."""

    account: Account

    @property
    def currency(self) -> str:
        currency: str = self.account.currency
        return currency

    @property
    def balance(self) -> Money:
        return Money(self.account.counters.posted, self.currency)

    @property
    def available(self) -> Money:
        return Money(self.account.counters.available, self.currency)


class WalletEntry(Entry):
    """One posted entry of a wallet: its amount has the sign of what it did to the balance."""

    amount = Attribute(
        lambda row: Money(
            row["amount"]
            if row["direction"] == _NORMAL_DIRECTIONS[row["normal"]]
            else -row["amount"],
            row["currency"],
        )
    )


class SavedMethod(View):
    """A method a customer keeps for their next payment."""

    id = public_id("sm")
    type = column("type")
    brand = column("brand")
    last4 = column("last4")
    exp_month = column("exp_month")
    exp_year = column("exp_year")
    created_at = column("created_at")
    removed_at = column("removed_at")
    customer_id = column("customer_id")
    detached_at = column("detached_at")
