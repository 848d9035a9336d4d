"""Accounts, balances, entries, transactions, holds and statements as the API shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.identifiers import encode
from core.money import Money
from resolvers.paging import Page
from resolvers.views.rows import Attribute, Part, View, column, money, pairs, public_id

_DIRECTIONS: Final = {"D": "DEBIT", "C": "CREDIT"}
_SIDES: Final = {1: "DEBIT", -1: "CREDIT"}
_LAYERS: Final = {0: "POSTED", 1: "PENDING", 2: "PENDING"}
_SEQ_BITS: Final = 64

TOTALS: Final = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")
"""The columns of account_balance that hold running totals; entry has them with "_after"."""

OF_TRANSACTION: Final = "txn_"
"""Before the names of a transaction's columns, in the row of an entry."""


@dataclass(frozen=True, slots=True)
class Counters:
    """The four running totals of an account (or of several), in minor units of one currency.

    `normal` is 1 where debits increase the balance, -1 where credits do. `seq` is how many entries
    they include.
    """

    currency: str
    normal: int
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    seq: int

    @classmethod
    def of(cls, row: Any, suffix: str = "") -> "Counters":
        """From a row of account_balance, or of entry with the suffix "_after"."""
        totals = {name: int(row[f"{name}{suffix}"]) for name in TOTALS}  # sums are Decimal
        return cls(currency=row["currency"], normal=row["normal"], seq=int(row["seq"]), **totals)

    @property
    def posted(self) -> int:
        return self.normal * (self.debits_posted - self.credits_posted)

    @property
    def held(self) -> int:
        """Reserved to go out; what is only announced to come in is not counted."""
        return self.credits_pending if self.normal == 1 else self.debits_pending

    @property
    def available(self) -> int:
        return self.posted - self.held

    @property
    def pending(self) -> int:
        return self.posted + self.normal * (self.debits_pending - self.credits_pending)


@dataclass(frozen=True, slots=True)
class Balance:
    """What one or several accounts of a currency held at an instant."""

    currency: str
    debits: Money
    credits: Money
    posted: Money
    pending: Money
    held: Money
    available: Money
    as_of_sequence: int
    as_of: datetime

    @classmethod
    def of(cls, counters: Counters, as_of: datetime) -> "Balance":
        """The balance counters give."""

        def amount(minor_units: int) -> Money:
            return Money(minor_units, counters.currency)

        return cls(
            currency=counters.currency,
            debits=amount(counters.debits_posted),
            credits=amount(counters.credits_posted),
            posted=amount(counters.posted),
            pending=amount(counters.pending),
            held=amount(counters.held),
            available=amount(counters.available),
            as_of_sequence=counters.seq,
            as_of=as_of,
        )


class Account(View):
    """An account; the row also has its chart class and its balance row."""

    id = public_id("acc", "public_id")
    path = column("path")
    name = column("name")
    kind = column("kind")
    currency = column("currency")
    normal_side = Attribute(lambda row: _SIDES[row["normal"]])
    allow_negative = Attribute(lambda row: row["min_available"] is None or row["min_available"] < 0)
    frozen = Attribute(lambda row: row["state"] != "OPEN")
    version = column("seq")
    created_at = column("created_at")
    metadata = pairs("metadata")

    @property
    def number(self) -> int:
        """The internal number, by which entries know the account."""
        number: int = self.row["id"]
        return number

    @property
    def counters(self) -> Counters:
        return Counters.of(self.row)


def entry_id(account_number: int, seq: int) -> str:
    """The public id of an entry: its account and its place there, in base32."""
    return encode("ent", UUID(int=account_number << _SEQ_BITS | seq))


def entry_key(bare_id: UUID) -> tuple[int, int] | None:
    """Account number and sequence of an entry's bare id; None if they cannot be such."""
    number, seq = bare_id.int >> _SEQ_BITS, bare_id.int & ((1 << _SEQ_BITS) - 1)
    largest = (1 << (_SEQ_BITS - 1)) - 1
    return (number, seq) if 0 < number <= largest and 0 < seq <= largest else None


class Transaction(View):
    """A balanced set of entries."""

    id = public_id("txn", "public_id")
    sequence = column("id")
    kind = Attribute(lambda row: row["recipe"].partition("@")[0])
    description = Attribute(lambda row: row["description"] or None)
    posted_at = column("recorded_at")
    effective_at = column("effective_at")
    external_id = column("provider_ref")
    correlation_id = column("correlation_id")
    hash = Attribute(lambda row: row["content_hash"].hex())
    metadata = pairs("metadata")


class Entry(View):
    """One debit or credit; the row also has the account's normal side, and the transaction."""

    id = Attribute(lambda row: entry_id(row["account_id"], row["seq"]))
    sequence = column("seq")
    direction = Attribute(lambda row: _DIRECTIONS[row["direction"]])
    layer = Attribute(lambda row: _LAYERS[row["layer"]])
    amount = money("amount")
    running_balance = Attribute(
        lambda row: Money(
            row["normal"] * (row["debits_posted_after"] - row["credits_posted_after"]),
            row["currency"],
        )
    )
    posted_at = column("recorded_at")
    effective_at = column("effective_at")
    transaction = Attribute(lambda row: Transaction(Part(row, OF_TRANSACTION)))


class Hold(View):
    """An amount reserved by pending entries."""

    id = public_id("hld")
    amount = money("amount")
    status = column("status")
    reason = column("reason")
    expires_at = column("expires_at")
    created_at = column("created_at")


@dataclass(frozen=True, slots=True)
class Statement:
    """What happened on an account from one instant to another."""

    account: Account
    from_: datetime
    to: datetime
    opening: Money
    closing: Money
    total_debits: Money
    total_credits: Money
    lines: Page[Entry]


@dataclass(frozen=True, slots=True)
class TrialBalanceLine:
    """Sums of one currency and layer."""

    currency: str
    layer: str
    debits: Money
    credits: Money
