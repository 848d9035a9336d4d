import pytest
import strawberry

from schema.directives import Cost, Public, Requires, Scope
from schema.endpoint import BadCost, GraphQLEndpoint, UnguardedField
from schema.endpoint.documents import Prepared
from tests.endpoint.sample import Client, Context, SampleCaller, codes

NO_SCOPES = SampleCaller(frozenset())
READS_LEDGER = SampleCaller(frozenset({"LEDGER_READ"}))


@pytest.mark.parametrize(
    "query",
    [
        "{ secret }",
        "{ hello secret }",
        "{ alias: secret }",
        "{ ...F } fragment F on Query { secret }",
        "{ ... on Query { ... { secret } } }",
        "query ($no: Boolean = false) { secret @include(if: $no) }",
        "{ secret @skip(if: true) }",
        '{ node(id: "author") { ... on Author { name } } }',
        '{ node(id: "author") { ...A } } fragment A on Author { id }',
        "{ nodes(ids: []) { ... on Node { ... on Author { __typename } } } }",
    ],
)
async def test_a_missing_scope_refuses_the_request_and_nothing_runs(query: str) -> None:
    client = Client(NO_SCOPES)

    response = await client.query(query)

    assert response.status_code == 403
    assert codes(response) == ["FORBIDDEN"]
    assert response.json()["errors"][0]["extensions"]["missingScopes"] == ["LEDGER_READ"]
    assert client.log == []


async def test_a_missing_scope_is_200_for_clients_of_plain_json() -> None:
    client = Client(NO_SCOPES)

    response = await client.request(
        "POST", {"accept": "application/json"}, json={"query": "{ secret }"}
    )

    assert response.status_code == 200
    assert codes(response) == ["FORBIDDEN"]


async def test_scopes_below_the_root_count_too() -> None:
    client = Client(READS_LEDGER)

    allowed = await client.query("{ book(number: 1) { author { name } } }")
    refused = await client.query("{ book(number: 1) { author { email } } }")

    assert allowed.json()["data"] == {"book": {"author": {"name": "Luca Pacioli"}}}
    assert codes(refused) == ["FORBIDDEN"]


async def test_a_field_that_returns_a_type_itself_needs_no_scope_of_that_type() -> None:
    response = await Client(NO_SCOPES).query("{ book(number: 1) { author { name } } }")

    assert response.json()["data"] == {"book": {"author": {"name": "Luca Pacioli"}}}


async def test_only_the_chosen_operation_needs_its_scopes() -> None:
    document = "query A { hello } query B { secret }"

    assert (await Client(NO_SCOPES).query(document, operationName="A")).status_code == 200
    assert (await Client(NO_SCOPES).query(document, operationName="B")).status_code == 403


async def test_a_mutation_without_the_scope_writes_nothing() -> None:
    client = Client(READS_LEDGER)

    response = await client.query('mutation { add(input: {title: "x", price: 1}) { id } }')

    assert codes(response) == ["FORBIDDEN"]
    assert client.log == []


async def test_a_stored_document_is_checked_against_each_caller() -> None:
    client = Client()
    assert (await client.query("{ secret }")).status_code == 200

    client.caller = NO_SCOPES

    assert (await client.query("{ secret }")).status_code == 403


async def _nobody(_request: object) -> SampleCaller:
    return NO_SCOPES


def _context(_request: object, _caller: object) -> Context:
    return Context(NO_SCOPES, [])


def an_endpoint(query: type) -> GraphQLEndpoint:
    return GraphQLEndpoint(
        strawberry.Schema(query),
        authenticate=_nobody,
        context=_context,
    )


def test_a_root_field_without_requires_or_public_stops_the_start() -> None:
    @strawberry.type
    class Query:
        open: int = strawberry.field(directives=[Public(reason="a sample")])
        forgotten: int

    with pytest.raises(UnguardedField, match=r"Query\.forgotten"):
        an_endpoint(Query)


def test_a_root_field_cannot_be_public_and_guarded() -> None:
    @strawberry.type
    class Query:
        both: int = strawberry.field(
            directives=[Public(reason="a sample"), Requires(scope=Scope.ADMIN)]
        )

    with pytest.raises(UnguardedField):
        an_endpoint(Query)


def test_a_cost_that_names_no_argument_stops_the_start() -> None:
    @strawberry.type
    class Query:
        many: int = strawberry.field(
            directives=[Public(reason="a sample"), Cost(weight=1, per="first")]
        )

    with pytest.raises(BadCost):
        an_endpoint(Query)


def test_a_scope_on_an_implementation_guards_the_interface() -> None:
    @strawberry.interface
    class Thing:
        name: str

    @strawberry.type
    class Open(Thing):
        pass

    @strawberry.type
    class Closed(Thing):
        name: str = strawberry.field(directives=[Requires(scope=Scope.ADMIN)])

    @strawberry.type
    class Query:
        thing: Thing = strawberry.field(directives=[Public(reason="a sample")])

    schema = strawberry.Schema(Query, types=[Open, Closed])
    endpoint = GraphQLEndpoint(schema, authenticate=_nobody, context=_context)

    prepared = endpoint.documents.get("{ thing { name } }", None)
    open_only = endpoint.documents.get("{ thing { ... on Open { name } } }", None)

    assert isinstance(prepared, Prepared)
    assert prepared.demands.scopes == {"ADMIN"}
    assert isinstance(open_only, Prepared)
    assert open_only.demands.scopes == frozenset()
