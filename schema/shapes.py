"""Shapes that everything else is made of: nodes, money, pages, metadata."""

from typing import Annotated, Any, Final, Generic, TypeVar

import strawberry

from resolvers.money import formatted
from schema.base import method, shown
from schema.scalars import CurrencyCode, DecimalText, MinorUnits

DEFAULT_LOCALE: Final = "en-US"
Node_ = TypeVar("Node_")

Locale = Annotated[
    str | None,
    strawberry.argument(description="A BCP 47 tag such as de-CH, which decides the spelling."),
]


@strawberry.interface(
    description="Anything with an id: a prefix that says what it is, and a sortable UUIDv7."
)
class Node:
    id: strawberry.ID = shown("The id.")


@strawberry.type(description="An amount of one currency.")
class Money:
    minor_units: MinorUnits = shown("In minor units (cents).", name="amountMinor")
    currency: CurrencyCode = shown("ISO 4217 code.")
    exponent: int = shown("Decimal digits of the currency: USD 2, JPY 0, KWD 3.")
    decimal: DecimalText = shown('The amount as a plain decimal: "12.30".')

    @method("For display, by the rules of CLDR.", str)
    @staticmethod
    def formatted(root: strawberry.Parent[Any], locale: Locale = DEFAULT_LOCALE) -> str:
        return formatted(root, locale or DEFAULT_LOCALE)


@strawberry.type(description="A key and a value of your own.")
class MetadataEntry:
    key: str = shown("At most 40 characters.")
    value: str = shown("At most 500 characters.")


@strawberry.type(description="A name and a value.")
class KeyValue:
    key: str = shown("The name.")
    value: str = shown("The value.")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = shown("Whether more comes after this page.")
    has_previous_page: bool = shown("Whether something comes before this page.")
    start_cursor: str | None = shown("Cursor of the first row; give it as `before`.")
    end_cursor: str | None = shown("Cursor of the last row; give it as `after`.")


@strawberry.type(description="A row of a page.")
class Edge(Generic[Node_]):
    node: Node_ = shown("The row.")
    cursor: str = shown("Where the row stands in the list.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[Node_]):
    edges: list[Edge[Node_]] = shown("The rows with their cursors.")
    nodes: list[Node_] = shown("The rows.")
    page_info: PageInfo = shown("Where the page stands in the list.")
