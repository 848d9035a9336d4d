"""Takes Stripe's JSON apart: a member that is missing or of another type is not guessed."""

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from core.money import Money
from gateways.port import Unparseable
from gateways.stripe.money import from_stripe

Json = Mapping[str, object]


def parse(body: bytes) -> Json:
    """The JSON object in a body. Raises: Unparseable."""
    try:
        return _object(orjson.loads(body), "body")
    except orjson.JSONDecodeError as error:
        raise Unparseable("no JSON") from error


def text(source: Json, name: str) -> str:
    """A string member that must be there, not empty. Raises: Unparseable."""
    value = source.get(name)
    if not isinstance(value, str) or not value or len(value) > 5000:
        raise Unparseable(f"{name} is no text")
    return value


def text_or_none(source: Json, name: str) -> str | None:
    """A string member that may be missing or null. Raises: Unparseable."""
    return None if source.get(name) is None else text(source, name)


def integer(source: Json, name: str) -> int:
    """An integer member. Raises: Unparseable."""
    value = source.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unparseable(f"{name} is no integer")
    return value


def member(source: Json, name: str) -> Json:
    """An object member; missing or null is empty. Raises: Unparseable."""
    value = source.get(name)
    return {} if value is None else _object(value, name)


def listed(source: Json) -> tuple[list[Json], bool]:
    """The objects of a list, and whether it is complete. Raises: Unparseable."""
    entries, more = source.get("data"), source.get("has_more")
    if not isinstance(entries, list) or not isinstance(more, bool):
        raise Unparseable("no list")
    return [_object(entry, "entry") for entry in entries], not more


def money(source: Json, name: str) -> Money:
    """An amount member with the object's currency. Raises: Unparseable."""
    return from_stripe(integer(source, name), text(source, "currency"))


def instant(source: Json, name: str) -> datetime:
    """A member in Unix seconds. Raises: Unparseable."""
    seconds = integer(source, name)
    if not 0 <= seconds < 2**33:
        raise Unparseable(f"{name} is no time")
    return datetime.fromtimestamp(seconds, UTC)


def reference(source: Json, name: str) -> str | None:
    """The id behind a member that is an id or, expanded, the object itself. Raises: Unparseable."""
    value = source.get(name)
    if isinstance(value, Mapping):
        return text(value, "id")
    return text_or_none(source, name)


def _object(value: object, name: str) -> Json:
    if not isinstance(value, dict):
        raise Unparseable(f"{name} is no object")
    return value
