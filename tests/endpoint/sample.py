"""A small schema with everything the endpoint has to deal with, and a client for it."""

# mypy: disable-error-code="untyped-decorator"
# Strawberry's decorator is typed as Any when it is given directives.

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from core.errors import Broken, Rejected, Unavailable
from schema.directives import Cost, Public, Requires, Scope
from schema.endpoint import (
    Admission,
    Budget,
    GraphQLEndpoint,
    GraphQLMetrics,
    HttpRequest,
    Limits,
    PersistedOperations,
    Unauthenticated,
)
from schema.scalars import SCALARS, MinorUnits

FREE = Public(reason="a sample")
ALL_SCOPES = frozenset(scope.name for scope in Scope)
KEY = "cf_test_sample-key-of-the-tests"


class NoSuchBook(Rejected):
    """There is no such book."""

    code = "NO_SUCH_BOOK"


@strawberry.interface
class Node:
    id: strawberry.ID


@strawberry.type(directives=[Requires(scope=Scope.LEDGER_READ)])
class Author(Node):
    name: str
    email: str = strawberry.field(directives=[Requires(scope=Scope.ADMIN)], default="a@b.c")

    @strawberry.field(directives=[Cost(weight=1, per="first")])
    async def books(self, first: int = 3) -> list["Book"]:
        await asyncio.sleep(0)
        return [a_book(number) for number in range(first)]


@strawberry.type
class Book(Node):
    title: str
    price: MinorUnits

    @strawberry.field
    async def author(self) -> Author:
        return Author(id=strawberry.ID("author"), name="Luca Pacioli")

    @strawberry.field
    def twin(self) -> "Book":
        return a_book(2)


@strawberry.type
class NotFound:
    message: str


def a_book(number: int) -> Book:
    return Book(
        id=strawberry.ID(f"book{number}"), title=f"Summa {number}", price=MinorUnits(number)
    )


@strawberry.input
class BookInput:
    title: str
    price: MinorUnits
    tags: list[str] | None = None


@dataclass
class Context:
    caller: "SampleCaller"
    log: list[str]

    def at_one_moment(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@strawberry.type
class Query:
    @strawberry.field(directives=[FREE])
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field(directives=[FREE])
    async def book(self, number: int) -> Book | None:
        return a_book(number) if number else None

    @strawberry.field(directives=[FREE, Cost(weight=1, per="first", max=500)])
    async def books(self, first: int | None = 20, last: int | None = None) -> list[Book]:
        return [a_book(number) for number in range(last or first or 0)]

    @strawberry.field(directives=[FREE, Cost(weight=1, per="ids")])
    async def nodes(self, ids: list[strawberry.ID]) -> list[Node]:
        return [a_book(number) for number, _ in enumerate(ids)]

    @strawberry.field(directives=[FREE])
    async def node(self, id: strawberry.ID) -> Node | None:
        return Author(id=id, name="Luca Pacioli") if id == "author" else a_book(1)

    @strawberry.field(directives=[FREE])
    async def search(self, found: bool) -> Book | NotFound:
        return a_book(1) if found else NotFound(message="nothing")

    @strawberry.field(directives=[Requires(scope=Scope.LEDGER_READ)])
    async def secret(self, info: strawberry.Info[Context, None]) -> str:
        info.context.log.append("secret")
        return "42"

    @strawberry.field(directives=[FREE])
    async def echo(self, value: JSON) -> JSON:
        return value

    @strawberry.field(directives=[FREE])
    def odd(self, what: str) -> JSON:
        return JSON(2**70 if what == "huge" else object())

    @strawberry.field(directives=[FREE])
    def price(self, amount: MinorUnits) -> MinorUnits:
        return amount

    @strawberry.field(directives=[FREE])
    async def fail(self, how: str) -> str | None:
        match how:
            case "rejected":
                raise NoSuchBook(number=7)
            case "unavailable":
                raise Unavailable(retry_after_seconds=2.5)
            case "broken":
                raise Broken(secret="internal detail 4711")
            case "deliberate":
                raise GraphQLError("said on purpose", extensions={"code": "ON_PURPOSE"})
            case "slow":
                await asyncio.sleep(60)
            case _:
                pass
        raise RuntimeError("internal detail 4711")

    @strawberry.field(directives=[FREE])
    async def fail_hard(self) -> str:
        raise RuntimeError("internal detail 4711")


@strawberry.type
class Mutation:
    @strawberry.mutation(directives=[Requires(scope=Scope.LEDGER_WRITE), Cost(weight=50)])
    async def add(self, info: strawberry.Info[Context, None], input: BookInput) -> Book:
        info.context.log.append(f"add {input.title}")
        return Book(id=strawberry.ID("new"), title=input.title, price=input.price)

    @strawberry.mutation(directives=[FREE])
    async def slow_add(self, info: strawberry.Info[Context, None], seconds: float) -> str:
        await asyncio.sleep(seconds)
        info.context.log.append("slow_add")
        return "added"


@strawberry.type
class Subscription:
    @strawberry.subscription(directives=[FREE])
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(1, to + 1):
            yield number

    @strawberry.subscription(directives=[FREE])
    async def fail(self, how: str) -> AsyncGenerator[int, None]:
        yield 1
        match how:
            case "rejected":
                raise NoSuchBook(number=7)
            case "broken":
                raise Broken(secret="internal detail 4711")
            case _:
                raise RuntimeError("internal detail 4711")

    @strawberry.subscription(directives=[FREE])
    async def wait(self, info: strawberry.Info[Context, None]) -> AsyncGenerator[str, None]:
        try:
            yield "begun"
            await asyncio.Event().wait()
        finally:
            info.context.log.append("left")


def a_schema() -> strawberry.Schema:
    return strawberry.Schema(
        Query,
        Mutation,
        Subscription,
        types=[Author, Book],
        config=StrawberryConfig(scalar_map=SCALARS),
    )


@dataclass(frozen=True)
class SampleCaller:
    scopes: frozenset[str] = ALL_SCOPES
    cost_max: int | None = None


@dataclass
class Client:
    """Talks HTTP to an endpoint in the same process."""

    caller: SampleCaller = field(default_factory=SampleCaller)
    limits: Limits = field(default_factory=Limits)
    production: bool = False
    log: list[str] = field(default_factory=list)
    admission: Admission | None = None
    budget: Budget | None = None
    persisted: PersistedOperations | None = None
    metrics: GraphQLMetrics | None = None

    def __post_init__(self) -> None:
        self.endpoint = GraphQLEndpoint(
            a_schema(),
            authenticate=self.authenticate,
            context=lambda _request, caller: Context(caller, self.log),  # type: ignore[arg-type] # our authenticator made it
            limits=self.limits,
            production=self.production,
            admission=self.admission,
            budget=self.budget,
            persisted=self.persisted,
            metrics=self.metrics,
        )

    async def authenticate(self, request: HttpRequest) -> SampleCaller:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Unauthenticated
        return self.caller

    async def request(
        self, method: str, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {KEY}", **(headers or {})}
        transport = httpx.ASGITransport(self.endpoint)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            for name in ("accept", "user-agent", "accept-encoding"):
                if name not in sent:
                    http.headers.pop(name, None)
            return await http.request(method, "/graphql", headers=sent, **arguments)

    async def query(
        self, query: str, variables: Mapping[str, Any] | None = None, **members: Any
    ) -> httpx.Response:
        body = {"query": query, "variables": variables, **members}
        return await self.request("POST", json=body)


def codes(response: httpx.Response) -> list[str]:
    """Codes of a response's errors; each error has a message and a correlation id."""
    errors = response.json()["errors"]
    assert errors
    assert all(error["message"] for error in errors)
    assert all(error["extensions"]["correlationId"] for error in errors)
    return [error["extensions"]["code"] for error in errors]
