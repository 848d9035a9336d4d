"""Saved methods as shops meet them: kept at a checkout, listed, spent and removed by their owner.

The matrix sends every kind of caller a browser can be, from every page that is let in.
"""

import re
from typing import Any, Final

import httpx
import pytest

from core.identifiers import encode, new_id
from tests.api.gateway import STOREFRONT, Gateway, Json, Shop, a_key, assert_typed
from tests.api.test_storefront import (
    ADMITTED,
    CONFIRM,
    CUSTOMER,
    FOREIGN,
    OWN,
    REMOVE,
    THEIRS,
    Market,
    codes,
    open_market,
)
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)

LISTED: Final = """query($first: Int, $after: String) { customer {
  savedMethods(first: $first, after: $after) {
    nodes { id type brand last4 expMonth expYear createdAt removedAt }
    pageInfo { hasNextPage endCursor } } } }"""
BY_SERVER: Final = """query($c: String!) { savedMethods(customerId: $c) {
  nodes { id customerId removedAt detachedAt provider { name } } } }"""
SHOWN: Final = """query($id: ID!) { node(id: $id) {
  ... on SavedMethod { id removedAt detachedAt } } }"""
OF_OWNER: Final = {"customer token"}


@pytest.fixture(scope="module")
def market(gateway: Gateway) -> Market:
    return open_market(gateway)


def listed(shop: Shop, customer: str, **variables: Any) -> Json:
    token = shop.customer_token(customer)
    answer = shop.send(LISTED, variables, path=STOREFRONT, key=token)
    assert assert_typed(answer) == []
    found: Json = answer.json()["data"]["customer"]["savedMethods"]
    return found


def confirm_with(
    market: Market, caller: str, origin: str | None, payment: Json, saved: str
) -> httpx.Response:
    input = {
        "idempotencyKey": a_key(),
        "clientSecret": payment["clientSecret"],
        "method": {"savedMethodId": saved},
    }
    return market.send(CONFIRM, caller, origin, input=input)


def result_of(answer: httpx.Response, mutation: str) -> Json:
    assert assert_typed(answer) == [], answer.text
    found: Json = answer.json()["data"][mutation]
    return found


def test_a_customer_sees_what_they_keep_and_nobody_elses(market: Market) -> None:
    shop = market.shop
    mine = [shop.keep("anna") for _ in range(3)]
    shop.keep("anna:x")

    first = listed(shop, "anna", first=2)
    rest = listed(shop, "anna", first=2, after=first["pageInfo"]["endCursor"])

    assert [one["id"] for one in (*first["nodes"], *rest["nodes"])] == mine[::-1]
    assert not rest["pageInfo"]["hasNextPage"]
    one = first["nodes"][0]
    assert (one["type"], one["brand"], one["removedAt"]) == ("card", "visa", None)
    assert len(one["last4"]) == 4
    assert listed(shop, "nobody yet")["nodes"] == []
    assert listed(market.other, "anna")["nodes"] == []


def test_a_server_sees_who_holds_a_method_and_what_became_of_it(market: Market) -> None:
    shop = market.shop
    id = shop.keep("carla")

    (kept,) = shop.ask(BY_SERVER, c="carla")["savedMethods"]["nodes"]
    removed = shop.do("savedMethodRemove", id=id)

    assert kept["id"] == id
    assert (kept["customerId"], kept["provider"]["name"]) == ("carla", "simulator-a")
    assert removed["savedMethod"]["removedAt"] is not None
    assert shop.ask(BY_SERVER, c="carla")["savedMethods"]["nodes"] == []
    eventually(lambda: shop.ask(SHOWN, id=id)["node"]["detachedAt"] is not None)


@pytest.mark.parametrize(("caller", "origin"), ADMITTED)
def test_a_saved_method_is_spent_by_its_owner_only(
    caller: str, origin: str | None, market: Market
) -> None:
    """The client secret every one of them knows is not enough, and tells nothing."""
    payment = market.shop.pay(None, customerId=CUSTOMER)
    saved, missing = market.shop.keep(CUSTOMER), encode("sm", new_id())
    effects = len(market.shop.effects())

    answers = [confirm_with(market, caller, origin, payment, id) for id in (missing, saved)]

    if caller in OF_OWNER:
        nothing, paid = (result_of(answer, "paymentConfirm") for answer in answers)
        assert (nothing["code"], paid["payment"]["id"]) == ("NOT_FOUND", payment["id"])
        assert len(market.shop.effects()) == effects + 1
        return
    if caller == "nobody" and origin == THEIRS:
        assert [codes(answer) for answer in answers] == [{"ORIGIN_NOT_ALLOWED"}] * 2
    else:
        told = [result_of(answer, "paymentConfirm") for answer in answers]
        assert told == [{"__typename": "NotFoundError", "code": "NOT_FOUND"}] * 2
    assert len(market.shop.effects()) == effects


@pytest.mark.parametrize(("caller", "origin"), ADMITTED)
def test_a_saved_method_is_removed_by_its_owner_only(
    caller: str, origin: str | None, market: Market
) -> None:
    saved, missing = market.shop.keep(CUSTOMER), encode("sm", new_id())

    answers = [
        market.send(REMOVE, caller, origin, input={"idempotencyKey": a_key(), "id": id})
        for id in (missing, saved)
    ]

    left = {one["id"] for one in listed(market.shop, CUSTOMER, first=100)["nodes"]}
    if caller in OF_OWNER:
        nothing, removed = (result_of(answer, "savedMethodRemove") for answer in answers)
        assert nothing["code"] == "NOT_FOUND"
        assert removed["savedMethod"]["id"] == saved
        assert saved not in left
        return
    assert saved in left
    if "customer" in caller:
        told = [result_of(answer, "savedMethodRemove") for answer in answers]
        assert told == [{"__typename": "NotFoundError", "code": "NOT_FOUND"}] * 2
    else:
        assert [codes(answer) for answer in answers] == [{"FORBIDDEN"}] * 2


def test_a_key_without_the_scope_removes_nothing(market: Market) -> None:
    shop, id = market.shop, market.shop.keep("dora")
    input = {"idempotencyKey": a_key(), "id": id}

    refused = shop.send(REMOVE, {"input": input}, key=shop.key_with("PAYMENTS_READ", "ADMIN"))
    removed = shop.send(REMOVE, {"input": input}, key=shop.key_with("PAYMENTS_WRITE"))

    assert codes(refused) == {"FORBIDDEN"}
    assert result_of(removed, "savedMethodRemove")["savedMethod"]["id"] == id


def test_a_method_is_kept_at_the_checkout_and_pays_the_next_order(market: Market) -> None:
    """What the guide for shops says, step by step."""
    shop = market.shop
    first = shop.pay(None, customerId="emil")
    input = {
        "idempotencyKey": a_key(),
        "clientSecret": first["clientSecret"],
        "method": {"token": "tok_success"},
        "saveMethod": True,
    }
    market.send(CONFIRM, "publishable key", OWN, input=input)
    (kept,) = listed(shop, "emil")["nodes"]

    second = shop.pay(None, customerId="emil", method={"savedMethodId": kept["id"]})
    details = shop.ask(
        "query($id: ID!) { payment(id: $id) { method { brand last4 fingerprint } } }",
        id=second["id"],
    )["payment"]["method"]

    assert second["status"] == "CAPTURED"
    assert (details["brand"], details["last4"]) == (kept["brand"], kept["last4"])


def test_which_saved_method_belongs_to_the_request(market: Market) -> None:
    shop, key = market.shop, a_key()
    first, second = shop.keep("gerda"), shop.keep("gerda")
    input = {
        "idempotencyKey": key,
        "amount": {"amountMinor": "1000", "currency": "EUR"},
        "customerId": "gerda",
    }
    paid = shop.do("paymentCreate", **input, method={"savedMethodId": first})

    again = shop.do("paymentCreate", **input, method={"savedMethodId": first})
    other = shop.do("paymentCreate", **input, method={"savedMethodId": second})

    assert (again["payment"]["id"], again["replayed"]) == (paid["payment"]["id"], True)
    assert other["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert other["differingPaths"] == ["method.savedMethodId"]


def test_the_token_of_a_saved_method_is_nowhere_to_be_read(market: Market) -> None:
    shop = market.shop
    shop.keep("fritz")
    pages = shop.send(BY_SERVER, {"c": "fritz"}).text + str(listed(shop, "fritz"))

    trail = shop.gateway.dump() + shop.gateway.log() + pages

    assert trail.count("saved_method") > 0, "the trail is being read"
    assert re.findall("saved_[0-9a-f]{24}", trail) == []


@pytest.mark.parametrize("caller", sorted(FOREIGN))
def test_another_tenants_callers_find_nothing(caller: str, market: Market) -> None:
    id = market.shop.keep(CUSTOMER)

    answer = market.send(LISTED, caller, THEIRS)

    assert id not in answer.text
