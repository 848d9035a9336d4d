"""Builders of postings for the tests of the ledger."""

import itertools
from datetime import UTC, datetime
from typing import Any

from core.database import Database
from core.identifiers import new_id
from ledger import (
    AccountRef,
    Direction,
    Layer,
    Leg,
    OpenHold,
    Posted,
    Posting,
    SettleHold,
    post,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_keys = itertools.count(1)


def a_key(recipe: str = "test@1") -> str:
    return f"{recipe}:{next(_keys)}"


def an_account(path: str, currency: str = "EUR") -> AccountRef:
    return AccountRef(path, currency)


def debit(path: str, minor_units: int, currency: str = "EUR", **more: Any) -> Leg:
    return Leg(AccountRef(path, currency), Direction.DEBIT, minor_units, **more)


def credit(path: str, minor_units: int, currency: str = "EUR", **more: Any) -> Leg:
    return Leg(AccountRef(path, currency), Direction.CREDIT, minor_units, **more)


def pending(leg: Leg) -> Leg:
    return Leg(leg.account, leg.direction, leg.minor_units, Layer.PENDING)


def a_posting(*legs: Leg, key: str | None = None, recipe: str = "test@1", **more: Any) -> Posting:
    return Posting(
        key=key or a_key(recipe),
        recipe=recipe,
        legs=legs,
        correlation_id=more.pop("correlation_id", "test"),
        effective_at=more.pop("effective_at", AT),
        created_by=more.pop("created_by", "tests"),
        **more,
    )


def a_transfer(source: str, destination: str, minor_units: int, **more: Any) -> Posting:
    """Debit `source`, credit `destination`."""
    return a_posting(debit(source, minor_units), credit(destination, minor_units), **more)


CLEARING, PAYABLE, BANK = "psp:one:clearing", "merchant:m1:payable", "bank:main"


async def write(database: Database, tenant_id: int, *postings: Posting) -> list[Posted]:
    async with database.unit_of_work(tenant_id) as tx:
        return await post(tx, tenant_id, postings)


async def totals(database: Database, tenant_id: int, path: str) -> tuple[int, int, int, int]:
    """Debits and credits posted, debits and credits pending."""
    async with database.unit_of_work(tenant_id) as tx:
        row = await tx.fetchrow(
            "SELECT b.debits_posted, b.credits_posted, b.debits_pending, b.credits_pending"
            "  FROM account_balance AS b JOIN account AS a ON a.id = b.account_id"
            " WHERE a.path = $1",
            path,
        )
    return tuple(row) if row else (0, 0, 0, 0)


def a_hold(amount: int = 100) -> tuple[OpenHold, Posting]:
    hold = OpenHold(new_id(), amount, "authorization")
    legs = pending(debit(CLEARING, amount)), pending(credit(PAYABLE, amount))
    return hold, a_posting(*legs, opens=hold)


def a_settlement(hold: OpenHold, captured: int, released: int = 0) -> Posting:
    legs = [
        pending(debit(PAYABLE, captured + released)),
        pending(credit(CLEARING, captured + released)),
    ]
    if captured:
        legs += [debit(CLEARING, captured), credit(PAYABLE, captured)]
    return a_posting(*legs, settles=SettleHold(hold.hold_id, captured, released))
