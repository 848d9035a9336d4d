"""Pages by key: a cursor says after which row to go on, so that pages stay right as rows come in.

A cursor is opaque to callers: the name of the order and the values of its columns, in base64url.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Select, tuple_

from core.errors import Rejected
from core.money import MINOR_UNITS_MAX
from resolvers.context import Context
from resolvers.reading import fetch

PAGE_SIZE_DEFAULT: Final = 20
PAGE_SIZE_MAX: Final = 100
ENTRIES_PAGE_SIZE_MAX: Final = 500
_CURSOR_LENGTH_MAX: Final = 500

Node = TypeVar("Node")


class BadPageSize(Rejected):
    """The page size is out of range, or both directions were asked for at once."""

    code = "BAD_PAGE_SIZE"


class BadCursor(Rejected):
    """The cursor is not one of this list."""

    code = "BAD_CURSOR"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: `size` rows after the cursor, or before it when `backward`."""

    size: int
    cursor: str | None = None
    backward: bool = False

    @classmethod
    def forward(
        cls, first: int | None, after: str | None, maximum: int = PAGE_SIZE_MAX
    ) -> "PageRequest":
        """Raises: BadPageSize."""
        return cls(_size(first, maximum), after or None)

    @classmethod
    def either(
        cls, first: int | None, after: str | None, last: int | None, before: str | None
    ) -> "PageRequest":
        """Backward if `last` or `before` is given, else forward. Raises: BadPageSize."""
        if last is None and before is None:
            return cls.forward(first, after)
        if after is not None:
            raise BadPageSize(after=after[:20], last=last)
        return cls(_size(last, PAGE_SIZE_MAX), before or None, backward=True)


def _size(asked: int | None, maximum: int) -> int:
    size = PAGE_SIZE_DEFAULT if asked is None else asked
    if not 0 <= size <= maximum:
        raise BadPageSize(asked=size, maximum=maximum)
    return size


@dataclass(frozen=True, slots=True)
class Order:
    """A total order of a list: columns that together are unique, all in one direction.

    `name` goes into the cursor, so that the cursor of one list is refused by another.
    """

    name: str
    columns: tuple[ColumnElement[Any], ...]
    kinds: tuple[type, ...]
    descending: bool = True

    def cursor_of(self, row: Any) -> str:
        """The cursor of a row that was selected with the columns of this order."""
        values = [row[str(column.key)] for column in self.columns]
        packed = orjson.dumps([self.name, *map(_written, values)])
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def position(self, cursor: str) -> tuple[Any, ...]:
        """The values a cursor holds. Raises: BadCursor."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            name, *values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            found = [_read(kind, value) for kind, value in zip(self.kinds, values, strict=True)]
        except (ValueError, TypeError, OverflowError, binascii.Error):
            raise BadCursor from None
        if len(cursor) > _CURSOR_LENGTH_MAX or name != self.name:
            raise BadCursor
        return tuple(found)

    def apply(self, statement: Select[Any], request: PageRequest) -> Select[Any]:
        """The statement for one page and one row more, which tells whether there is another."""
        downward = self.descending != request.backward
        if request.cursor is not None:
            types = [column.type for column in self.columns]
            here = tuple_(*self.columns)
            there = tuple_(*self.position(request.cursor), types=types)
            statement = statement.where(here < there if downward else here > there)
        ordered = [column.desc() if downward else column.asc() for column in self.columns]
        return statement.order_by(*ordered).limit(request.size + 1)


def _written(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value


def _read(kind: type, value: object) -> object:
    if kind is datetime and isinstance(value, str):
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError(value)
        return instant.astimezone(UTC)
    if kind is UUID and isinstance(value, str):
        return UUID(value)
    if kind is int and type(value) is int and abs(value) <= MINOR_UNITS_MAX:
        return value
    if kind is str and isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError(value)


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True, slots=True)
class Edge(Generic[Node]):
    """A row of a page and its cursor."""

    node: Node
    cursor: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Node]):
    """A page of a list. Edges and cursors are made only when they are asked for."""

    nodes: Sequence[Node]
    rows: Sequence[Any]
    order: Order
    has_more: bool
    request: PageRequest
    count: Callable[[], Awaitable[int | None]] | None = None

    @property
    def edges(self) -> list[Edge[Node]]:
        return [
            Edge(node, self.order.cursor_of(row))
            for node, row in zip(self.nodes, self.rows, strict=True)
        ]

    @property
    def page_info(self) -> PageInfo:
        cursors = [self.order.cursor_of(row) for row in (*self.rows[:1], *self.rows[-1:])]
        from_cursor = self.request.cursor is not None
        return PageInfo(
            has_next_page=from_cursor if self.request.backward else self.has_more,
            has_previous_page=self.has_more if self.request.backward else from_cursor,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )


async def fetch_page(
    context: Context,
    statement: Select[Any],
    order: Order,
    request: PageRequest,
    view: Callable[[Any], Node],
    *,
    count: Callable[[], Awaitable[int | None]] | None = None,
) -> Page[Node]:
    """One page of what the statement selects. Raises: BadCursor."""
    found = await fetch(context, order.apply(statement, request))
    rows = list(found[: request.size])
    if request.backward:
        rows.reverse()
    has_more = len(found) > request.size
    return Page([view(row) for row in rows], rows, order, has_more, request, count)
