"""Reading plainly is only quicker: answer and errors are those of graphql-core, to the letter."""

import dataclasses
from enum import Enum
from typing import Any

import strawberry
from graphql import ExecutionResult, Executor, execute, parse, validate
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.endpoint.plain import PlainExecutor


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Price:
    amount: int
    currency: str | None


@strawberry.type
class Shelf(Named):
    colour: Colour | None
    prices: list[Price]
    maybe: list[Price | None] | None
    price: Price
    other: "Shelf | None"

    @classmethod
    def is_type_of(cls, value: object, _info: object) -> bool:
        return getattr(value, "is_shelf", True) is True

    @strawberry.field
    def loud(self: Any, suffix: str = "!") -> str:
        return f"{self.name}{suffix}"


@strawberry.type
class Query:
    shelf: Shelf | None
    shelves: list[Shelf]
    named: Named | None


SCHEMA = strawberry.Schema(Query, types=[Shelf])


@dataclasses.dataclass
class Value:
    """Stands for any type; what is missing raises."""

    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            found = self.fields[name]
        except KeyError:
            raise AttributeError(name) from None
        return found.fail() if isinstance(found, Raises) else found


@dataclasses.dataclass(frozen=True)
class Raises:
    """An attribute that fails when it is read."""

    text: str

    def fail(self) -> None:
        raise ValueError(self.text)


WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, "text", 3, 2**40, float("nan"), object, [], Raises("broken")]
)


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What belongs there; now and then something that does not."""
    return st.integers(0, 11).flatmap(lambda roll: WRONG if roll == 0 else right)


PRICES = st.fixed_dictionaries(
    {"amount": mostly(st.integers(-9, 9)), "currency": mostly(st.sampled_from(["EUR", None]))}
).map(Value)


def shelves(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "name": mostly(st.sampled_from(["a", "b"])),
            "colour": mostly(st.sampled_from([*Colour, None])),
            "prices": mostly(st.lists(mostly(PRICES), max_size=3)),
            "maybe": mostly(st.lists(mostly(PRICES), max_size=2)),
            "price": mostly(PRICES),
            "other": inner,
            "is_shelf": mostly(st.just(True)),
        }
    ).map(Value)


SHELVES = st.recursive(st.none(), shelves, max_leaves=3).flatmap(
    lambda inner: shelves(st.just(inner))
)
ROOTS = st.fixed_dictionaries(
    {"shelf": mostly(SHELVES), "shelves": mostly(st.lists(SHELVES, max_size=3)), "named": SHELVES}
).map(Value)

PRICE_PARTS = [
    "amount",
    "currency",
    "a: amount",
    "__typename",
    "... on Price { amount c: currency }",
]
SHELF_PARTS = [
    "name",
    "n: name",
    "colour",
    "loud",
    'loudly: loud(suffix: "?")',
    "__typename",
    "... Parts",
    "... on Named { name }",
    "name @include(if: $yes)",
    "colour @skip(if: $yes)",
]


def selection(parts: list[str]) -> st.SearchStrategy[str]:
    chosen = st.lists(st.sampled_from(parts), min_size=1, max_size=4, unique=True)
    return chosen.map(" ".join)


@st.composite
def shelf_selection(draw: st.DrawFn, depth: int = 2) -> str:
    parts = [draw(selection(SHELF_PARTS))]
    prices = draw(st.lists(st.sampled_from(["prices", "maybe", "price"]), unique=True))
    parts += [f"{field} {{ {draw(selection(PRICE_PARTS))} }}" for field in prices]
    if depth and draw(st.booleans()):
        parts.append(f"other {{ {draw(shelf_selection(depth - 1))} }}")
    return " ".join(parts)


@st.composite
def documents(draw: st.DrawFn) -> str:
    shelf = draw(shelf_selection())
    return f"""query Q($yes: Boolean!) {{
      shelf {{ {shelf} }} shelves {{ {draw(shelf_selection())} }}
      named {{ name __typename ... on Shelf {{ {draw(shelf_selection())} }} }}
      again: shelf {{ ... Parts }} always: __typename @include(if: $yes) }}
    fragment Parts on Shelf {{ colour price {{ amount }} }}"""


def answer(
    document: str, root: object, yes: bool, executor: type[Executor[Any]]
) -> tuple[Any, list[Any]]:
    parsed = parse(document)
    graphql_schema = SCHEMA._schema
    assert validate(graphql_schema, parsed) == []
    result = execute(
        graphql_schema, parsed, root, variable_values={"yes": yes}, executor_class=executor
    )
    assert isinstance(result, ExecutionResult)
    return result.data, [error.formatted for error in result.errors or ()]


@settings(max_examples=60, deadline=None)
@given(documents(), ROOTS, st.booleans())
def test_the_answer_and_the_errors_are_those_of_graphql_core(
    document: str, root: object, yes: bool
) -> None:
    expected = answer(document, root, yes, Executor)

    assert answer(document, root, yes, PlainExecutor) == expected


def test_the_keys_of_an_answer_stand_in_the_order_they_were_asked() -> None:
    price = Value({"amount": 1, "currency": None})
    root = Value({"shelf": Value({"name": "a", "price": price}), "shelves": [], "named": None})
    document = """query Q($yes: Boolean = true) { always: __typename @include(if: $yes)
      shelf { price { currency amount } n: name } shelves { name } }"""

    data, _ = answer(document, root, True, PlainExecutor)

    assert list(data["shelf"]) == ["price", "n"]
    assert list(data["shelf"]["price"]) == ["currency", "amount"]
