"""A customer of the shop, and their store credit, as the customer's own browser may see them."""

from dataclasses import dataclass

from core.money import Money
from resolvers.views.ledger import Account, Entry
from resolvers.views.rows import Attribute

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
