"""Builders of postings for the tests of the ledger."""

import itertools
from datetime import UTC, datetime
from typing import Any

from ledger import AccountRef, Direction, Layer, Leg, Posting

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
