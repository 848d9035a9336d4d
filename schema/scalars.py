"""The scalars clients send and see: strict when read, plain when written.

Each scalar's Python type is what resolvers get. Give `SCALARS` to `StrawberryConfig.scalar_map`.
A value of the wrong shape is refused with a message that says what would be right; a value that
merely breaks a rule of money (an unknown currency, too many digits) is left to the domain, which
answers with a typed error.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NewType
from urllib.parse import urlsplit

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

MinorUnits = NewType("MinorUnits", int)
BigInt = NewType("BigInt", int)
DecimalText = NewType("DecimalText", str)
CurrencyCode = NewType("CurrencyCode", str)
IdempotencyKey = NewType("IdempotencyKey", str)
Url = NewType("Url", str)

_INT64_MAX: Final = 2**63 - 1
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_PLAIN_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{8,255}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_LONGER_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_URL_LENGTH_MAX: Final = 2048


def _refuse(scalar: str, value: object, rule: str) -> GraphQLError:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return GraphQLError(
        f"{scalar} cannot be {shown}: {rule}.", extensions={"code": "BAD_USER_INPUT"}
    )


def _parse_int64(scalar: str) -> Callable[[object], int]:
    rule = 'give a whole number within 64 bits, as a string ("1230") or an integer'

    def parse(value: object) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            raise _refuse(scalar, value, rule)
        if not -_INT64_MAX <= number <= _INT64_MAX:
            raise _refuse(scalar, value, rule)
        return number

    return parse


def _write_int64(value: object) -> str:
    assert isinstance(value, int), value
    assert not isinstance(value, bool)
    assert -_INT64_MAX - 1 <= value <= _INT64_MAX
    return str(value)


def _parse_matching(scalar: str, pattern: re.Pattern[str], rule: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _refuse(scalar, value, rule)
        return value

    return parse


def _parse_instant(value: object) -> datetime:
    """An aware instant in UTC; digits past the microsecond are cut off.

    Source: RFC 3339 section 5.6 (a leap second, :60, is read as the next second).
    """
    rule = "give an RFC 3339 instant with a zone, such as 2026-03-01T10:00:00Z"
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise _refuse("DateTime", value, rule)
    text = _LONGER_FRACTION.sub(r"\1", value.upper())
    leap = text[17:19] == "60"
    if leap:
        text = text[:17] + "59" + text[19:]
    try:
        return datetime.fromisoformat(text).astimezone(UTC) + timedelta(seconds=int(leap))
    except (ValueError, OverflowError):
        raise _refuse("DateTime", value, rule) from None


def _write_instant(value: datetime) -> str:
    assert value.tzinfo is not None, "instants are aware"
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_date(value: object) -> date:
    rule = "give a calendar date such as 2026-03-01"
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _refuse("Date", value, rule)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _refuse("Date", value, rule) from None


def _parse_url(value: object) -> str:
    rule = "give an absolute http or https URL of at most 2048 visible ASCII characters"
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise _refuse("Url", value, rule)
    try:
        parts = urlsplit(value)
        well_formed = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise _refuse("Url", value, rule) from None
    if parts.scheme not in {"http", "https"} or not well_formed or len(value) > _URL_LENGTH_MAX:
        raise _refuse("Url", value, rule)
    return value


def _unchanged(value: Any) -> Any:
    return value


def _text(name: str, description: str, pattern: re.Pattern[str], rule: str) -> ScalarDefinition:
    return strawberry.scalar(
        name=name,
        description=description,
        serialize=str,
        parse_value=_parse_matching(name, pattern, rule),
    )


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    MinorUnits: strawberry.scalar(
        name="MinorUnits",
        description=(
            "A 64-bit count of minor units (cents), written as a string because JSON numbers lose"
            " precision above 2^53. A string or an integer is accepted; floats, booleans, 1e3 and"
            " 1_000 are refused."
        ),
        serialize=_write_int64,
        parse_value=_parse_int64("MinorUnits"),
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A 64-bit whole number (a sequence or a version), written as a string.",
        serialize=_write_int64,
        parse_value=_parse_int64("BigInt"),
    ),
    DecimalText: _text(
        "Decimal",
        'A plain decimal in a string, such as "12.30". Never a float, no exponent, no grouping.',
        _PLAIN_DECIMAL,
        'give a plain decimal in a string, such as "12.30"',
    ),
    CurrencyCode: _text(
        "CurrencyCode",
        "An ISO 4217 alphabetic code in upper case, such as EUR.",
        _CURRENCY,
        "give three upper-case letters, such as EUR",
    ),
    IdempotencyKey: _text(
        "IdempotencyKey",
        "8 to 255 visible ASCII characters. Make a UUID before the first try and send the same one"
        " with every retry.",
        _IDEMPOTENCY_KEY,
        "give 8 to 255 visible ASCII characters",
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant, RFC 3339, written in UTC: 2026-03-01T10:00:00.123Z.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_write_instant,
        parse_value=_parse_instant,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date: 2026-03-01.",
        serialize=date.isoformat,
        parse_value=_parse_date,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        serialize=_unchanged,
        parse_value=_unchanged,
    ),
    Url: strawberry.scalar(
        name="Url",
        description="An absolute http or https URL.",
        serialize=str,
        parse_value=_parse_url,
    ),
}
"""What each Python type is on the wire."""
