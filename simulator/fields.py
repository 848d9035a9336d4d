"""Reading what callers send: strict JSON objects, every field typed and bounded."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson

from core.currencies import EXPONENTS
from simulator.problems import Refused, invalid

AMOUNT_MAX: Final = 999_999_999_999
BODY_BYTES_MAX: Final = 64 * 1024
_TEXT_MAX: Final = 255
_URL_MAX: Final = 2048
_METADATA_MAX: Final = 50
_METADATA_VALUE_MAX: Final = 500


def json_object(body: bytes) -> Mapping[str, object]:
    """The body as a JSON object. Raises: Refused 400."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "body_invalid", "the body is not well-formed JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "body_invalid", "the body is not a JSON object")
    return value


class Fields:
    """One object's fields, read once each; `done` refuses what nobody asked for."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self._read: set[str] = set()

    def _take(self, name: str) -> object:
        self._read.add(name)
        return self._values.get(name)

    def has(self, name: str) -> bool:
        """Whether the field was given and is not null."""
        self._read.add(name)
        return self._values.get(name) is not None

    def done(self) -> None:
        """Raises: Refused 400 naming a field nobody knows."""
        for name in self._values:
            if name not in self._read:
                raise Refused(400, "parameter_unknown", "unknown field", parameter=name[:80])

    def integer(self, name: str, minimum: int, maximum: int, default: int | None = None) -> int:
        """A whole number: true, 1.0 and "1" are none."""
        value = self._take(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(name, "must be a whole number")
        if not minimum <= value <= maximum:
            raise invalid(name, f"must be between {minimum} and {maximum}")
        return value

    def amount(self, name: str = "amount") -> int:
        """A positive amount in minor units."""
        return self.integer(name, 1, AMOUNT_MAX)

    def amount_or_none(self, name: str = "amount") -> int | None:
        """The same, or None when left out."""
        return self.amount(name) if self.has(name) else None

    def number(self, name: str, minimum: float, maximum: float, default: float) -> float:
        """A finite number."""
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(name, "must be a number")
        if not minimum <= value <= maximum:
            raise invalid(name, f"must be between {minimum} and {maximum}")
        return float(value)

    def boolean(self, name: str, default: bool) -> bool:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(name, "must be true or false")
        return value

    def text(self, name: str, maximum: int = _TEXT_MAX) -> str:
        """1 to `maximum` printable characters."""
        value = self.text_or_none(name, maximum)
        if value is None:
            raise invalid(name, "is required")
        return value

    def text_or_none(self, name: str, maximum: int = _TEXT_MAX) -> str | None:
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value or len(value) > maximum:
            raise invalid(name, f"must be a text of 1 to {maximum} characters")
        if not value.isprintable():
            raise invalid(name, "must be printable")
        return value

    def currency(self, name: str = "currency") -> str:
        """An ISO 4217 code in upper case."""
        value = self.text(name, 3)
        if value not in EXPONENTS:
            raise Refused(400, "currency_unknown", "not an ISO 4217 code", parameter=name)
        return value

    def currency_or_none(self, name: str = "currency") -> str | None:
        return self.currency(name) if self.has(name) else None

    def url_or_none(self, name: str) -> str | None:
        """An absolute http or https URL."""
        value = self.text_or_none(name, _URL_MAX)
        if value is not None and not _is_url(value):
            raise invalid(name, "must be an absolute http or https URL")
        return value

    def metadata(self, name: str = "metadata") -> Mapping[str, str]:
        """At most 50 short texts by short names."""
        value = self._take(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or len(value) > _METADATA_MAX:
            raise invalid(name, f"must be an object of at most {_METADATA_MAX} texts")
        for key, text in value.items():
            short = isinstance(text, str) and len(text) <= _METADATA_VALUE_MAX
            if not short or len(key) > _TEXT_MAX:
                raise invalid(name, f"values are texts of at most {_METADATA_VALUE_MAX} characters")
        return value

    def object_or_none(self, name: str) -> "Fields | None":
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid(name, "must be an object")
        return Fields(value)

    def array_or_none(self, name: str, maximum: int) -> list[object] | None:
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > maximum:
            raise invalid(name, f"must be an array of at most {maximum}")
        return value


def _is_url(value: str) -> bool:
    """Only what can stand in a header and in a Content-Security-Policy unharmed."""
    if not value.isascii() or any(character in value for character in " \"'<>\\^`{|};,"):
        return False
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and "@" not in parts.netloc
