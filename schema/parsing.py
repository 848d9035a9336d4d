"""From inputs to commands: the one place where what clients sent is judged, field by field.

Every problem is collected with the path of its field; a command exists only when there is none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus
from uuid import UUID

from core.card_numbers import contains_card_number
from core.errors import Rejected
from core.identifiers import MalformedId, decode
from core.money import MINOR_UNITS_MAX, BadAmount, Money, UnknownCurrency, exponent_of
from payments.errors import FieldProblem, ValidationFailed
from schema.base import present
from schema.inputs import MetadataInput, MoneyInput

METADATA_ENTRIES_MAX: Final = 50
METADATA_KEY_MAX: Final = 40
METADATA_VALUE_MAX: Final = 500
VERSION_MAX: Final = 2**31 - 1
ARGUMENT_MAX: Final = 255
URL_MAX: Final = 2048

Path = tuple[str, ...]
INPUT: Final[Path] = ("input",)


class Reader:
    """Reads one input. `finish` raises what was found wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[FieldProblem] = []

    def finish(self) -> None:
        """Raises: ValidationFailed."""
        if self.problems:
            raise ValidationFailed(*self.problems)

    def refuse(self, path: Path, code: str, message: str) -> None:
        """Remember what is wrong with one field."""
        self.problems.append(FieldProblem(path, code, message))

    def refuse_as(self, path: Path, error: Rejected) -> None:
        """Remember an error of the domain as a problem of one field."""
        self.refuse(path, error.code, error.message)

    def text(
        self, path: Path, value: str | None, length_max: int, *, length_min: int = 1
    ) -> str | None:
        """A string within bounds that can be stored and holds no card number."""
        text: str | None = present(value)
        if text is None:
            return None
        if contains_card_number(text):
            self._refuse_card_number(path)
        elif not length_min <= len(text) <= length_max:
            self.refuse(path, "BAD_LENGTH", f"Give from {length_min} to {length_max} characters.")
        elif not _is_storable(text):
            self.refuse(path, "BAD_TEXT", "NUL and unpaired surrogates are not accepted.")
        return text

    def url(self, path: Path, value: str | None) -> str | None:
        """An address; a card number is one also where its spaces are written as %20 or +."""
        written: str | None = present(value)
        if written is not None and contains_card_number(unquote_plus(written)):
            self._refuse_card_number(path)
            return None
        return self.text(path, written, URL_MAX)

    def _refuse_card_number(self, path: Path) -> None:
        self.refuse(path, "CARD_NUMBER", "Card numbers are not accepted; send a token.")

    def required_text(self, path: Path, value: str, length_max: int) -> str:
        """A string that must be there."""
        return self.text(path, value, length_max) or ""

    def id(self, path: Path, prefix: str, value: str | None) -> UUID | None:
        """The bare id behind a public one of the expected kind."""
        text = present(value)
        if text is None:
            return None
        try:
            return decode(prefix, text)
        except MalformedId as error:
            self.refuse_as(path, error)
            return None

    def required_id(self, path: Path, prefix: str, value: str) -> UUID:
        """An id that must be there. Meaningless, and never used, when there are problems."""
        return self.id(path, prefix, value) or UUID(int=0)

    def ids(self, path: Path, prefix: str, values: Sequence[str] | None) -> frozenset[UUID]:
        """Several ids."""
        found = [
            self.id((*path, str(index)), prefix, value)
            for index, value in enumerate(present(values) or ())
        ]
        return frozenset(each for each in found if each is not None)

    def money(self, path: Path, value: MoneyInput | None) -> Money | None:
        """An amount above zero, from exactly one of its two forms."""
        amount = present(value)
        if amount is None:
            return None
        minor, decimal = present(amount.amount_minor), present(amount.decimal)
        if (minor is None) == (decimal is None):
            self.refuse(path, "ONE_OF", "Give exactly one of amountMinor and decimal.")
            return None
        at = (*path, "decimal" if minor is None else "amountMinor")
        try:
            money = (
                Money.parse(decimal, amount.currency)
                if minor is None
                else Money(minor, amount.currency)
            )
        except UnknownCurrency as error:
            self.refuse_as((*path, "currency"), error)
            return None
        except BadAmount as error:
            self.refuse_as(at, error)
            return None
        if not 0 < money.minor_units <= MINOR_UNITS_MAX:
            self.refuse(at, "NOT_POSITIVE", "The amount must be above zero.")
            return None
        return money

    def required_money(self, path: Path, value: MoneyInput) -> Money:
        """An amount that must be there. Meaningless, and never used, when there are problems."""
        return self.money(path, value) or Money(1, "USD")

    def currency(self, path: Path, value: str) -> str:
        """A currency that is booked here."""
        try:
            exponent_of(value)
        except UnknownCurrency as error:
            self.refuse_as(path, error)
        return value

    def metadata(self, path: Path, entries: Sequence[MetadataInput] | None) -> dict[str, str]:
        """Keys and values of the caller's own, each key once."""
        given = present(entries) or ()
        if len(given) > METADATA_ENTRIES_MAX:
            self.refuse(path, "TOO_MANY", f"Give at most {METADATA_ENTRIES_MAX} entries.")
            return {}
        found: dict[str, str] = {}
        for index, entry in enumerate(given):
            at = (*path, str(index))
            key = self.required_text((*at, "key"), entry.key, METADATA_KEY_MAX)
            value = self.text((*at, "value"), entry.value, METADATA_VALUE_MAX, length_min=0)
            if key in found:
                self.refuse((*at, "key"), "DUPLICATE_KEY", "Give each key once.")
            found[key] = value or ""
        return found

    def version(self, path: Path, value: int | None) -> int | None:
        """A version of a resource."""
        version: int | None = present(value)
        if version is not None and not 1 <= version <= VERSION_MAX:
            self.refuse(path, "BAD_VERSION", "Versions begin at 1.")
        return version


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def canonical_money(money: Money | None) -> Mapping[str, str] | None:
    """An amount in the canonical input: both forms of one amount are one input."""
    if money is None:
        return None
    return {"amountMinor": str(money.minor_units), "currency": money.currency}


def canonical_ids(prefix: str, ids: Iterable[UUID]) -> list[str]:
    """Ids in the canonical input, sorted."""
    return sorted(f"{prefix}:{id}" for id in ids)


def checked_text(path: Path, value: str | None) -> Any:
    """A string argument of a query. Raises: ValidationFailed."""
    reader = Reader()
    text = reader.text(path, value, ARGUMENT_MAX)
    reader.finish()
    return text
