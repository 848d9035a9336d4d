"""Bad input, field by field: a typed refusal that names the field, and nothing is written."""

import json
from typing import Any

import pytest

from core.identifiers import encode, new_id
from tests.api import bad_values as bad
from tests.api import inputs
from tests.api.gateway import FULL, Gateway, Json, Shop, a_key, assert_typed
from tests.api.sending import assert_refused, mutate, post

pytestmark = pytest.mark.timeout(120)
CASES_MIN = 60


FIELDS = [
    pytest.param(mutation, field, id=f"{mutation}-{field.label}")
    for mutation in inputs.RIGHT
    for field in inputs.fields(mutation)
]


def test_every_mutation_has_a_right_input() -> None:
    assert set(inputs.mutations()) == {*inputs.RIGHT, *inputs.BARE, *inputs.KEYLESS}


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_the_table_is_long_enough(mutation: str, right: dict[str, Json]) -> None:
    values = sum(len(field.bad) for field in inputs.fields(mutation))
    bodies = sum(1 for _ in bad.bodies(inputs.document_of(mutation), right[mutation]))

    assert len(bad.AMOUNTS) >= CASES_MIN
    assert values + bodies >= CASES_MIN


@pytest.mark.parametrize(("mutation", "field"), FIELDS)
def test_a_bad_value_is_refused_by_name_and_nothing_is_written(
    mutation: str, field: inputs.Field, shop: Shop, right: dict[str, Json]
) -> None:
    before = shop.gateway.state()

    for name, value in field.bad.items():
        input = inputs.changed(right[mutation], field.way, value)
        answer = mutate(shop, mutation, input)
        assert_refused(answer, mutation, field.way, f"{field.label} = {name}")

    assert shop.gateway.state() == before


@pytest.mark.parametrize("mutation", [*inputs.RIGHT, *inputs.BARE])
def test_every_bad_amount_is_refused_by_every_mutation(
    mutation: str, shop: Shop, right: dict[str, Json]
) -> None:
    """Also by mutations that have no amount, and also when it is written into the document."""
    before = shop.gateway.state()

    for name, amount in bad.AMOUNTS.items():
        given = {**right.get(mutation, {}), "amount": amount}
        for answer in (
            post(shop, document_with_literals(mutation, given)),
            post(shop, document_with_extra_argument(mutation, amount)),
        ):
            refused = assert_typed(answer, name)
            result = (answer.json().get("data") or {}).get(mutation, {})
            assert refused or result["__typename"] == "ValidationError", f"{name}: {answer.text}"

    assert shop.gateway.state() == before


def document_with_literals(mutation: str, input: Json) -> bytes:
    """The input as GraphQL literals instead of a variable."""
    argument = (
        f"input: {literal(input)}" if mutation in inputs.RIGHT else f"amount: {literal(input)}"
    )
    query = f"mutation {{ {mutation}({argument}) {{ __typename ... on Error {{ code }} }} }}"
    return json.dumps({"query": query}).encode()


def document_with_extra_argument(mutation: str, amount: Any) -> bytes:
    """The amount beside the input, where none belongs."""
    query = f"mutation {{ {mutation}(amount: {literal(amount)}) {{ __typename }} }}"
    return json.dumps({"query": query}).encode()


ENUM_FIELDS = frozenset({"captureMode", "outcome", "reason"})


def literal(value: Any, name: str = "") -> str:
    """A JSON value in GraphQL's own spelling; enum members are bare names."""
    match value:
        case dict():
            return (
                "{" + ", ".join(f"{key}: {literal(item, key)}" for key, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(literal(item) for item in value) + "]"
        case str() if name in ENUM_FIELDS and value.isupper():
            return value
        case _:
            return json.dumps(value)


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_a_malformed_body_is_refused_and_nothing_is_written(
    mutation: str, shop: Shop, right: dict[str, Json]
) -> None:
    before = shop.gateway.state()

    for name, body in bad.bodies(inputs.document_of(mutation), right[mutation]):
        answer = post(shop, body)
        assert assert_typed(answer, name), f"{name}: {answer.text}"
        assert 400 <= answer.status_code < 500, f"{name}: {answer.status_code}"

    assert shop.gateway.state() == before


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_a_wrong_media_type_or_method_is_refused(
    mutation: str, shop: Shop, right: dict[str, Json]
) -> None:
    body = {"query": inputs.document_of(mutation), "variables": {"input": right[mutation]}}
    before = shop.gateway.state()

    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = post(shop, json.dumps(body).encode(), **{"content-type": content_type})
        assert answer.status_code == 415, content_type
        assert_typed(answer)
    by_get = shop.gateway.client.get(
        FULL,
        params={"query": body["query"], "variables": json.dumps(body["variables"])},  # type: ignore[dict-item] # text
        headers={"authorization": f"Bearer {shop.key}"},
    )

    assert by_get.status_code == 405
    assert_typed(by_get)
    assert shop.gateway.state() == before


@pytest.mark.parametrize("mutation", inputs.BARE)
def test_what_names_nothing_is_not_found(mutation: str, shop: Shop) -> None:
    prefix, document = inputs.BARE[mutation]
    before = shop.gateway.state()

    for name, value in {**bad.ids(prefix), "of nothing": encode(prefix, new_id())}.items():
        body = json.dumps({"query": document, "variables": {"id": value}}).encode()
        answer = post(shop, body)
        if not assert_typed(answer, name):
            assert answer.json()["data"][mutation]["__typename"] == "NotFoundError", name

    assert shop.gateway.state() == before


@pytest.mark.parametrize(
    "input",
    [
        pytest.param({"splits": [str(bad.INT64_MAX), str(bad.INT64_MAX)]}, id="overflowing splits"),
        pytest.param({"splits": ["600", "500"]}, id="splits above the amount"),
        pytest.param({"storeCredit": "1001"}, id="store credit above the amount"),
        pytest.param({"storeCredit": str(bad.INT64_MAX)}, id="enormous store credit"),
        pytest.param({"captureMode": "MANUAL", "storeCredit": "100"}, id="store credit, manual"),
        pytest.param({"splits": ["10"], "splitCurrency": "USD"}, id="split in another currency"),
    ],
)
def test_amounts_that_do_not_fit_together_are_refused(input: Json, shop: Shop) -> None:
    account = shop.account_id("income:sales")
    currency = input.pop("splitCurrency", "EUR")
    if "splits" in input:
        input["splits"] = [
            {"accountId": account, "amount": {"amountMinor": units, "currency": currency}}
            for units in input["splits"]
        ]
    if "storeCredit" in input:
        money = {"amountMinor": input["storeCredit"], "currency": "EUR"}
        input["storeCredit"] = {"accountId": account, "amount": money}
    before = shop.gateway.state()

    result = shop.do(
        "paymentCreate", amount=inputs.EUR_10, method={"token": "tok_success"}, **input
    )

    assert result["__typename"] == "ValidationError"
    assert {next(iter(problem["path"])) for problem in result["fields"]} == {"input"}
    assert shop.gateway.state() == before


@pytest.mark.parametrize("mutation", ["paymentCapture", "refundCreate"])
def test_another_currency_or_too_much_is_refused(
    mutation: str, shop: Shop, right: dict[str, Json]
) -> None:
    before = shop.gateway.state()
    wrong = [
        ({"amountMinor": "1000", "currency": "USD"}, "ValidationError"),
        ({"amountMinor": "1001", "currency": "EUR"}, "AmountExceededError"),
        ({"amountMinor": str(bad.INT64_MAX), "currency": "EUR"}, "AmountExceededError"),
    ]

    for amount, expected in wrong:
        result = shop.do(mutation, **{**right[mutation], "amount": amount})
        assert result["__typename"] == expected, amount

    assert shop.gateway.state() == before


def test_a_balance_beyond_64_bits_is_refused(gateway: Gateway) -> None:
    shop = gateway.shop(webhooks=False)
    wallet = shop.grant("customer:rich:wallet", 1)
    legs = [
        {"accountId": account, "direction": direction, "amount": {**inputs.EUR_10, **LARGEST}}
        for account, direction in [
            (shop.account_id("expense:store_credit"), "DEBIT"),
            (wallet, "CREDIT"),
        ]
    ]
    before = gateway.state()

    for legs_of_one in (legs, legs * 2):
        answer = shop.send(
            inputs.document_of("transferCreate"),
            {"input": {"idempotencyKey": a_key(), "kind": "too_much", "legs": legs_of_one}},
        )
        errors = assert_typed(answer)
        kind = (answer.json().get("data") or {}).get("transferCreate", {}).get("__typename")
        assert errors or kind == "ValidationError", answer.text

    assert gateway.state() == before


LARGEST = {"amountMinor": str(bad.INT64_MAX)}


def test_the_largest_amount_is_booked_or_refused_but_never_our_fault(shop: Shop) -> None:
    largest = {"amountMinor": str(bad.INT64_MAX), "currency": "EUR"}
    document = inputs.document_of("paymentCreate")

    for _ in range(3):
        answer = shop.send(
            document,
            {"input": {"idempotencyKey": a_key(), "amount": largest, "confirm": False}},
        )
        assert_typed(answer)
    listed = shop.ask(
        "{ payments(first: 3, sort: {key: AMOUNT}) { nodes { amount { amountMinor decimal } } } }"
    )

    assert {node["amount"]["amountMinor"] for node in listed["payments"]["nodes"]} == {
        str(bad.INT64_MAX)
    }
    shop.gateway.settle()


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_the_right_input_is_carried_out(mutation: str, gateway: Gateway) -> None:
    """The control: what the table spoils would have worked."""
    shop = gateway.shop(webhooks=False)
    shop.pay()

    result = shop.do(mutation, **inputs.RIGHT[mutation](shop))

    assert result["__typename"].endswith("Payload"), result
    assert result["replayed"] is False
