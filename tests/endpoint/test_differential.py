"""Strawberry's own ASGI application is the oracle: both answer the same data."""

from typing import Any

import httpx
import pytest
from strawberry.asgi import GraphQL

from tests.endpoint.sample import Client, Context, SampleCaller, a_schema

REQUESTS: list[dict[str, Any]] = [
    {"query": "{ hello }"},
    {"query": '{ a: hello b: hello(name: "x") __typename }'},
    {"query": "query ($n: Int!) { book(number: $n) { ...B } }"
     " fragment B on Book { id title price }",
     "variables": {"n": 4}},
    {"query": "{ book(number: 0) { id } }", "variables": None},
    {"query": "{ books(first: 3) { id author { name books(first: 2) { id twin { title } } } } }"},
    {"query": '{ nodes(ids: ["a", "b"]) { __typename id ... on Book { title } } }'},
    {"query": '{ node(id: "author") { __typename id ... on Author { name } } }'},
    {"query": "query ($f: Boolean!) { search(found: $f) { __typename ... on Book { id }"
     " ... on NotFound { message } } }", "variables": {"f": False}},
    {"query": "query A { hello } query B { books(first: 1) { id } }", "operationName": "B"},
    {"query": "query ($s: Boolean!) { hello @skip(if: $s) secret @include(if: $s) }",
     "variables": {"s": True}},
    {"query": "query ($v: JSON!) { echo(value: $v) }",
     "variables": {"v": {"a": [1, 2.5, None, "ü", True], "b": {}}}},
    {"query": "mutation ($i: BookInput!) { add(input: $i) { id title price } }",
     "variables": {"i": {"title": "x", "price": "12"}}},
    {"query": '{ fail(how: "other") hello }'},
    {"query": "{ failHard }"},
    {"query": "{ nope }"},
    {"query": "{ hello"},
    {"query": "query ($n: Int!) { book(number: $n) { id } }", "variables": {"n": "x"}},
    {"query": "query ($n: Int!) { book(number: $n) { id } }", "variables": {"n": 2**40}},
    {"query": "{ __schema { queryType { name } types { name kind } } }"},
    {"query": '{ __type(name: "Book") { fields { name type { kind name } } } }'},
]  # fmt: skip


class Oracle(GraphQL[Any, Any]):
    async def get_context(self, request: Any, response: Any) -> Any:
        return Context(SampleCaller(), [])


@pytest.mark.parametrize("request_body", REQUESTS, ids=lambda body: body["query"][:40])
async def test_our_endpoint_and_strawberrys_answer_the_same_data(
    request_body: dict[str, Any],
) -> None:
    transport = httpx.ASGITransport(Oracle(a_schema()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        theirs = (await http.post("/", json=request_body)).json()

    ours = (await Client().request("POST", json=request_body)).json()

    assert ours.get("data") == theirs.get("data")
    assert places(ours) == places(theirs)


def places(payload: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Where the errors are; their messages differ on purpose where ours are masked."""
    return [(error.get("path"), error.get("locations")) for error in payload.get("errors") or []]
