"""Requests that ask for too much are refused before anything runs, quickly."""

import time
from collections.abc import Callable

import pytest
from graphql import get_introspection_query
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.endpoint import Limits
from schema.endpoint.documents import DocumentStore, Prepared
from schema.endpoint.problems import Refusal
from schema.endpoint.rules import read_rules
from tests.endpoint.sample import Client, a_schema, codes
from tests.endpoint.test_sockets import initialised

REFUSAL_SECONDS_MAX = 0.05


def a_store(limits: Limits | None = None, *, production: bool = False) -> DocumentStore:
    schema = a_schema()._schema
    return DocumentStore(schema, read_rules(schema), limits or Limits(), production=production)


STORE = a_store()


def fragment_bomb(levels: int = 45, *, width: int = 4) -> str:
    spreads = [f"fragment F{n} on Book {{ {f'...F{n + 1} ' * width} }}" for n in range(levels)]
    last = f"fragment F{levels} on Book {{ id title }}"
    return "{ book(number: 1) { ...F0 } } " + " ".join([*spreads, last])


def fragment_bomb_of_twins(levels: int = 45) -> str:
    links = [
        f"fragment F{n} on Book {{ a: twin {{ ...F{n + 1} }} b: twin {{ ...F{n + 1} }} }}"
        for n in range(levels)
    ]
    last = f"fragment F{levels} on Book {{ id }}"
    return "{ book(number: 1) { ...F0 } } " + " ".join([*links, last])


ATTACKS = {
    "fragment bomb": fragment_bomb(),
    "wide fragment bomb": fragment_bomb(12, width=100),
    "fragment bomb of twins": fragment_bomb_of_twins(),
    "fragment bomb nobody uses": fragment_bomb().replace("...F0", "id", 1),
    "fragment cycle": "{ book(number: 1) { ...A } } "
    "fragment A on Book { twin { ...B } } fragment B on Book { twin { ...A } }",
    "fragment that is itself": "{ ...A } fragment A on Query { ...A ...A ...A }",
    "many fragments": "{ hello } "
    + "".join(f"fragment F{n} on Book {{ id }} " for n in range(300)),
    "alias flood": "{ " + " ".join(f"a{n}: hello" for n in range(600)) + " }",
    "directive flood": "{ hello " + "@include(if: true) " * 390 + "}",
    "directive flood of unknowns": "{ hello " + "@x" * 900 + "}",
    "repeated fields": "{ " + "hello " * 1_900 + "}",
    "repeated fields just in the limit": "{ " + "hello " * 499 + "}",
    "repeated objects": "{ " + "book(number: 1) { id } " * 240 + "}",
    "repeated in a fragment nobody uses": "{ hello } fragment F on Query {" + "hello " * 490 + "}",
    "huge first": "{ books(first: 1000000) { id } }",
    "huge first by default": "query ($n: Int = 1000000) { books(first: $n) { id } }",
    "nested pages": "{ books(first: 100) { author { books(first: 100) { author"
    " { books { id } } } } } }",
    "deep nesting": "{ book(number: 1) " + "{ twin " * 60 + "{ id }" + "}" * 61,
    "very deep nesting": "{" * 5_000,
    "deep inline fragments": "{ " + "... { " * 190 + "hello" + " }" * 191,
    "deep lists": "{ echo(value: " + "[" * 1_000 + "]" * 1_000 + ") }",
    "many tokens": "{ hello(name: " + "1 " * 100_000 + ") }",
    "many comments": "#\n" * 100_000 + "{ hello }",
    "one long name": "{ " + "h" * 250_000 + " }",
    "many wrong names": "{ " + " ".join(f"helo{n}" for n in range(450)) + " }",
    "many operations": " ".join(f"query Q{n} {{ hello }}" for n in range(300)),
    "fragment bomb of nothing": fragment_bomb().replace("{ id title }", "{ }"),
    "many inline fragments": "{ " + "... {} " * 900 + "}",
    "introspection in circles": "{ __schema { types { fields { type { fields { type { fields "
    "{ type { fields { name } } } } } } } } } }",
    "introspection many times": "{ "
    + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in range(20))
    + " }",
    "two mutations": "mutation { a: slowAdd(seconds: 1) b: slowAdd(seconds: 1) }",
    "two mutations in a fragment": "mutation { ...F b: slowAdd(seconds: 1) } "
    "fragment F on Mutation { slowAdd(seconds: 1) }",
    "long list of ids": "{ nodes(ids: [" + '"x" ' * 101 + "]) { id } }",
}


def prepare(text: str) -> Prepared | Refusal:
    """As the endpoint does: prepared, then its cost computed without variables."""
    prepared = STORE.get(text, None)
    if isinstance(prepared, Prepared):
        try:
            cost = prepared.demands.cost.value({})
        except Refusal as refusal:
            return refusal
        if cost > Limits().cost:
            return Refusal.because("LIMIT_EXCEEDED", "cost")
    return prepared


def cpu_seconds(act: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    act(text)
    return time.process_time() - started


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_within_50_ms(attack: str) -> None:
    text = ATTACKS[attack]
    times = [cpu_seconds(prepare, f"{text} #{n}") for n in range(3)]

    assert isinstance(prepare(f"{text} #0"), Refusal)
    assert min(times) <= REFUSAL_SECONDS_MAX, times


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_answered_with_a_typed_error_and_nothing_runs(attack: str) -> None:
    client = Client()

    response = await client.query(ATTACKS[attack])

    assert response.status_code in {400, 413}
    assert set(codes(response)) <= {
        "LIMIT_EXCEEDED",
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "BODY_TOO_LARGE",
    }
    assert client.log == []


def test_the_worst_accepted_documents_are_validated_quickly() -> None:
    groups = [f"g{n}: book(number: {n}) {{ {'id ' * 30} }}" for n in range(15)]
    text = "{ " + " ".join(groups) + " }"

    seconds = min(cpu_seconds(prepare, f"{text} #{n}") for n in range(3))

    assert isinstance(prepare(f"{text} #0"), Prepared)
    assert seconds <= 4 * REFUSAL_SECONDS_MAX


BOOK = "book(number: 1)"


@pytest.mark.parametrize(
    ("limit", "within", "beyond"),
    [
        ("fields", "{ a: __typename " + "hello " * 9 + "}", "{ " + "hello " * 11 + "}"),
        (
            "depth",
            "{ book(number: 1) { twin { id } } }",
            "{ book(number: 1) { twin { twin { id } } } }",
        ),
        ("aliases", "{ a: hello b: hello c: hello }", "{ a: hello b: hello c: hello d: hello }"),
        (
            "directives",
            "{ hello @skip(if: false) @include(if: true) }",
            "query @a { hello @skip(if: false) @include(if: true) }",
        ),
        (
            "fragments",
            "{ ...A } fragment A on Query { hello }",
            "{ ...A ...B } fragment A on Query { hello } fragment B on Query { hello }",
        ),
        ("operations", "query A { hello }", "query A { hello } query B { hello }"),
        ("cost", "{ books(first: 7) { id } }", "{ books(first: 8) { id } }"),
    ],
)
async def test_each_limit_is_exact(limit: str, within: str, beyond: str) -> None:
    small = {"fields": 10, "depth": 3, "aliases": 3, "directives": 2, "fragments": 1}
    client = Client(limits=Limits(**small, operations=1, cost=7))

    accepted = await client.query(within)
    refused = await client.query(beyond)

    assert accepted.status_code == 200, accepted.text
    assert codes(refused) == ["LIMIT_EXCEEDED"]
    assert refused.json()["errors"][0]["extensions"]["limit"] == limit


async def test_depth_is_counted_through_fragments() -> None:
    client = Client(limits=Limits(depth=3))
    query = "{ book(number: 1) { ...A } } fragment A on Book { twin { twin { id } } }"

    assert codes(await client.query(query)) == ["LIMIT_EXCEEDED"]


@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ hello }", {}, 0),
        ("{ books { id } }", {}, 20),
        ("{ books(first: 5) { id } }", {}, 5),
        ("{ books(first: 5, last: 9) { id } }", {}, 9),
        ("{ books(first: null) { id } }", {}, 500),
        ("query ($n: Int) { books(first: $n) { id } }", {"n": 7}, 7),
        ("query ($n: Int) { books(first: $n) { id } }", {"n": 7.0}, 7),
        ("query ($n: Int) { books(first: $n) { id } }", {}, 20),
        ("query ($n: Int) { books(first: $n) { id } }", {"n": None}, 500),
        ("query ($n: Int = 3) { books(first: $n) { id } }", {}, 3),
        ("{ books(first: 10) { author { books(first: 4) { id } } } }", {}, 10 * (1 + 4)),
        ("{ ...F } fragment F on Query { books(first: 6) { id } }", {}, 6),
        ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["a", "b", "c"]}, 3),
        ('{ nodes(ids: ["a", "b"]) { id } }', {}, 2),
        ("{ books(first: 0) { id } }", {}, 1),
    ],
)
async def test_the_cost_follows_page_sizes(
    query: str, variables: dict[str, object], cost: int
) -> None:
    response = await Client().query(query, variables)

    assert response.status_code == 200, response.text
    assert response.json()["extensions"]["cost"]["requested"] == cost


@pytest.mark.parametrize("size", [501, -1, 10**18, -(10**18), 1e6])
async def test_a_page_beyond_its_maximum_is_refused(size: float) -> None:
    response = await Client().query("query ($n: Int) { books(first: $n) { id } }", {"n": size})

    assert codes(response) == ["LIMIT_EXCEEDED"]
    assert response.json()["errors"][0]["extensions"]["limit"] == "page_size"


@pytest.mark.parametrize("size", [True, "5", [], {}, 1.5])
async def test_a_page_size_of_a_wrong_type_is_a_user_error(size: object) -> None:
    response = await Client().query("query ($n: Int) { books(first: $n) { id } }", {"n": size})

    assert response.status_code == 400
    assert codes(response)[0] in {"BAD_USER_INPUT", "LIMIT_EXCEEDED"}


async def test_the_introspection_query_of_graphiql_passes() -> None:
    query = get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        schema_description=True,
        input_value_deprecation=True,
    )

    response = await Client().query(query, operationName="IntrospectionQuery")

    assert response.status_code == 200, response.text
    assert response.json()["data"]["__schema"]["queryType"]["name"] == "Query"


def test_a_document_is_prepared_once() -> None:
    store = a_store()

    first, second = store.get("{ hello }", None), store.get("{ hello }", None)

    assert first is second
    assert (store.hits, store.misses) == (1, 1)


def test_a_refused_document_is_prepared_once_too() -> None:
    store = a_store()

    assert store.get("{ nope }", None) is store.get("{ nope }", None)
    assert (store.hits, store.misses) == (1, 1)


@pytest.mark.parametrize("text", ["{ nope }", "{ hello", "{ hello }" * 1_000])
def test_a_refusal_that_is_kept_keeps_nothing_of_the_parser(text: str) -> None:
    refused = a_store().get(text, None)

    assert isinstance(refused, Refusal)
    assert (refused.__context__, refused.__cause__, refused.__traceback__) == (None, None, None)


async def test_a_refusal_that_is_kept_does_not_hold_on_to_a_request() -> None:
    client = Client()

    await client.query("{ nope }")
    async with initialised(client) as wire:
        wire.subscribe("subscription { nope }")
        assert (await wire.hear())["type"] == "error"

    documents = client.endpoint.documents
    kept = [documents.get(text, None) for text in ("{ nope }", "subscription { nope }")]
    assert documents.hits == 2
    for refusal in kept:
        assert isinstance(refusal, Refusal)
        assert (refusal.__traceback__, refusal.__context__) == (None, None)


def test_the_operation_name_is_part_of_the_key() -> None:
    store = a_store()
    document = "query A { hello } query B { books { id } }"

    a, b = store.get(document, "A"), store.get(document, "B")

    assert isinstance(a, Prepared)
    assert isinstance(b, Prepared)
    assert (a.operation.name.value, b.operation.name.value) == ("A", "B")  # type: ignore[union-attr] # named


def test_the_store_is_bounded_by_number() -> None:
    store = a_store(Limits(store_entries=10))

    for number in range(30):
        store.get(f"{{ a{number}: hello }}", None)
    store.get("{ a29: hello }", None)

    assert len(store) == 10
    assert store.hits == 1


def test_the_store_is_bounded_by_size() -> None:
    store = a_store(Limits(store_bytes=80_000))

    for number in range(100):
        store.get("{ " + " ".join(f"a{n}: hello" for n in range(20)) + f" }} #{number}", None)

    assert store.estimated_bytes <= 80_000
    assert 1 <= len(store) < 10


def test_a_refusal_does_not_repeat_a_long_text_in_each_of_its_errors() -> None:
    store = a_store()
    name, variables = "x" * 90_000, " ".join(f"$a{n}: Int" for n in range(40))

    refused = store.get(f"query {name}({variables}) {{ hello }}", None)

    assert isinstance(refused, Refusal)
    told = [len(error["message"]) for error in refused.errors]
    assert len(told) > 10
    assert max(told) <= 500
    assert store.estimated_bytes > sum(told)


_NAMES = st.sampled_from(["hello", "book", "twin", "id", "author", "__typename", "a: hello", "x"])
_SELECTION = st.recursive(
    _NAMES | st.sampled_from(["...A", "...B", "... on Book", "@skip(if: true)"]),
    lambda inner: st.lists(inner, min_size=1, max_size=30).map(
        lambda items: "{ " + " ".join(items) + " }"
    ),
    max_leaves=300,
)


@settings(max_examples=60, deadline=None)
@given(_SELECTION, _SELECTION, _SELECTION)
def test_made_up_documents_are_decided_within_100_ms(root: str, a: str, b: str) -> None:
    text = f"{{ book(number: 1) {root} }} fragment A on Book {{ {a} }} fragment B on Book {{ {b} }}"

    seconds = min(cpu_seconds(a_fresh, text) for _ in range(2))

    assert seconds <= 2 * REFUSAL_SECONDS_MAX


def a_fresh(text: str) -> Prepared | Refusal:
    STORE._kept.clear()
    return prepare(text)
