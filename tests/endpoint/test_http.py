import asyncio
import json
from typing import Any

import pytest

from schema.endpoint import Limits
from tests.endpoint.sample import Client, SampleCaller, codes

GRAPHQL_JSON = "application/graphql-response+json"


async def test_a_query_is_answered_with_its_cost() -> None:
    response = await Client().query("query ($n: Int!) { books(first: $n) { title } }", {"n": 2})

    assert response.status_code == 200
    assert response.headers["content-type"] == f"{GRAPHQL_JSON}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "data": {"books": [{"title": "Summa 0"}, {"title": "Summa 1"}]},
        "extensions": {"cost": {"requested": 2, "limit": 1000, "remaining": 998}},
    }


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, GRAPHQL_JSON),
        ("*/*", GRAPHQL_JSON),
        ("application/*", GRAPHQL_JSON),
        ("application/json", "application/json"),
        ("application/json, */*", "application/json"),
        ("application/json;q=0.5, application/graphql-response+json;q=0.4", "application/json"),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL_JSON),
        ("text/html, application/json;charset=UTF-8;q=0.2", "application/json"),
        ("*/*, application/graphql-response+json;q=0", "application/json"),
    ],
)
async def test_the_media_type_is_negotiated(accept: str | None, answered: str) -> None:
    headers = {} if accept is None else {"accept": accept}

    response = await Client().request("POST", headers, json={"query": "{ hello }"})

    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == answered


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/json;q=0", "application/json;charset=utf-16", "image/*", "a", ";;"],
)
async def test_an_unknown_media_type_is_not_acceptable(accept: str) -> None:
    response = await Client().request("POST", {"accept": accept}, json={"query": "{ hello }"})

    assert response.status_code == 406
    assert codes(response) == ["NOT_ACCEPTABLE"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/graphql",
        "application/json; charset=latin-1",
        "",
    ],
)
async def test_only_json_is_read(content_type: str) -> None:
    client = Client()

    response = await client.request(
        "POST", {"content-type": content_type}, content=b'{"query": "{ hello }"}'
    )

    assert response.status_code == 415
    assert codes(response) == ["UNSUPPORTED_MEDIA_TYPE"]


async def test_a_compressed_body_is_not_read() -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    response = await Client().request("POST", headers, content=b"\x1f\x8b")

    assert response.status_code == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed(method: str) -> None:
    response = await Client().request(method, json={"query": "{ hello }"})

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


async def test_a_query_may_be_sent_by_get() -> None:
    variables = json.dumps({"n": 3})
    params = {"query": "query A($n: Int!) { book(number: $n) { title } } query B { hello }"}

    response = await Client().request(
        "GET", params={**params, "variables": variables, "operationName": "A"}
    )

    assert response.json()["data"] == {"book": {"title": "Summa 3"}}


async def test_a_mutation_by_get_is_refused_and_not_executed() -> None:
    client = Client()

    response = await client.request(
        "GET", params={"query": 'mutation { add(input: {title: "x", price: 1}) { id } }'}
    )

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert client.log == []


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query=",
        "query=%7Bhello%7D&query=%7Bhello%7D",
        "query=%ff",
        "query=%7Bhello%7D%00",
        "query={hello}&variables=[]",
        "query={hello}&variables={",
        "&".join(["a=1"] * 40),
    ],
)
async def test_a_malformed_query_string_is_refused(query_string: str) -> None:
    client = Client()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query_string.encode()}
    scope["headers"] = [(b"authorization", b"Bearer cf_test_sample-key-of-the-tests")]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    await client.endpoint(scope, receive, send)

    assert sent[0]["status"] == 400


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer cf_test_wrong"}])
async def test_a_missing_and_a_wrong_key_are_answered_alike(header: dict[str, str]) -> None:
    headers = {"authorization": "", **header}

    response = await Client().request("POST", headers, json={"query": "{ hello }"})

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert codes(response) == ["UNAUTHENTICATED"]
    assert response.json()["errors"][0]["message"] == "A valid API key is required."
    assert "data" not in response.json()


async def test_an_announced_large_body_is_refused_before_it_is_read() -> None:
    limits = Limits(body_bytes=1000)

    response = await Client(limits=limits).query("{ hello }" + " " * 1000)

    assert response.status_code == 413
    assert codes(response) == ["BODY_TOO_LARGE"]


async def test_a_streamed_body_is_counted() -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100

    client = Client(limits=Limits(body_bytes=1000))

    response = await client.request("POST", {"content-type": "application/json"}, content=chunks())

    assert response.status_code == 413


async def test_a_body_that_drips_is_cut_off() -> None:
    async def chunks() -> Any:
        yield b'{"query":'
        await asyncio.sleep(5)
        yield b'"{ hello }"}'

    client = Client(limits=Limits(body_seconds=0.05))

    response = await client.request("POST", {"content-type": "application/json"}, content=chunks())

    assert response.status_code == 408
    assert codes(response) == ["BODY_TOO_SLOW"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ hello", "GRAPHQL_PARSE_FAILED"),
        ("{ nonsense }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: Int!) { book(number: $n) { id } }", "BAD_USER_INPUT"),
        ("query A { hello } query B { hello }", "OPERATION_NOT_FOUND"),
        ("{ hello " * 20 + "}" * 20, "LIMIT_EXCEEDED"),
        ("query A { hello } query A { hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ price(amount: 1e3) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ price(amount: 99999999999999999999) }", "GRAPHQL_PARSE_FAILED"),
        ('{ hello(name: "\\u0000") }', "BAD_TEXT"),
        ('{ hello(name: "\\ud800") }', "GRAPHQL_PARSE_FAILED"),
        ("subscription { hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("type Query { a: Int }", "GRAPHQL_VALIDATION_FAILED"),
        ("fragment F on Book { id }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_a_bad_document_is_400_for_graphql_clients_and_200_for_plain_ones(
    query: str, code: str
) -> None:
    client = Client()

    strict = await client.query(query)
    plain = await client.request("POST", {"accept": "application/json"}, json={"query": query})

    assert (strict.status_code, plain.status_code) == (400, 200)
    assert codes(strict)[0] == codes(plain)[0] == code
    assert "data" not in strict.json()


@pytest.mark.parametrize(
    ("amount", "answer"),
    [("1230", "1230"), (1230, "1230"), (2**63 - 1, str(2**63 - 1)), ("-5", "-5")],
)
async def test_amounts_are_read_from_text_and_integers(amount: object, answer: str) -> None:
    query = "query ($a: MinorUnits!) { price(amount: $a) }"

    response = await Client().query(query, {"a": amount})

    assert response.json()["data"] == {"price": answer}


@pytest.mark.parametrize(
    "amount",
    [
        *(1.0, 12.5, True, None, [], {}, 2**63, str(2**63), "9" * 500),
        *("1e3", "1_000", "", " 1", "01", "+1", "1.0", "\u0663"),
    ],
)
async def test_other_amounts_are_refused_with_a_message(amount: object) -> None:
    query = "query ($a: MinorUnits!) { price(amount: $a) }"

    response = await Client().query(query, {"a": amount})

    assert response.status_code == 400
    assert codes(response) == ["BAD_USER_INPUT"]


async def test_the_operation_is_chosen_by_name() -> None:
    document = "query A { hello } query B { book(number: 1) { id } }"

    first = await Client().query(document, operationName="A")
    unknown = await Client().query(document, operationName="C")
    null = await Client().query("{ hello }", operationName=None)

    assert first.json()["data"] == {"hello": "hello world"}
    assert codes(unknown) == ["OPERATION_NOT_FOUND"]
    assert null.json()["data"] == {"hello": "hello world"}


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        ("rejected", "NO_SUCH_BOOK", 200),
        ("unavailable", "UNAVAILABLE", 503),
        ("broken", "INTERNAL", 200),
        ("other", "INTERNAL", 200),
        ("deliberate", "ON_PURPOSE", 200),
    ],
)
async def test_what_resolvers_raise_is_mapped_and_masked(how: str, code: str, status: int) -> None:
    response = await Client().query("query ($how: String!) { fail(how: $how) }", {"how": how})

    assert response.status_code == status
    assert codes(response) == [code]
    assert "4711" not in response.text
    assert "Traceback" not in response.text
    if code == "INTERNAL":
        assert response.json()["errors"][0]["message"].startswith("Something went wrong")
        assert response.json()["errors"][0]["path"] == ["fail"]


async def test_integers_beyond_64_bits_are_written_in_full() -> None:
    response = await Client().query('{ odd(what: "huge") }')

    assert response.json()["data"] == {"odd": 2**70}


async def test_a_value_that_is_no_json_is_answered_as_a_bug() -> None:
    response = await Client().query('{ odd(what: "object") }')

    assert response.status_code == 500
    assert codes(response) == ["INTERNAL"]
    assert "object at" not in response.text


async def test_unavailable_says_when_to_come_back() -> None:
    response = await Client().query('{ fail(how: "unavailable") }')

    assert response.headers["retry-after"] == "3"
    assert response.json()["errors"][0]["extensions"]["retryAfterMs"] == 2500


async def test_a_partial_answer_is_not_503() -> None:
    response = await Client().query('{ hello fail(how: "unavailable") }')

    assert response.status_code == 200
    assert response.json()["data"] == {"hello": "hello world", "fail": None}


async def test_a_failed_non_null_root_nulls_the_data_but_is_no_request_error() -> None:
    response = await Client().query("{ failHard }")

    assert response.status_code == 200
    assert response.json()["data"] is None
    assert codes(response) == ["INTERNAL"]


async def test_a_slow_query_is_cancelled() -> None:
    response = await Client(limits=Limits(query_seconds=0.05)).query('{ fail(how: "slow") }')

    assert response.status_code == 503
    assert codes(response) == ["DEADLINE_EXCEEDED"]


async def test_a_slow_mutation_is_answered_late_but_never_stopped() -> None:
    client = Client(limits=Limits(mutation_seconds=0.05))

    response = await client.query("mutation { slowAdd(seconds: 0.2) }")

    assert response.status_code == 503
    assert client.log == []
    await client.endpoint.drain()
    assert client.log == ["slow_add"]


async def test_a_mutation_survives_the_cancellation_of_its_request() -> None:
    client = Client()
    request = asyncio.create_task(client.query("mutation { slowAdd(seconds: 0.1) }"))
    while not client.endpoint._mutations:  # noqa: ASYNC110 - nothing there to wait on
        await asyncio.sleep(0.001)

    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await client.endpoint.drain()

    assert client.log == ["slow_add"]


async def test_the_correlation_id_of_the_request_comes_back_everywhere() -> None:
    client = Client()

    response = await client.request(
        "POST", {"x-correlation-id": "order-12345678"}, json={"query": '{ fail(how: "x") }'}
    )

    assert response.headers["x-correlation-id"] == "order-12345678"
    assert response.json()["errors"][0]["extensions"]["correlationId"] == "order-12345678"


async def test_requests_without_a_correlation_id_get_different_ones() -> None:
    client = Client()

    first, second = await client.query("{ hello }"), await client.query("{ hello }")

    assert first.headers["x-correlation-id"] != second.headers["x-correlation-id"]


async def test_production_hides_the_schema() -> None:
    production = Client(production=True)

    introspection = await production.query("{ __schema { types { name } } }")
    by_type = await production.query('{ __type(name: "Book") { name } }')
    typename = await production.query("{ __typename }")
    typo = await production.query("{ helo }")
    argument = await production.query("query($b: BookInput!) { hello }", {"b": {"titl": 1}})

    assert introspection.status_code == by_type.status_code == 400
    assert typename.json()["data"] == {"__typename": "Query"}
    assert "Did you mean" not in typo.text + argument.text
    assert "Did you mean" in (await Client().query("{ helo }")).text


async def test_a_key_may_have_a_budget_of_its_own() -> None:
    poor = Client(SampleCaller(cost_max=10))

    assert codes(await poor.query("{ books(first: 11) { id } }")) == ["LIMIT_EXCEEDED"]
    assert (await poor.query("{ books(first: 10) { id } }")).status_code == 200
