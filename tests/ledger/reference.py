"""The ledger once more, as a pure function over dictionaries: what the database must agree with."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from ledger import AccountRef, Direction, Layer, Leg, Posting

Counters: TypeAlias = list[int]
"""Debits and credits posted, debits and credits pending."""

_DEBIT_NORMAL = ("psp:", "bank:", "suspense:", "expense:")
_FLOORED = (":payable", ":wallet", ":receivable")
MOST = 2**63 - 1


def is_debit_normal(account: AccountRef) -> bool:
    return account.path.startswith(_DEBIT_NORMAL) or account.path.endswith(":receivable")


def available(account: AccountRef, counters: Counters) -> int:
    debits, credits, debits_pending, credits_pending = counters
    if is_debit_normal(account):
        return debits - credits - credits_pending
    return credits - debits - debits_pending


@dataclass
class Books:
    """Accounts, holds (what is left of each) and the postings written, by key."""

    accounts: dict[AccountRef, Counters] = field(
        default_factory=lambda: defaultdict(lambda: [0] * 4)
    )
    holds: dict[UUID, int] = field(default_factory=dict)
    written: dict[str, Posting] = field(default_factory=dict)

    def copy(self) -> "Books":
        books = Books(holds=dict(self.holds), written=dict(self.written))
        books.accounts.update({ref: list(counters) for ref, counters in self.accounts.items()})
        return books


def apply(books: Books, postings: list[Posting]) -> tuple[Books, str]:
    """The books after all postings and "POSTED", or the books as they were and the refusal."""
    after = books.copy()
    new = []
    for posting in postings:
        if posting.key not in after.written:
            new.append(posting)
            after.written[posting.key] = posting
        elif not after.written[posting.key].moves_same_money_as(posting):
            return books, "KeyReused"
    for posting in new:
        refusal = _holds(after, posting)
        if refusal:
            return books, refusal
    for posting in new:
        refusal = _legs(after, posting)
        if refusal:
            return books, refusal
    return after, "POSTED"


def _holds(books: Books, posting: Posting) -> str | None:
    if posting.opens:
        if posting.opens.hold_id in books.holds:
            return "KeyReused"
        books.holds[posting.opens.hold_id] = posting.opens.minor_units
    if posting.settles:
        left = books.holds.get(posting.settles.hold_id)
        undone = posting.settles.captured + posting.settles.released
        if left is None:
            return "HoldMissing"
        if undone > left:
            return "HoldExceeded"
        books.holds[posting.settles.hold_id] = left - undone
    return None


def _legs(books: Books, posting: Posting) -> str | None:
    touched = set()
    for leg in posting.legs:
        for account, minor_units in _spilled(books, leg):
            counters = books.accounts[account]
            index, sign = _effect(posting, leg)
            counters[index] += sign * minor_units
            touched.add(account)
            if max(counters) > MOST:
                return "AmountOutOfRange"
    for account in touched:
        if min(books.accounts[account]) < 0:
            return "HoldExceeded"
        if account.path.endswith(_FLOORED) and available(account, books.accounts[account]) < 0:
            return "InsufficientFunds"
    return None


def _spilled(books: Books, leg: Leg) -> list[tuple[AccountRef, int]]:
    takes_out = (leg.direction is Direction.CREDIT) == is_debit_normal(leg.account)
    if leg.spill is None or not takes_out or not leg.account.path.endswith(_FLOORED):
        return [(leg.account, leg.minor_units)]
    taken = min(leg.minor_units, max(available(leg.account, books.accounts[leg.account]), 0))
    parts = [(leg.account, taken), (leg.spill, leg.minor_units - taken)]
    return [part for part in parts if part[1]]


def _effect(posting: Posting, leg: Leg) -> tuple[int, int]:
    side = 0 if leg.direction is Direction.DEBIT else 1
    if leg.layer is Layer.POSTED:
        return side, 1
    return (2 + side, 1) if posting.opens else (3 - side, -1)
