"""What auditors of GraphQL servers try first, on a gateway as it runs in production (T-38)."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.api.gateway import FULL, STOREFRONT, Shop, a_key, assert_typed
from tests.api.sockets import a_socket

ACCOUNT = (
    'accountCreate(input: {idempotencyKey: "%s", path: "%s", kind: LIABILITY, currency: "EUR"})'
)
INTROSPECTION = {
    "schema": "{ __schema { types { name fields { name } } } }",
    "type": '{ __type(name: "Payment") { fields { name } } }',
    "by alias": "{ typename: __schema { t: types { n: name } } }",
    "by fragment": "{ ...F } fragment F on Query { __schema { queryType { name } } }",
    "by inline fragment": "{ ... { ... on Query { __schema { queryType { name } } } } }",
    "beside a field": "{ viewer { tenantId } __schema { queryType { name } } }",
    "skipped": "query ($s: Boolean = true) { __schema @skip(if: $s) { queryType { name } } }",
    "another operation": "query A { __typename } query B { __schema { queryType { name } } }",
    "with white space": "{\ufeff\t__schema\r\n{,,queryType{name}}}",
    "in a mutation": "mutation { __schema { queryType { name } } }",
}
TYPING_ERRORS = {
    "field": "{ paymnt }",
    "sub-field": '{ payment(id: "pay_x") { statu } }',
    "argument": '{ payment(idd: "x") { id } }',
    "type": "{ node(id: 1) { ... on Paymen { id } } }",
    "variable's type": "query ($a: PaymentCreateInpu!) { viewer { tenantId } }",
    "enum": "{ payments(filter: {status: [CAPTURE]}) { nodes { id } } }",
    "input": "{ payments(filter: {statu: []}) { nodes { id } } }",
    "directive": "{ viewer @ski(if: true) { tenantId } }",
    "fragment": "{ viewer { ...Fields } } fragment Field on Viewer { tenantId }",
}
INSIDE = ("Traceback", 'File "', ".py", "asyncpg", "psycopg", "sqlalchemy", "SELECT", "strawberry")


def post(
    shop: Shop, body: Any, headers: Mapping[str, str] | None = None, path: str = FULL
) -> httpx.Response:
    sent = {"authorization": f"Bearer {shop.key}", **(headers or {})}
    return shop.gateway.client.post(path, json=body, headers=sent)


def assert_nothing_inside(answer: httpx.Response) -> None:
    assert [word for word in INSIDE if word in answer.text] == []
    assert "Did you mean" not in answer.text


@pytest.mark.parametrize("path", [FULL, STOREFRONT])
@pytest.mark.parametrize("document", INTROSPECTION.values(), ids=INTROSPECTION)
def test_the_schema_is_not_told(shop: Shop, document: str, path: str) -> None:
    hash = {"version": 1, "sha256Hash": sha256(document.encode()).hexdigest()}
    registering = {"query": document, "extensions": {"persistedQuery": hash}}
    headers = {"authorization": f"Bearer {shop.key}"} if path == FULL else {}

    answers = [
        post(shop, {"query": document, "operationName": None}, path=path),
        post(shop, {"query": document, "operationName": "A"}, path=path),
        post(shop, registering, path=path),
        post(shop, {"extensions": registering["extensions"]}, path=path),
        shop.gateway.client.get(path, params={"query": document}, headers=headers),
    ]

    for answer in answers:
        assert answer.status_code in {400, 405}, answer.text
        assert assert_typed(answer)
        assert "data" not in answer.json()


def test_the_schema_is_not_told_over_sockets(shop: Shop) -> None:
    with a_socket(shop.gateway.base) as socket:
        socket.init(shop.key)
        for document in INTROSPECTION.values():
            assert set(socket.ask(document)) == {"errors"}


@pytest.mark.parametrize("document", TYPING_ERRORS.values(), ids=TYPING_ERRORS)
def test_a_typing_error_is_not_corrected_for_whoever_guesses(shop: Shop, document: str) -> None:
    answer = post(shop, {"query": document})

    assert answer.status_code == 400
    assert assert_typed(answer)
    assert_nothing_inside(answer)


@pytest.mark.parametrize(
    "variables",
    [{"input": None}, {"input": {}}, {"input": {"idempotencyKe": "x"}}, {"input": [[]]}, {}],
)
def test_wrong_variables_show_nothing_inside(shop: Shop, variables: object) -> None:
    document = (
        "mutation ($input: PaymentCreateInput!) { paymentCreate(input: $input) { __typename } }"
    )

    answer = post(shop, {"query": document, "variables": variables})

    assert answer.status_code == 400
    assert_nothing_inside(answer)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("GET", {"x-http-method-override": "POST"}),
        ("GET", {"content-type": "application/json"}),
        ("POST", {"content-type": "application/x-www-form-urlencoded"}),
        ("POST", {"content-type": "multipart/form-data; boundary=x"}),
        ("POST", {"content-type": "text/plain"}),
        ("POST", {"content-type": "text/plain; application/json"}),
        ("POST", {"content-type": ""}),
        ("PUT", {"content-type": "application/json"}),
    ],
)
def test_what_a_foreign_page_can_send_changes_nothing(
    shop: Shop, method: str, headers: dict[str, str]
) -> None:
    path = "customer:csrf:wallet"
    document = f"mutation {{ {ACCOUNT % (a_key(), path)} {{ __typename }} }}"
    sent = {"authorization": f"Bearer {shop.key}", "origin": "https://evil.example", **headers}

    answer = shop.gateway.client.request(
        method,
        FULL,
        params={"query": document},
        content=json.dumps({"query": document}),
        headers=sent,
    )

    assert answer.status_code in {405, 415}
    assert shop.ask("query($p: String!) { account(path: $p) { id } }", p=path)["account"] is None


@pytest.mark.parametrize("place", ["query string", "cookie", "body", "extensions"])
def test_credentials_come_in_their_header_only(shop: Shop, place: str) -> None:
    client, query = shop.gateway.client, "{ viewer { tenantId } }"
    body: dict[str, Any] = {"query": query}
    if place in {"body", "extensions"}:
        body |= {"authorization": shop.key, "extensions": {"authorization": f"Bearer {shop.key}"}}

    answer = client.post(
        FULL,
        json=body,
        params={"authorization": shop.key} if place == "query string" else {},
        headers={"cookie": f"authorization=Bearer {shop.key}"} if place == "cookie" else {},
    )

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_requests_do_not_come_in_batches(shop: Shop) -> None:
    listed = post(shop, [{"query": "{ viewer { tenantId } }"}] * 2)
    names = [f"a{n}" for n in range(31)]
    aliased = post(shop, {"query": "{ " + " ".join(f"{n}: __typename" for n in names) + " }"})
    twice = " ".join(
        f"{n}: {ACCOUNT % (a_key(), f'customer:{n}:wallet')} {{ __typename }}" for n in ("a", "b")
    )
    mutations = post(shop, {"query": f"mutation {{ {twice} }}"})

    assert listed.json()["errors"][0]["extensions"]["code"] == "BATCHING_NOT_SUPPORTED"
    for answer, limit in ((aliased, "aliases"), (mutations, "mutations")):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["extensions"]["limit"] == limit


@pytest.mark.parametrize("path", [FULL, STOREFRONT, "/graphiql", "/"])
def test_there_is_no_page_to_try_things_on(shop: Shop, path: str) -> None:
    answer = shop.gateway.client.get(path, headers={"accept": "text/html"})

    assert answer.status_code in {404, 406}
    assert "<html" not in answer.text.lower()


def test_an_answer_says_nothing_about_what_made_it(shop: Shop) -> None:
    answer = post(
        shop,
        {"query": "{ viewer { tenantId } }"},
        {"apollo-federation-include-trace": "ftv1", "x-apollo-tracing": "1"},
    )

    assert answer.status_code == 200
    assert set(answer.json()["extensions"]) == {"cost"}
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(answer.headers)
