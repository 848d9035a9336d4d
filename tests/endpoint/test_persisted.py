"""Operations known by an id or a hash, by POST, GET and WebSocket."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from schema.endpoint import BadPersistedOperation, PersistedOperations, read_operations
from schema.endpoint.persisted import _REGISTERED_MAX, PersistedMode
from schema.endpoint.request import GraphQLRequest
from tests.endpoint.sample import Client, codes
from tests.endpoint.test_sockets import initialised

GREET = "query Greet($name: String!) { hello(name: $name) }"
ADD = 'mutation Add { add(input: {title: "x", price: 1}) { id } }'
COUNT = "subscription Count { count(to: 1) }"
OTHER = "{ hello }"


def hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def a_client(mode: PersistedMode = "only") -> Client:
    return Client(
        persisted=PersistedOperations(mode, {"greet": GREET, hash_of(ADD): ADD, "count": COUNT})
    )


def by_hash(text: str, *, version: int = 1) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": version, "sha256Hash": hash_of(text)}}}


FORMS = {
    "the draft": {"documentId": "greet"},
    "the draft, by hash": {"documentId": f"sha256:{hash_of(GREET)}"},
    "Relay": {"id": "greet"},
    "Relay of old": {"doc_id": "greet"},
    "Apollo": by_hash(GREET),
    "Apollo, with the text": {**by_hash(GREET), "query": GREET},
    "the text": {"query": GREET},
    "both": {"documentId": "greet", "query": GREET},
}


@pytest.mark.parametrize("mode", ["allow", "only"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_kept_operation_runs_however_it_is_named(
    form: dict[str, Any], mode: PersistedMode
) -> None:
    variables = {"name": "Luca"}
    client = a_client(mode)

    posted = await client.request("POST", json={**form, "variables": variables})
    in_url = {k: v if isinstance(v, str) else json.dumps(v) for k, v in form.items()}
    got = await client.request("GET", params={**in_url, "variables": json.dumps(variables)})

    assert posted.json()["data"] == got.json()["data"] == {"hello": "hello Luca"}


@pytest.mark.parametrize(
    "form",
    [
        {"query": OTHER},
        {"query": GREET + " "},
        {"query": GREET, "operationName": "Greet", **by_hash(GREET + " ")},
        {**by_hash(OTHER), "query": OTHER},
        {"query": '{ __type(name: "Book") { name } }'},
    ],
)
async def test_where_only_kept_ones_run_no_other_text_does(form: dict[str, Any]) -> None:
    response = await a_client().request("POST", json=form)

    assert response.status_code == 400
    assert codes(response)[0] in {"PERSISTED_OPERATIONS_ONLY", "PERSISTED_QUERY_HASH_MISMATCH"}
    assert "data" not in response.json()


async def test_a_refused_text_is_not_even_looked_at() -> None:
    client = a_client()

    response = await client.request("POST", json={**by_hash("nonsense {"), "query": "nonsense {"})
    by_hash_alone = await client.request("POST", json=by_hash("nonsense {"))

    assert codes(response) == ["PERSISTED_OPERATIONS_ONLY"]
    assert codes(by_hash_alone) == ["PERSISTED_QUERY_NOT_FOUND"]
    assert (client.endpoint.documents.misses, len(client.endpoint.documents)) == (0, 0)


@pytest.mark.parametrize(
    "form", [{"documentId": "nope"}, {"id": "nope"}, by_hash(OTHER)], ids=["draft", "Relay", "hash"]
)
async def test_what_is_not_kept_is_not_found_in_the_words_apollo_knows(
    form: dict[str, Any],
) -> None:
    response = await a_client("allow").request("POST", json=form)

    assert response.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert codes(response) == ["PERSISTED_QUERY_NOT_FOUND"]


async def test_a_client_may_register_a_text_and_then_send_its_hash() -> None:
    client = a_client("allow")

    unknown = await client.request("POST", json=by_hash(OTHER))
    registered = await client.request("POST", json={"query": OTHER, **by_hash(OTHER)})
    known = await client.request("POST", json=by_hash(OTHER))

    assert codes(unknown) == ["PERSISTED_QUERY_NOT_FOUND"]
    assert registered.json()["data"] == known.json()["data"] == {"hello": "hello world"}


async def test_no_text_is_registered_under_another_hash() -> None:
    client = a_client("allow")

    forged = await client.request("POST", json={"query": OTHER, **by_hash(GREET)})
    greeted = await client.request("POST", json={**by_hash(GREET), "variables": {"name": "A"}})

    assert codes(forged) == ["PERSISTED_QUERY_HASH_MISMATCH"]
    assert greeted.json()["data"] == {"hello": "hello A"}


async def test_a_bad_text_is_not_registered() -> None:
    client = a_client("allow")

    bad = await client.request("POST", json={"query": "{ nope }", **by_hash("{ nope }")})
    again = await client.request("POST", json=by_hash("{ nope }"))

    assert codes(bad) == ["GRAPHQL_VALIDATION_FAILED"]
    assert codes(again) == ["PERSISTED_QUERY_NOT_FOUND"]


def asked(text: str) -> GraphQLRequest:
    return GraphQLRequest(text, {}, None, sha256=hash_of(text))


def test_what_clients_register_is_bounded_in_number_and_in_size() -> None:
    many, large = PersistedOperations("allow"), PersistedOperations("allow")

    for number in range(3 * _REGISTERED_MAX):
        many.register(asked(f"{{ hello }} #{number}"))
    for number in range(200):
        large.register(asked(f"{{ hello }} #{number}" + " " * 100_000))

    assert len(many._registered) == _REGISTERED_MAX
    assert 1 <= len(large._registered) <= 40
    assert large._characters == sum(map(len, large._registered.values()))


@pytest.mark.parametrize("form", [{"documentId": "greet"}, {"id": "greet"}, by_hash(GREET)])
async def test_where_ids_are_off_they_are_not_understood(form: dict[str, Any]) -> None:
    client = Client()

    alone = await client.request("POST", json=form)
    with_text = await client.request("POST", json={**form, "query": OTHER})

    assert alone.json()["errors"][0]["message"] == "PersistedQueryNotSupported"
    assert codes(alone) == ["PERSISTED_QUERY_NOT_SUPPORTED"]
    assert with_text.json()["data"] == {"hello": "hello world"}


@pytest.mark.parametrize(
    "form",
    [
        {"documentId": "greet", "id": "count"},
        {"documentId": "greet", "query": OTHER},
        {"documentId": 7},
        {"documentId": ""},
        {"documentId": "\0"},
        {"extensions": {"persistedQuery": 1}},
        {"extensions": {"persistedQuery": {}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "A" * 64}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ["a"]}}},
        by_hash(GREET, version=2),
    ],
)
async def test_a_senseless_name_is_a_bad_request(form: dict[str, Any]) -> None:
    response: httpx.Response = await a_client("allow").request("POST", json=form)

    assert response.status_code == 400
    assert codes(response)[0] in {"BAD_REQUEST", "BAD_TEXT"}


async def test_a_kept_mutation_does_not_come_by_get() -> None:
    client = a_client()

    response = await client.request("GET", params={"documentId": hash_of(ADD)})
    posted = await client.request("POST", json={"documentId": hash_of(ADD)})

    assert response.status_code == 405
    assert posted.json()["data"] == {"add": {"id": "new"}}
    assert client.log == ["add x"]


async def test_sockets_keep_to_the_same() -> None:
    async with initialised(a_client()) as wire:
        wire.say(type="subscribe", id="1", payload={"documentId": "count"})
        heard = [await wire.hear() for _ in range(2)]
        wire.say(type="subscribe", id="2", payload=by_hash(COUNT))
        heard += [await wire.hear() for _ in range(2)]
        wire.subscribe("subscription { count(to: 1) }", id="3")
        refused = await wire.hear()

    assert [one["type"] for one in heard] == ["next", "complete"] * 2
    assert refused["payload"][0]["extensions"]["code"] == "PERSISTED_OPERATIONS_ONLY"


async def test_kept_operations_are_prepared_before_the_first_request() -> None:
    client = a_client()

    await client.request("POST", json={"id": "greet", "variables": {"name": "A"}})

    assert (client.endpoint.documents.hits, client.endpoint.documents.misses) == (1, 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{ hello", "Syntax Error"),
        ("{ nope }", "Cannot query field"),
        ("fragment F on Book { id }", "never used"),
        ("{ " + "book(number: 1) { twin { " * 8 + "id" + " } }" * 8 + " }", "levels deep"),
    ],
)
def test_a_bad_operation_stops_the_start_and_is_named(text: str, problem: str) -> None:
    with pytest.raises(BadPersistedOperation) as raised:
        Client(persisted=PersistedOperations("allow", {"good": GREET, "bad": text}))

    assert raised.value.facts["id"] == "bad"
    assert problem in str(raised.value)


def test_operations_are_read_from_a_file_or_from_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"1": GREET}))
    (tmp_path / "b.json").write_text(json.dumps({"2": ADD, "1": GREET}))

    assert read_operations(tmp_path / "a.json") == {"1": GREET}
    assert read_operations(tmp_path) == {"1": GREET, "2": ADD}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"a": 1}', '{"": "{ hello }"}', "{", "\xff", "[" * 100_000]
)
def test_a_file_that_is_no_list_of_operations_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "operations.json"
    file.write_text(text, encoding="latin-1")

    with pytest.raises(BadPersistedOperation, match=r"operations\.json"):
        read_operations(file)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadPersistedOperation, match=str(path)):
            read_operations(path)


def test_one_id_has_one_text(tmp_path: Path) -> None:
    for name, text in (("a", GREET), ("b", ADD)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"1": text}))

    with pytest.raises(BadPersistedOperation, match="two texts"):
        read_operations(tmp_path)
