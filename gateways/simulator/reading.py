"""Reading JSON from the provider: what is not as expected is Unparseable, never a guess."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import orjson

from core.errors import Rejected
from core.money import Money
from gateways.port import Unparseable

Document = Mapping[str, Any]
"""A JSON object. Every reader below raises Unparseable."""


def parse(body: bytes) -> Document:
    """The body as a JSON object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unparseable("not JSON") from error
    return value if isinstance(value, dict) else _unparseable("not an object")


def moment(document: Document, name: str) -> datetime:
    """An instant in UTC, of this age: at the ends of the calendar it could not be read again."""
    try:
        instant = datetime.fromisoformat(text(document, name))
        if instant.tzinfo is None:
            raise Unparseable(f"{name} has no zone")
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unparseable(f"{name} is no time") from error
    return instant if 1970 <= instant.year < 2200 else _unparseable(f"{name} is no time")


def money(document: Document, name: str) -> Money:
    """Minor units under `name` with the document's currency."""
    units = document.get(name)
    if isinstance(units, bool) or not isinstance(units, int) or units < 0:
        raise Unparseable(f"{name} is no amount")
    try:
        return Money(units, text(document, "currency"))
    except Rejected as error:
        raise Unparseable(f"{name} is no amount") from error


def text(document: Document, name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) and value else _unparseable(f"{name} is missing")


def optional_text(document: Document, name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def flag(document: Document, name: str) -> bool:
    value = document.get(name)
    return value if isinstance(value, bool) else _unparseable(f"{name} is missing")


def integer(document: Document, name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unparseable(f"{name} is no number")
    return value


def child(document: Document, name: str) -> Document:
    value = document.get(name)
    return value if isinstance(value, dict) else _unparseable(f"{name} is missing")


def _unparseable(reason: str) -> NoReturn:
    raise Unparseable(reason)
