"""How a type says what it shows: fields with a description each, and edges to other types.

A field is a plain attribute of the value behind the type (resolvers/views); an edge names the
function of resolvers/ that fetches what is behind it.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import strawberry
from strawberry import UNSET

from resolvers.context import Context
from resolvers.paging import PAGE_SIZE_MAX, PageRequest
from schema.directives import Cost, Public, Requires, Scope

Method = TypeVar("Method")
Info: TypeAlias = "strawberry.Info[Context, None]"
Resolve: TypeAlias = Callable[[Context, Any], Awaitable[Any]]
ResolvePage: TypeAlias = Callable[[Context, Any, PageRequest], Awaitable[Any]]

First = Annotated[int | None, strawberry.argument(description="How many; at most 100.")]
FirstEntries = Annotated[int | None, strawberry.argument(description="How many; at most 500.")]
After = Annotated[
    str | None, strawberry.argument(description="Cursor: what comes after it is returned.")
]

ENTRIES_MAX: Final = 500
"""Largest page of entries; of everything else it is PAGE_SIZE_MAX."""


def present(value: Any) -> Any:
    """The value; None when it was left out: arguments and inputs do not tell the two apart."""
    return None if value is UNSET else value


def requires(scope: Scope) -> Requires:
    """The field needs this scope."""
    return Requires(scope=scope)


def public(reason: str) -> Public:
    """The root field needs no scope."""
    return Public(reason=reason)


def cost(weight: int, per: str | None = None, maximum: int | None = None) -> Cost:
    """What the field counts towards the limit of a request."""
    if per is None:
        return Cost(weight=weight)
    if maximum is None:
        return Cost(weight=weight, per=per)
    return Cost(weight=weight, per=per, max=maximum)


def shown(description: str, *directives: object, name: str | None = None) -> Any:
    """A field that is an attribute of the same name (in Python's spelling) of what is shown."""
    return strawberry.field(description=description, directives=directives, name=name)


def given(description: str, default: object = UNSET, **named: Any) -> Any:
    """A field of an input that may be left out."""
    return strawberry.field(description=description, default=default, **named)


def method(description: str, to: object, *directives: object) -> Callable[[Method], Method]:
    """A field with arguments: decorates a static method that fetches what is of type `to`."""
    made: Callable[[Method], Method] = strawberry.field(
        description=description, graphql_type=to, directives=directives
    )
    return made


def stream(description: str, to: object, *directives: object) -> Callable[[Method], Method]:
    """A field that goes on: decorates a static method that opens a stream of type `to`."""
    made: Callable[[Method], Method] = strawberry.subscription(
        description=description, graphql_type=to, directives=directives
    )
    return made


def edge(resolve: Resolve, to: object, description: str, *directives: object) -> Any:
    """A field that is fetched."""

    async def fetch(root: Any, info: Info) -> Any:
        return await resolve(info.context, root)

    return strawberry.field(
        resolver=fetch, graphql_type=to, description=description, directives=directives
    )


def pages(
    resolve: ResolvePage, to: object, description: str, *directives: object, size: int = 20
) -> Any:
    """A field that is fetched by the page; `size` is the page when the caller does not say."""

    async def fetch(root: Any, info: Info, first: First = size, after: After = UNSET) -> Any:
        return await resolve(info.context, root, page(first, after))

    return strawberry.field(
        resolver=fetch,
        graphql_type=to,
        description=description,
        directives=[*directives, cost(1, per="first")],
    )


def page(first: int | None, after: str | None, maximum: int = PAGE_SIZE_MAX) -> PageRequest:
    """The page asked for. Raises: BadPageSize."""
    return PageRequest.forward(first, present(after), maximum)


def shows(*views: type[object]) -> Callable[[object, object], bool]:
    """For `is_type_of`: the type shows values of these classes."""

    def is_type_of(value: object, _info: object) -> bool:
        return isinstance(value, views)

    return is_type_of
