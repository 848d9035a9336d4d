"""How a view is made of a row: each attribute says which column it shows, and as what.

A view holds its row and nothing else; an attribute nobody selects costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from core.identifiers import encode
from core.money import Money

Shown = TypeVar("Shown")


class View:
    """Something the API shows, made from one row (anything with the columns as items)."""

    __slots__ = ("row",)

    def __init__(self, row: Any) -> None:
        self.row = row

    @property
    def uuid(self) -> UUID:
        """The bare id, for loaders."""
        found: UUID = self.row["id"]
        return found


class Part:
    """A joined row: its columns have a prefix in the row they are part of."""

    __slots__ = ("_prefix", "_whole")

    def __init__(self, whole: Any, prefix: str) -> None:
        self._whole = whole
        self._prefix = prefix

    def __getitem__(self, name: str) -> Any:
        return self._whole[self._prefix + name]


class Attribute(Generic[Shown]):
    """An attribute of a view, computed from the row each time it is read."""

    __slots__ = ("_compute",)

    def __init__(self, compute: Callable[[Any], Shown]) -> None:
        self._compute = compute

    @overload
    def __get__(self, view: None, owner: type[View]) -> "Attribute[Shown]": ...
    @overload
    def __get__(self, view: View, owner: type[View]) -> Shown: ...
    def __get__(self, view: View | None, owner: type[View]) -> "Attribute[Shown] | Shown":
        return self if view is None else self._compute(view.row)


def column(name: str) -> Attribute[Any]:
    """The column as it is."""
    return Attribute(itemgetter(name))


def public_id(prefix: str, name: str = "id") -> Attribute[str]:
    """The column's uuid with the prefix of its kind."""
    return Attribute(lambda row: encode(prefix, row[name]))


def money(*columns: str) -> Attribute[Money]:
    """The sum of the columns, in the row's currency."""
    return Attribute(lambda row: Money(sum(row[name] for name in columns), row["currency"]))


def optional_money(name: str) -> Attribute[Money | None]:
    """The column in the row's currency; None when either is."""

    def compute(row: Any) -> Money | None:
        amount = row[name]
        return None if amount is None or row["currency"] is None else Money(amount, row["currency"])

    return Attribute(compute)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One member of a flat JSON object."""

    key: str
    value: str


def pairs(name: str) -> Attribute[list[KeyValue]]:
    """The members of a flat JSON column, by key."""
    return Attribute(lambda row: key_values(row[name]))


def key_values(members: Mapping[str, object] | None) -> list[KeyValue]:
    """The members of a flat object, by key."""
    return [KeyValue(key, str(value)) for key, value in sorted((members or {}).items())]
