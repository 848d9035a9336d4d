"""Whatever bytes arrive, the answer is a typed error of the 400 class, never a 5xx."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.endpoint.sample import KEY, Client, codes

CLIENT = Client()


async def post(body: bytes) -> tuple[int, dict[str, Any]]:
    """Straight into the ASGI application: a client library would mend some of these bodies."""
    headers = [
        (b"authorization", f"Bearer {KEY}".encode()),
        (b"content-type", b"application/json"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await CLIENT.endpoint(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


BAD_BODIES = {
    "empty": b"",
    "not json": b"{query: 1}",
    "null": b"null",
    "text": b'"{ hello }"',
    "number": b"1",
    "batch": b'[{"query": "{ hello }"}]',
    "empty batch": b"[]",
    "bad utf-8": b'{"query": "{ hello }\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"query": "{ hello }"}',
    "utf-16": '{"query": "{ hello }"}'.encode("utf-16"),
    "nul byte": b'{"query": "{ hello }\x00"}',
    "escaped nul": b'{"query": "{ hello }", "variables": {"a": ["\\u0000"]}}',
    "nul in a name": b'{"query": "{ hello }", "variables": {"a\\u0000": 1}}',
    "lone surrogate": b'{"query": "{ hello }", "variables": {"a": "\\ud800"}}',
    "huge integer": b'{"query": "{ hello }", "variables": {"a": 123456789012345678901}}',
    "huge negative": b'{"query": "{ hello }", "variables": {"a": -9999999999999999999}}',
    "very huge integer": b'{"query": "{ hello }", "variables": {"a": ' + b"9" * 5000 + b"}}",
    "infinite": b'{"query": "{ hello }", "variables": {"a": 1e999}}',
    "nan": b'{"query": "{ hello }", "variables": {"a": NaN}}',
    "too deep": b'{"query":"{ hello }","variables":{"a":' + b"[" * 65 + b"]" * 65 + b"}}",
    "far too deep": b"[" * 100_000,
    "too many values": b'{"query":"{ hello }","variables":{"a":[' + b"0," * 5_000 + b"0]}}",
    "query of a wrong type": b'{"query": 1}',
    "query missing": b"{}",
    "query empty": b'{"query": "  "}',
    "variables of a wrong type": b'{"query": "{ hello }", "variables": []}',
    "variables as text": b'{"query": "{ hello }", "variables": "{}"}',
    "name of a wrong type": b'{"query": "{ hello }", "operationName": 1}',
    "extensions of a wrong type": b'{"query": "{ hello }", "extensions": []}',
    "unfinished": b'{"query": "{ hello }"',
    "two documents": b'{"query": "{ hello }"}{"query": "{ hello }"}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_malformed_body_is_refused_with_a_typed_error(body: bytes) -> None:
    status, payload = await post(body)

    assert status == 400
    assert payload["errors"][0]["extensions"]["code"]
    assert payload["errors"][0]["extensions"]["correlationId"]
    assert "data" not in payload


@pytest.mark.parametrize(
    "variables",
    [
        b"null",
        b"{}",
        b'{"n": ' + b"1" * 19 + b"}",
        b'{"n": "' + b"9" * 40 + b'"}',
        b'{"n": 1.5e30}',
    ],
)
async def test_unusual_but_correct_variables_are_accepted(variables: bytes) -> None:
    status, payload = await post(b'{"query": "{ hello }", "variables": ' + variables + b"}")

    assert (status, payload["data"]) == (200, {"hello": "hello world"})


async def test_variables_at_the_depth_limit_are_accepted() -> None:
    deep = b"[" * 63 + b"]" * 63

    status, _ = await post(b'{"query":"{ hello }","variables":{"a":' + deep + b"}}")

    assert status == 200


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(
        ["{ hello }", "{", "query Q($a: JSON!) { echo(value: $a) }", "\x00", "\ud800"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "query": _JSON
        | st.sampled_from(
            [
                "{ hello }",
                "query Q($a: JSON!) { echo(value: $a) }",
                "query Q($a: MinorUnits!) { price(amount: $a) }",
                "mutation M($a: BookInput!) { add(input: $a) { id price } }",
                "query A { hello } query B { hello }",
                "query ($a: Int) { books(first: $a) { id } }",
                "query ($a: [ID!]!) { nodes(ids: $a) { id } }",
            ]
        ),
        "variables": _JSON | st.fixed_dictionaries({"a": _JSON}),
        "operationName": _JSON | st.sampled_from(["Q", "A", "M", ""]),
        "extensions": _JSON,
        "other": _JSON,
    },
)
_VALID = b'{"query": "query Q($a: JSON!) { echo(value: $a) }", "variables": {"a": [1, "x"]}}'


async def _is_no_server_error(body: bytes) -> None:
    status, payload = await post(body)

    assert status < 500, (body, payload)
    for error in payload.get("errors", []):
        assert error["message"]
        assert error["extensions"]["code"] not in {"INTERNAL", "BROKEN"}, (body, payload)
        assert error["extensions"]["correlationId"]


@settings(max_examples=300, deadline=None)
@given(_MEMBERS | _JSON)
async def test_no_json_body_is_a_server_error(body: Any) -> None:
    await _is_no_server_error(json.dumps(body).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
async def test_no_bytes_are_a_server_error(body: bytes) -> None:
    await _is_no_server_error(body)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(_VALID) - 1), st.binary(max_size=4), st.integers(0, 4))
async def test_no_damage_to_a_good_body_is_a_server_error(
    at: int, inserted: bytes, removed: int
) -> None:
    await _is_no_server_error(_VALID[:at] + inserted + _VALID[at + removed :])


async def test_a_key_sent_twice_is_taken_once() -> None:
    response = await CLIENT.request(
        "POST",
        {"content-type": "application/json"},
        content=b'{"query": "{ nope }", "query": "{ hello }"}',
    )

    assert response.json()["data"] == {"hello": "hello world"}


async def test_a_list_of_requests_is_not_supported() -> None:
    response = await CLIENT.request("POST", json=[{"query": "{ hello }"}])

    assert codes(response) == ["BATCHING_NOT_SUPPORTED"]
