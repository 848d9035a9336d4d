"""What belongs to another tenant is as if it did not exist: the same answer, word for word."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_leaf_type,
)

from core.database import Database
from core.identifiers import decode, encode, new_id
from resolvers.node import SCOPES
from tests.conftest import add_tenant
from tests.payments.world import World, a_key
from tests.resolvers.asking import FULL, STOREFRONT, Api, Asker, an_api

SCHEMA = FULL._schema


async def ids_of(api: Api, world: World) -> dict[str, str]:
    """One id of each kind of node, of things that exist in this world."""
    payment = await world.pay(amount=5000)
    await world.refund(payment, 100)
    held = await world.authorize()
    await world.pay(customer_id="anna", save_method=True)
    await world.rows(
        """INSERT INTO inbound_webhook (tenant_id, id, provider_account_id, provider_event_id,
                                        payload, headers, body_sha256, correlation_id)
           VALUES ($1, $2, $3, 'evt', '{}', '{}', '', 'test') RETURNING id""",
        world.tenant_id,
        new_id(),
        world.accounts[0],
    )
    await world.rows(
        """INSERT INTO discrepancy (tenant_id, id, kind, subject_key)
           VALUES ($1, $2, 'ORPHAN_WEBHOOK', 'x') RETURNING id""",
        world.tenant_id,
        new_id(),
    )
    await world.rows(
        """INSERT INTO audit_log (tenant_id, id, actor, action, correlation_id)
           VALUES ($1, $2, 'test', 'test.act', 'test') RETURNING id""",
        world.tenant_id,
        new_id(),
    )
    found = await api.ask(
        """query ($payment: ID!, $held: ID!) {
          payment(id: $payment) {
            id attempts { id operations { id } } refunds { nodes { id } }
            transactions { nodes { id entries { id account { id } } } }
          }
          held: payment(id: $held) { id }
          holds { nodes { id } } providers { id }
          inboundWebhooks { nodes { id } } discrepancies { nodes { id } } auditLog { nodes { id } }
          savedMethods(customerId: "anna") { nodes { id } }
        }""",
        payment=encode("pay", payment),
        held=encode("pay", held),
    )
    seen = set(re.findall(rf"'((?:{'|'.join(SCOPES)})_[0-9a-z]{{26}})'", repr(found)))
    return {id.partition("_")[0]: id for id in seen}


@pytest.fixture
async def stranger(world: World, database: Database, admin_url: str) -> Api:
    """A server of another tenant, allowed everything there."""
    api = an_api(world)
    return api.by(tenant_id=add_tenant(admin_url), key_id=new_id())


async def test_every_kind_of_node_is_found_by_its_owner_and_by_nobody_else(
    api: Api, stranger: Api, world: World
) -> None:
    ids = await ids_of(api, world)
    document = "query ($id: ID!) { node(id: $id) { id __typename } }"

    assert set(ids) == set(SCOPES)
    for prefix, id in ids.items():
        owned = (await api.ask(document, id=id))["node"]
        assert owned["id"] == id
        assert (await stranger.ask(document, id=id))["node"] is None
        assert (await api.ask(document, id=encode(prefix, new_id())))["node"] is None


async def test_nodes_keep_their_places(api: Api, stranger: Api, world: World) -> None:
    ids = list((await ids_of(api, world)).values())
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert [node["id"] for node in (await api.ask(document, ids=ids))["nodes"]] == ids
    assert (await stranger.ask(document, ids=ids))["nodes"] == [None] * len(ids)
    mixed = (await api.ask(document, ids=["x", ids[0], "", "ten_x"]))["nodes"]
    assert mixed == [None, {"id": ids[0]}, None, None]
    assert await api.refused(document, ids=["x"] * 101) == "BAD_PAGE_SIZE"


@pytest.mark.parametrize("prefix", SCOPES)
async def test_a_node_needs_the_scope_of_its_kind(api: Api, prefix: str) -> None:
    document = "query ($id: ID!) { node(id: $id) { id } }"
    id = encode(prefix, new_id())

    without = api.by(scopes=api.caller.scopes - {SCOPES[prefix]})
    only = api.by(scopes=frozenset({SCOPES[prefix]}))

    assert await without.refused(document, id=id) == "FORBIDDEN"
    assert (await only.ask(document, id=id))["node"] is None
    result = await without.run("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["x", id])
    assert result.data == {"nodes": [None, None]}
    assert len(result.errors or []) == 1


def _arguments(field: str, arguments: dict[str, GraphQLArgument]) -> Iterator[tuple[str, Any]]:
    """A value for each argument that must be given or that names something."""
    for name, argument in arguments.items():
        if field == "account" and name == "path":
            continue
        if isinstance(argument.type, GraphQLNonNull) or name == "id":
            yield name, argument


def _selection(of: GraphQLOutputType, depth: int = 2) -> str:
    """Every leaf field without required arguments, two levels deep."""
    named = get_named_type(of)
    if is_leaf_type(named):
        return ""
    if not isinstance(named, GraphQLObjectType):
        return "{ __typename }"
    parts = ["__typename"]
    for name, field in named.fields.items():
        if any(isinstance(each.type, GraphQLNonNull) for each in field.args.values()):
            continue
        leaf = is_leaf_type(get_named_type(field.type))
        if leaf:
            parts.append(name)
        elif depth > 1:
            parts.append(f"{name} {_selection(field.type, depth - 1)}")
    return "{ " + " ".join(parts) + " }"


_IDS = {
    "payment": "pay",
    "refund": "ref",
    "account": "acc",
    "transaction": "txn",
    "provider": "prv",
}


@pytest.mark.parametrize("field", list(SCHEMA.query_type.fields))  # type: ignore[union-attr] # there is a query type
async def test_no_query_shows_another_tenant_anything(
    api: Api, stranger: Api, world: World, field: str
) -> None:
    ids = await ids_of(api, world)
    reference, key = "theirs", a_key()
    await world.pay(None, reference=reference, idempotency_key=key)
    assert SCHEMA.query_type is not None
    queried = SCHEMA.query_type.fields[field]
    values: dict[str, object] = {
        "id": ids.get(_IDS.get(field, "pay")),
        "ids": list(ids.values()),
        "reference": reference,
        "clientSecret": "pay_x_secret_y",
        "mutation": "paymentCreate",
        "key": key,
        "pathPrefix": "p",
        "customerId": "anna",
        "amount": {"decimal": "10", "currency": "EUR"},
    }
    used = dict(_arguments(field, queried.args))
    declared = ", ".join(f"${name}: {argument.type}" for name, argument in used.items())
    passed = ", ".join(f"{name}: ${name}" for name in used)
    document = (
        f"query {f'({declared})' if declared else ''} "
        f"{{ {field}{f'({passed})' if passed else ''} {_selection(queried.type)} }}"
    )
    variables = {name: values[name] for name in used}

    theirs = await stranger.run(document, **variables)
    ours = await api.run(document, **variables)

    assert theirs.errors is None, theirs.errors
    assert ours.errors is None, ours.errors
    shown = repr(theirs.data)
    for id in ids.values():
        assert id not in shown
    assert reference not in shown
    if field not in {"paymentByClientSecret", "viewer", "customer"}:
        assert ours.data != theirs.data, f"{field} shows its owner something"


MUTATE = """
mutation {{ {field}(input: {{ idempotencyKey: "{key}", {body} }}) {{
  __typename ... on Error {{ code message }} ... on NotFoundError {{ id }} }} }}
"""


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("paymentConfirm", 'paymentId: "{id}", method: {{ token: "tok_success" }}'),
        ("paymentCapture", 'paymentId: "{id}"'),
        ("paymentCancel", 'paymentId: "{id}"'),
        ("refundCreate", 'paymentId: "{id}"'),
    ],
)
async def test_a_mutation_answers_a_foreign_id_as_a_missing_one(
    stranger: Api, world: World, field: str, body: str
) -> None:
    theirs, missing = encode("pay", await world.authorize()), encode("pay", new_id())

    answers = []
    for id in (theirs, missing):
        document = MUTATE.format(field=field, key=a_key(), body=body.format(id=id))
        answers.append((await stranger.ask(document))[field])

    assert [answer.pop("id") for answer in answers] == [theirs, missing]
    assert answers[0] == answers[1]
    assert answers[0]["__typename"] == "NotFoundError"
    assert len(world.effects()) == 1


async def test_a_sync_answers_a_foreign_id_as_a_missing_one(stranger: Api, world: World) -> None:
    document = """mutation ($id: ID!) { paymentSync(paymentId: $id) {
      __typename ... on NotFoundError { id } } }"""
    for id in (encode("pay", await world.pay()), encode("pay", new_id()), "rubbish"):
        answer = (await stranger.ask(document, id=id))["paymentSync"]
        assert answer == {"__typename": "NotFoundError", "id": id}


BY_SECRET = """query ($secret: String!) { paymentByClientSecret(clientSecret: $secret) {
  id status amount { decimal } nextAction { kind url } } }"""


async def secret_of(api: Api, payment_id: object) -> str:
    document = "query ($id: ID!) { payment(id: $id) { clientSecret } }"
    found: str = (await api.ask(document, id=payment_id))["payment"]["clientSecret"]
    return found


async def test_a_client_secret_opens_its_payment_and_no_other(
    api: Api, stranger: Api, world: World
) -> None:
    one, other = [encode("pay", await world.pay(None)) for _ in range(2)]
    secret, other_secret = await secret_of(api, one), await secret_of(api, other)
    nobody = an_api(world, Asker())
    nobody.schema = STOREFRONT
    holder = an_api(world, Asker(world.tenant_id, payment_id=decode("pay", one)))

    for asking in (nobody, holder, api):
        seen = (await asking.ask(BY_SECRET, secret=secret))["paymentByClientSecret"]
        assert seen["id"] == one
    assert (await holder.ask(BY_SECRET, secret=other_secret))["paymentByClientSecret"] is None
    assert (await stranger.ask(BY_SECRET, secret=secret))["paymentByClientSecret"] is None
    for wrong in ("", "x", secret[:-1], secret + "a", secret.upper(), "\x00", "4" * 5000):
        assert (await nobody.ask(BY_SECRET, secret=wrong))["paymentByClientSecret"] is None


CONFIRM = """mutation ($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
  __typename
  ... on PaymentPayload { replayed payment { id status } }
  ... on Error { code } ... on NotFoundError { id } } }"""


async def test_a_browser_confirms_with_the_client_secret(api: Api, world: World) -> None:
    payment = encode("pay", await world.pay(None))
    input = {
        "idempotencyKey": a_key(),
        "clientSecret": await secret_of(api, payment),
        "method": {"token": "tok_success"},
    }
    browser = an_api(world, Asker())
    browser.schema = STOREFRONT

    first = (await browser.ask(CONFIRM, input=input))["paymentConfirm"]
    again = (await browser.ask(CONFIRM, input=input))["paymentConfirm"]

    assert first["payment"] == {"id": payment, "status": "CAPTURED"}
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert len(world.effects()) == 1


async def test_a_browser_without_the_right_secret_confirms_nothing(api: Api, world: World) -> None:
    payment = encode("pay", await world.pay(None))
    browser = an_api(world, Asker())
    key = a_key()

    wrong = {"idempotencyKey": key, "clientSecret": f"{payment}_secret_wrong"}
    answer = (await browser.ask(CONFIRM, input=wrong))["paymentConfirm"]
    assert answer["__typename"] == "NotFoundError"
    assert payment not in answer["id"]

    by_id = {"idempotencyKey": key, "paymentId": payment}
    assert await browser.refused(CONFIRM, input=by_id) == "FORBIDDEN"
    reader = api.by(scopes=frozenset({"PAYMENTS_READ"}))
    assert await reader.refused(CONFIRM, input=by_id) == "FORBIDDEN"
    assert world.effects() == []
