"""One key, one request, one effect: what is the same request, and what a key remembers."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from core.identifiers import encode
from tests.api import inputs
from tests.api.gateway import MUTATIONS, Gateway, Json, Shop, a_key

pytestmark = pytest.mark.timeout(120)

BY_KEY = """query($mutation: String!, $key: IdempotencyKey!) {
  operationByIdempotencyKey(mutation: $mutation, key: $key) {
    key mutation state firstSeenAt resource { __typename id } } }"""
REJECTED = "... on InsufficientFundsError { available { amountMinor } }"


@pytest.fixture(scope="module")
def shop(gateway: Gateway) -> Shop:
    """One shop for the module: a key is never used by two tests."""
    opened = gateway.shop(webhooks=False)
    opened.pay()
    return opened


def send_text(shop: Shop, mutation: str, variables: str) -> Json:
    """The mutation with its variables as this very text."""
    query = json.dumps(MUTATIONS[mutation])
    answer = shop.gateway.client.post(
        "/graphql",
        content=f'{{"query": {query}, "variables": {variables}}}'.encode(),
        headers={"authorization": f"Bearer {shop.key}", "content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    result: Json = answer.json()["data"][mutation]
    return result


def backwards(value: Any) -> Any:
    """The same JSON with the members of every object in reverse order."""
    if isinstance(value, dict):
        return {name: backwards(value[name]) for name in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def resource_of(result: Json) -> str:
    """The id of what a mutation made or acted on."""
    for kind in ("refund", "payment", "account", "transaction", "operation", "savedMethod"):
        if kind in result:
            id: str = result[kind]["id"]
            return id
    raise AssertionError(result)


DEFAULTS: Final[Mapping[str, Json]] = {
    "paymentCreate": {"captureMode": "AUTOMATIC", "confirm": True},
    "paymentCapture": {"final": True},
    "refundCreate": {"reason": "REQUESTED_BY_CUSTOMER"},
}
"""Fields of the right inputs that say what would hold anyway."""


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_the_same_request_in_other_spellings_is_a_replay(mutation: str, shop: Shop) -> None:
    input = {"idempotencyKey": a_key(), **inputs.RIGHT[mutation](shop)}
    first = shop.do(mutation, **input)
    before, effects = shop.gateway.state(), shop.effects()
    without_defaults = {
        name: value for name, value in input.items() if name not in DEFAULTS.get(mutation, {})
    }

    again = [
        send_text(shop, mutation, text)
        for text in (
            json.dumps({"input": input}),
            json.dumps({"input": backwards(input)}, indent=4),
            json.dumps({"input": input}, separators=(",", ":")),
            json.dumps({"input": without_defaults}),
        )
    ]

    assert not first["replayed"]
    assert [replay["replayed"] for replay in again] == [True] * 4
    assert {resource_of(replay) for replay in again} == {resource_of(first)}
    assert shop.gateway.state() == before
    assert shop.effects() == effects


def test_two_spellings_of_one_amount_are_one_request(shop: Shop) -> None:
    key, method = a_key(), {"token": "tok_success"}
    amounts = [
        {"amountMinor": "1250", "currency": "EUR"},
        {"amountMinor": 1250, "currency": "EUR"},
        {"decimal": "12.50", "currency": "EUR"},
        {"decimal": "12.5", "currency": "EUR"},
        {"decimal": "12.50", "amountMinor": None, "currency": "EUR"},
    ]

    results = [
        shop.do("paymentCreate", idempotencyKey=key, amount=amount, method=method)
        for amount in amounts
    ]

    assert [result["replayed"] for result in results] == [False, True, True, True, True]
    assert len({result["payment"]["id"] for result in results}) == 1


OTHER: Final = {
    "amount": {"amountMinor": "999", "currency": "EUR"},
    "reference": "another order",
    "method": {"token": "tok_pending"},
    "captureMode": "MANUAL",
    "confirm": False,
    "returnUrl": "https://shop.example/other",
    "customerId": "customer-2",
    "outcome": "NOT_EXECUTED",
    "providerRef": "ch_other",
    "evidenceNote": "another note",
    "splits": None,
    "storeCredit": None,
    "routing": {"allowFailover": True},
    "statementDescriptor": "SHOP 2",
    "metadata": [{"key": "cart", "value": "18"}],
    "final": False,
    "expectedVersion": None,
    "reason": "DUPLICATE",
    "note": "another note",
    "path": "customer:somebody-else:wallet",
    "kind": "another_kind",
    "currency": "USD",
    "legs": None,
    "description": "another description",
    "paymentCancel.reason": "changed their mind",
    "paymentCreate.saveMethod": False,
    "paymentConfirm.saveMethod": True,
}
"""Another value of each field, which would do as well."""


def another(mutation: str, name: str, right: Json, shop: Shop) -> Any:
    """Another value of one field, right by itself; for each field of the input."""
    match mutation, name:
        case _, "paymentId":
            return shop.pay(confirm=False)["id"]
        case "savedMethodRemove", "id":
            return shop.keep("customer-1")
        case _, "operationId":
            return shop.riddle()[0]
        case _, "merchantAccountId":
            return shop.account_id("expense:store_credit")
        case "transferCreate", "legs":
            money = {"amountMinor": "1", "currency": "EUR"}
            return [{**leg, "amount": money} for leg in right["legs"]]
        case _:
            particular = f"{mutation}.{name}"
            return OTHER[particular if particular in OTHER else name]


# The chart allows an account one kind; store credit goes with one capture mode.
ONE_VALUE_ONLY: Final = {("accountCreate", "kind"), ("paymentCreate", "captureMode")}

CHANGES = [
    pytest.param(mutation, name, id=f"{mutation}-{name}")
    for mutation in inputs.RIGHT
    for name in inputs.input_type(mutation).fields
    if name not in {"idempotencyKey", "clientSecret"} and (mutation, name) not in ONE_VALUE_ONLY
]


@pytest.fixture(scope="module")
def used(shop: Shop) -> dict[str, Json]:
    """Of each mutation an input whose key was used."""
    made = {}
    for mutation, right in inputs.RIGHT.items():
        made[mutation] = {"idempotencyKey": a_key(), **right(shop)}
        assert shop.do(mutation, **made[mutation])["__typename"].endswith("Payload")
    return made


@pytest.mark.parametrize(("mutation", "name"), CHANGES)
def test_a_changed_field_is_named_and_nothing_happens(
    mutation: str, name: str, shop: Shop, used: dict[str, Json]
) -> None:
    other = another(mutation, name, used[mutation], shop)
    before = shop.gateway.state()

    result = shop.do(mutation, **{**used[mutation], name: other})

    assert result["__typename"] == "IdempotencyKeyReusedError", result
    assert not result["retryable"]
    differing = {path.partition(".")[0] for path in result["differingPaths"]}
    assert differing == {name}, result["differingPaths"]
    assert shop.gateway.state() == before


def test_a_field_deep_inside_is_named_by_its_path(shop: Shop, used: dict[str, Json]) -> None:
    changed = inputs.changed(used["paymentCreate"], ("metadata", 0, "value"), "19")
    nested = inputs.changed(changed, ("splits", 0, "amount", "amountMinor"), "101")

    result = shop.do("paymentCreate", **nested)

    assert result["differingPaths"] == ["metadata.cart", "splits.0.amount.amountMinor"]


def test_a_key_belongs_to_one_tenant_and_one_mutation(gateway: Gateway, shop: Shop) -> None:
    other, key = gateway.shop(webhooks=False), a_key()
    mine = shop.do("paymentCreate", idempotencyKey=key, amount=inputs.EUR_10)
    theirs = other.do(
        "paymentCreate",
        idempotencyKey=key,
        amount={"amountMinor": "77", "currency": "EUR"},
        method={"token": "tok_success"},
    )
    canceled = shop.do("paymentCancel", idempotencyKey=key, paymentId=mine["payment"]["id"])

    assert not mine["replayed"]
    assert not theirs["replayed"]
    assert mine["payment"]["id"] != theirs["payment"]["id"]
    assert canceled["payment"]["status"] == "CANCELED"
    assert len(other.effects()) == 1


def test_a_browser_and_a_server_may_choose_the_same_key(shop: Shop) -> None:
    """A browser's keys live with its payment: it can neither take nor read those of the server."""
    first, second = shop.pay(confirm=False), shop.pay(confirm=False)
    key, method = a_key(), {"token": "tok_success"}
    results = [
        shop.do(
            "paymentConfirm",
            idempotencyKey=key,
            clientSecret=payment["clientSecret"],
            method=method,
        )
        for payment in (first, second)
    ]
    third = shop.pay(confirm=False)
    results.append(
        shop.do("paymentConfirm", idempotencyKey=key, paymentId=third["id"], method=method)
    )
    found = shop.ask(BY_KEY, mutation="paymentConfirm", key=key)["operationByIdempotencyKey"]

    assert [result.get("replayed") for result in results] == [False, False, False]
    assert found["resource"]["id"] == third["id"]


def test_the_header_may_repeat_the_key_and_may_not_differ(shop: Shop) -> None:
    for mutation, right in inputs.RIGHT.items():
        input = {"idempotencyKey": a_key(), **right(shop)}
        before = shop.gateway.state()
        document = MUTATIONS[mutation]

        differing = shop.send(document, {"input": input}, idempotency_key=a_key())
        refused = differing.json()["data"][mutation]
        untouched = shop.gateway.state()
        agreeing = shop.send(
            document, {"input": input}, idempotency_key=str(input["idempotencyKey"])
        )

        assert refused["__typename"] == "ValidationError", mutation
        assert refused["fields"] == [
            {
                "path": ["input", "idempotencyKey"],
                "code": "KEYS_DIFFER",
                "message": refused["fields"][0]["message"],
            }
        ]
        assert untouched == before
        assert agreeing.json()["data"][mutation]["replayed"] is False, agreeing.text


def set_risk_rules(shop: Shop, rules: Json) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(
            "UPDATE tenant SET risk_rules = $2 WHERE tenant_id = $1", shop.tenant_id, rules
        )

    shop.inside(work)


def test_a_refusal_by_risk_is_remembered(gateway: Gateway) -> None:
    shop = gateway.shop(webhooks=False)
    set_risk_rules(shop, {"amount_max": {"EUR": 500}})
    input = {
        "idempotencyKey": a_key(),
        "amount": inputs.EUR_10,
        "method": {"token": "tok_success"},
    }

    first = shop.do("paymentCreate", **input)
    set_risk_rules(shop, {})
    again = shop.do("paymentCreate", **input)
    other = shop.do("paymentCreate", **{**input, "idempotencyKey": a_key()})
    changed = shop.do("paymentCreate", **{**input, "reference": "other"})

    assert first["__typename"] == again["__typename"] == "RiskRejectedError"
    assert "amount_max" not in str(first), "which rule it was stays with us"
    assert other["__typename"] == "PaymentPayload"
    assert changed["__typename"] == "IdempotencyKeyReusedError"
    assert len(shop.effects()) == 1


def test_too_little_store_credit_is_remembered(gateway: Gateway) -> None:
    shop = gateway.shop(webhooks=False)
    wallet = shop.grant("customer:gina:wallet", 100)
    input = {
        "idempotencyKey": a_key(),
        "amount": inputs.EUR_10,
        "method": {"token": "tok_success"},
        "storeCredit": {"accountId": wallet, "amount": {"amountMinor": "300", "currency": "EUR"}},
    }

    first = shop.do("paymentCreate", **input)
    shop.grant("customer:gina:wallet", 900)
    again = shop.do("paymentCreate", **input)
    other = shop.do("paymentCreate", **{**input, "idempotencyKey": a_key()})

    assert first["__typename"] == again["__typename"] == "InsufficientFundsError"
    assert other["__typename"] == "PaymentPayload"
    assert [effect["amount"] for effect in shop.effects()] == [700]


def enable_providers(shop: Shop, *, enabled: bool) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(
            "UPDATE provider_account SET enabled = $2 WHERE tenant_id = $1",
            shop.tenant_id,
            enabled,
        )

    shop.inside(work)


def test_a_key_tries_again_when_nobody_was_there_to_take_it(gateway: Gateway) -> None:
    shop = gateway.shop(webhooks=False)
    enable_providers(shop, enabled=False)
    input = {
        "idempotencyKey": a_key(),
        "amount": inputs.EUR_10,
        "method": {"token": "tok_success"},
        "reference": "order-of-the-patient",
    }

    refused = [shop.do("paymentCreate", **input) for _ in range(2)]
    kept = shop.ask('{ paymentByReference(reference: "order-of-the-patient") { id status } }')
    enable_providers(shop, enabled=True)
    taken = shop.do("paymentCreate", **input)
    replay = shop.do("paymentCreate", **input)

    assert [one["__typename"] for one in refused] == ["NoProviderAvailableError"] * 2
    assert all(one["retryable"] for one in refused)
    assert kept["paymentByReference"]["status"] == "REQUIRES_CONFIRMATION"
    assert taken["payment"]["id"] == kept["paymentByReference"]["id"] == replay["payment"]["id"]
    assert taken["payment"]["status"] == "CAPTURED"
    assert [taken["replayed"], replay["replayed"]] == [False, True]
    assert [effect["kind"] for effect in shop.effects()] == ["charge"]


def test_what_breaks_a_rule_uses_up_no_key(shop: Shop) -> None:
    key = a_key()
    bad = {"amountMinor": "0", "currency": "EUR"}
    missing = encode("pay", shop.accounts[0].id)

    refused = shop.do("paymentCreate", idempotencyKey=key, amount=bad)
    created = shop.do("paymentCreate", idempotencyKey=key, amount=inputs.EUR_10)
    lost = shop.do("paymentCancel", idempotencyKey=key, paymentId=missing)
    found = shop.do("paymentCancel", idempotencyKey=key, paymentId=created["payment"]["id"])

    assert refused["__typename"] == "ValidationError"
    assert lost["__typename"] == "NotFoundError"
    assert [created["replayed"], found["replayed"]] == [False, False]


def test_a_replay_answers_with_the_state_of_now(shop: Shop) -> None:
    input = {
        "idempotencyKey": a_key(),
        "amount": inputs.EUR_10,
        "method": {"token": "tok_success"},
        "captureMode": "MANUAL",
    }
    first = shop.do("paymentCreate", **input)
    shop.do("paymentCapture", paymentId=first["payment"]["id"])
    again = shop.do("paymentCreate", **input)

    assert [first["payment"]["status"], again["payment"]["status"]] == ["AUTHORIZED", "CAPTURED"]
    assert again["replayed"]


@pytest.mark.parametrize("mutation", inputs.RIGHT)
def test_a_key_tells_what_became_of_its_call(mutation: str, shop: Shop) -> None:
    key = a_key()
    result = shop.do(mutation, **{**inputs.RIGHT[mutation](shop), "idempotencyKey": key})

    found = shop.ask(BY_KEY, mutation=mutation, key=key)["operationByIdempotencyKey"]
    other_mutation = "paymentCancel" if mutation != "paymentCancel" else "refundCreate"

    assert found["key"] == key
    assert found["mutation"] == mutation
    assert found["state"] == "COMPLETED"
    assert found["resource"]["id"] == resource_of(result)
    for unknown in (
        {"mutation": other_mutation, "key": key},
        {"mutation": mutation, "key": a_key()},
    ):
        assert shop.ask(BY_KEY, **unknown)["operationByIdempotencyKey"] is None
