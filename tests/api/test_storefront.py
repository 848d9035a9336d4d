"""A shop in a browser: whose pages may ask, with what, and what each kind of caller is shown.

The matrix asks every root field of the browser's view as every kind of caller, from a page of its
own shop, of another tenant's shop, of nobody's, and from no page at all.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from core.crypto import Vault
from core.identifiers import decode
from payments import return_token
from schema.error_catalogue import docs_of
from tests.api.gateway import FULL, STOREFRONT, Gateway, Json, Shop, a_key, assert_typed
from tests.api.reaching import storefront_fields
from tests.api.sockets import Closed, a_socket

pytestmark = pytest.mark.timeout(120)

OWN: Final = "https://shop.example"
THEIRS: Final = "https://other.example"
NOBODYS: Final = "https://evil.example"
REFUSED: Final = "ORIGIN_NOT_ALLOWED"
CUSTOMER: Final = "customer-7"
EXPIRED: Final = "customer-9"
"""Whose token is no longer good."""

BY_SECRET: Final = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { id } }"
CONFIRM: Final = """mutation($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
  __typename ... on PaymentPayload { payment { id } } ... on Error { code } } }"""
REMOVE: Final = """mutation($input: SavedMethodRemoveInput!) { savedMethodRemove(input: $input) {
  __typename ... on SavedMethodPayload { savedMethod { id removedAt } } ... on Error { code } } }"""
WHO: Final = "{ customer { id } }"
OPTIONS: Final = """{ checkoutOptions(amount: {decimal: "10", currency: "EUR"}) {
  method providerName adapter portable clientConfiguration } }"""
WATCH: Final = "subscription($s: String!) { paymentChangedByClientSecret(clientSecret: $s) { id } }"
ASKED: Final = {
    "Query.paymentByClientSecret": BY_SECRET,
    "Query.customer": WHO,
    "Query.checkoutOptions": OPTIONS,
    "Mutation.paymentConfirm": CONFIRM,
    "Mutation.savedMethodRemove": REMOVE,
    "Subscription.paymentChangedByClientSecret": WATCH,
}


@dataclass
class Market:
    """Two tenants with a page each, and something of every kind."""

    shop: Shop
    other: Shop
    payment: Json
    callers: Mapping[str, str | None] = field(default_factory=dict)

    def send(
        self, document: str, caller: str, origin: str | None, **variables: Any
    ) -> httpx.Response:
        key = self.callers[caller]
        named = {} if origin is None else {"origin": origin}
        return self.shop.send(document, variables, path=STOREFRONT, key=key, **named)


@pytest.fixture(scope="module")
def market(gateway: Gateway) -> Market:
    return open_market(gateway)


def open_market(gateway: Gateway) -> Market:
    shop, other = gateway.shop(webhooks=False), gateway.shop(webhooks=False)
    shop.allow(OWN)
    other.allow(THEIRS)
    payment = shop.pay(confirm=False, customerId=CUSTOMER)
    callers = {
        "nobody": None,
        "publishable key": shop.publishable_key(),
        "client secret": payment["clientSecret"],
        "customer token": shop.customer_token(CUSTOMER),
        "another customer's token": shop.customer_token("customer-8"),
        "another tenant's publishable key": other.publishable_key(),
        "another tenant's client secret": other.pay(confirm=False)["clientSecret"],
        "another tenant's customer token": other.customer_token(CUSTOMER),
        "expired customer token": shop.customer_token(EXPIRED),
        "unknown": "cf_cus_" + "A" * 40,
    }
    # Last of all: whoever makes another one deletes those that are expired.
    gateway.admin.execute(
        "UPDATE customer_token SET expires_at = clock_timestamp() WHERE customer_id = %s", [EXPIRED]
    )
    return Market(shop, other, payment, callers)


def codes(answer: httpx.Response) -> set[str]:
    return {error["extensions"]["code"] for error in assert_typed(answer)}


# ---- CORS


def preflight(gateway: Gateway, origin: str | None, path: str = STOREFRONT) -> httpx.Response:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key",
    }
    headers = asked if origin is None else {**asked, "origin": origin}
    return gateway.client.options(path, headers=headers)


@pytest.mark.parametrize("origin", [OWN, THEIRS])
def test_a_preflight_is_answered_when_some_tenant_allows_the_origin(
    market: Market, origin: str
) -> None:
    answer = preflight(market.shop.gateway, origin)

    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == origin
    assert "origin" in answer.headers["vary"]
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert set(answer.headers["access-control-allow-headers"].split(", ")) == {
        "authorization",
        "content-type",
        "idempotency-key",
        "x-correlation-id",
        "traceparent",
    }
    assert 0 < int(answer.headers["access-control-max-age"]) <= 3600
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        NOBODYS,
        "null",
        "",
        "*",
        "http://shop.example",
        "https://shop.example.evil.example",
        "https://shop.example:8443",
        "https://SHOP.example",
        f"{OWN}, {OWN}",
    ],
)
def test_another_origin_is_allowed_nothing(market: Market, origin: str) -> None:
    gateway = market.shop.gateway
    before = gateway.state()

    asked = [
        preflight(gateway, origin),
        market.send(BY_SECRET, "client secret", origin, s=market.callers["client secret"]),
        market.send(CONFIRM, "nobody", origin, input=confirmation(market)),
        gateway.client.get(STOREFRONT, params={"query": WHO}, headers={"origin": origin}),
    ]

    for answer in asked:
        assert answer.status_code == 403
        assert codes(answer) == {REFUSED}
        assert answer.json()["errors"][0]["extensions"]["docs"] == docs_of(REFUSED)
        assert "access-control-allow-origin" not in answer.headers
        assert "origin" in answer.headers["vary"].lower()
    assert gateway.state() == before


def test_an_allowed_page_may_read_the_answer_and_the_headers_it_needs(market: Market) -> None:
    answer = market.send(OPTIONS, "publishable key", OWN)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == OWN
    assert answer.headers["access-control-expose-headers"] == "x-correlation-id, retry-after"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert {"origin", "accept"} <= {part.strip() for part in answer.headers["vary"].split(",")}


def test_every_answer_says_that_it_differs_by_origin(market: Market) -> None:
    for answer in (
        market.send(BY_SECRET, "nobody", None, s="nothing"),
        market.send(BY_SECRET, "unknown", OWN, s="nothing"),
        market.shop.gateway.client.options(STOREFRONT),
    ):
        assert "origin" in answer.headers["vary"]


def test_a_server_needs_no_origin_and_our_own_page_is_no_stranger(market: Market) -> None:
    base = market.shop.gateway.base

    for origin in (None, base):
        answer = market.send(BY_SECRET, "client secret", origin, s=market.payment["clientSecret"])
        assert answer.json()["data"]["paymentByClientSecret"]["id"] == market.payment["id"]
        assert "access-control-allow-origin" not in answer.headers


def test_servers_are_asked_by_servers_only(market: Market) -> None:
    """No page of another origin is allowed to read /graphql, an allowed shop's neither."""
    gateway = market.shop.gateway

    asked = preflight(gateway, OWN, FULL)
    answer = market.shop.send("{ viewer { live } }", origin=OWN)

    assert asked.status_code == 405
    for each in (asked, answer):
        assert not [name for name in each.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_an_origin_that_was_removed_is_refused_at_once(gateway: Gateway) -> None:
    shop = gateway.shop(webhooks=False)
    origin = shop.allow(f"https://{shop.name}.example")
    key = shop.publishable_key()

    before = shop.send(OPTIONS, path=STOREFRONT, key=key, origin=origin)
    shop.rows("DELETE FROM allowed_origin WHERE tenant_id = %s RETURNING 1")
    after = shop.send(OPTIONS, path=STOREFRONT, key=key, origin=origin)

    assert not codes(before)
    assert after.status_code == 403


# ---- sockets


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        (STOREFRONT, NOBODYS, 403),
        (STOREFRONT, "null", 403),
        (STOREFRONT, OWN, None),
        (STOREFRONT, "own page", None),
        (FULL, NOBODYS, 403),
        (FULL, "null", 403),
        (FULL, OWN, 403),
        (FULL, "own page", None),
    ],
)
def test_a_socket_opens_to_pages_that_may_ask(
    market: Market, path: str, origin: str, status: int | None
) -> None:
    base = market.shop.gateway.base
    headers = {"origin": base if origin == "own page" else origin}

    if status is None:
        with a_socket(base, path, headers) as opened:
            opened.init(market.payment["clientSecret"])
    else:
        with pytest.raises(InvalidStatus) as refused, a_socket(base, path, headers):
            pytest.fail("it was accepted")
        assert refused.value.response.status_code == status


def test_a_socket_from_another_tenants_page_is_shown_out(market: Market) -> None:
    base = market.shop.gateway.base

    with a_socket(base, STOREFRONT, {"origin": THEIRS}) as opened:
        with pytest.raises(Closed) as closed:
            opened.init(market.payment["clientSecret"])
        assert closed.value.code == 4403
    with a_socket(base, STOREFRONT, {"origin": THEIRS}) as opened:
        opened.init()
        refused = opened.refusal(WATCH, s=market.payment["clientSecret"])
        assert refused["extensions"]["code"] == REFUSED


# ---- the matrix


def state(market: Market) -> Json:
    """Of everything but when a key was last used."""
    return {**market.shop.gateway.state(), "api_key": None}


def confirmation(market: Market) -> Json:
    """Of the payment everybody knows the secret of; only for callers who are refused."""
    return {
        "idempotencyKey": a_key(),
        "clientSecret": market.payment["clientSecret"],
        "method": {"token": "tok_success"},
    }


ALL: Final = (
    "nobody",
    "publishable key",
    "client secret",
    "customer token",
    "another customer's token",
    "another tenant's publishable key",
    "another tenant's client secret",
    "another tenant's customer token",
    "expired customer token",
    "unknown",
)
FOREIGN: Final = tuple(name for name in ALL if name.startswith("another tenant's"))
WRONG: Final = ("expired customer token", "unknown")
PAGES: Final = (OWN, THEIRS, NOBODYS, None)


def refusal(caller: str, origin: str | None) -> tuple[int, str] | None:
    """How a caller is refused before anything is asked; None if it is let in."""
    if origin == NOBODYS:
        return 403, REFUSED
    if caller in WRONG:
        return 401, "UNAUTHENTICATED"
    if origin is None:
        return (403, REFUSED) if "publishable" in caller else None
    known = caller != "nobody"
    at_home = (origin == THEIRS) == (caller in FOREIGN)
    return (403, REFUSED) if known and not at_home else None


MATRIX: Final = [
    pytest.param(caller, origin, id=f"{caller} from {origin}") for caller in ALL for origin in PAGES
]


def test_the_matrix_asks_every_field_a_browser_has() -> None:
    roots = {"Query", "Mutation", "Subscription"}

    assert {name for name in storefront_fields() if name.partition(".")[0] in roots} == set(ASKED)


@pytest.mark.parametrize(("caller", "origin"), MATRIX)
def test_who_is_refused_is_refused_whatever_is_asked(
    caller: str, origin: str | None, market: Market
) -> None:
    expected = refusal(caller, origin)
    if expected is None:
        assert market.send("{ __typename }", caller, origin).status_code == 200
        return
    status, code = expected
    before = state(market)

    for document in ("{ __typename }", "nonsense {", WHO, OPTIONS):
        answer = market.send(document, caller, origin)
        assert (answer.status_code, codes(answer)) == (status, {code}), document
    removal = {"idempotencyKey": a_key(), "id": "sm_01h2xcejqtf2nbrexx3vqjhp41"}
    for document, input in ((CONFIRM, confirmation(market)), (REMOVE, removal)):
        answer = market.send(document, caller, origin, input=input)
        assert (answer.status_code, codes(answer)) == (status, {code})
    assert state(market) == before


ADMITTED: Final = [
    pytest.param(caller, origin, id=f"{caller} from {origin}")
    for caller in ALL
    for origin in PAGES
    if refusal(caller, origin) is None
]


@pytest.mark.parametrize(("caller", "origin"), ADMITTED)
def test_each_caller_is_shown_its_own_and_nothing_else(
    caller: str, origin: str | None, market: Market
) -> None:
    whose = {"customer token": CUSTOMER, "another customer's token": "customer-8"}
    whose["another tenant's customer token"] = CUSTOMER
    secret = market.payment["clientSecret"]

    seen = market.send(BY_SECRET, caller, origin, s=secret)
    who = market.send(WHO, caller, origin).json()["data"]["customer"]
    options = market.send(OPTIONS, caller, origin)

    if caller == "nobody" and origin == THEIRS:
        assert codes(seen) == {REFUSED}
    else:
        is_mine = {"id": market.payment["id"]} if caller not in FOREIGN else None
        assert seen.json()["data"]["paymentByClientSecret"] == is_mine
    assert who == ({"id": whose[caller]} if caller in whose else None)
    if caller == "nobody":
        assert codes(options) == {"UNAUTHENTICATED"}
        assert options.json()["data"] is None
    else:
        assert [one["method"] for one in options.json()["data"]["checkoutOptions"]] == ["card"] * 2


@pytest.mark.parametrize(("caller", "origin"), ADMITTED)
def test_a_payment_is_confirmed_with_its_secret_from_a_page_of_its_tenant(
    caller: str, origin: str | None, market: Market
) -> None:
    own = market.shop.pay(confirm=False)
    input = {**confirmation(market), "clientSecret": own["clientSecret"]}

    answer = market.send(CONFIRM, caller, origin, input=input)

    made = (answer.json().get("data") or {}).get("paymentConfirm") or {}
    attempts = market.shop.rows(
        "SELECT count(*) FROM payment_attempt WHERE tenant_id = %s AND payment_id ="
        " (SELECT id FROM payment ORDER BY created_at DESC LIMIT 1)"
    )[0][0]
    if caller == "nobody" and origin == THEIRS:
        assert codes(answer) == {REFUSED}
        assert attempts == 0
    elif caller in FOREIGN or caller == "client secret":
        assert made["code"] == "NOT_FOUND"
        assert attempts == 0
    else:
        assert made["payment"]["id"] == own["id"]
        assert attempts == 1


@pytest.mark.parametrize("caller", ["nobody", "publishable key", "customer token", "unknown"])
def test_what_a_browser_holds_is_worth_nothing_among_servers(caller: str, market: Market) -> None:
    """One answer for all of them: the one an unknown key gets."""
    key = market.callers[caller]

    answer = market.shop.send("{ viewer { live } }", key=key)

    error = assert_typed(answer)[0]
    assert answer.status_code == 401
    assert error["message"] == "A valid API key is required."
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


def test_nothing_a_browser_holds_is_logged(market: Market) -> None:
    log = market.shop.gateway.log()

    for name, secret in market.callers.items():
        assert secret is None or secret not in log, name


# ---- ways to pay


def test_a_page_is_told_how_to_reach_each_provider_in_the_order_of_routing(market: Market) -> None:
    answer = market.send(OPTIONS, "publishable key", OWN)

    options = answer.json()["data"]["checkoutOptions"]
    assert [one["providerName"] for one in options] == ["simulator-a", "simulator-b"]
    for one in options:
        assert one["adapter"] == "simulator"
        assert one["portable"]
        assert "tok_success" in one["clientConfiguration"]["testTokens"]
    for account in market.shop.accounts:
        for values in account.secrets.values():
            assert not [each for each in values if each in json.dumps(options)]


@pytest.mark.parametrize(
    "arguments",
    [
        'amount: {decimal: "0", currency: "EUR"}',
        'amount: {decimal: "1", amountMinor: 100, currency: "EUR"}',
        'amount: {decimal: "1", currency: "XXX"}',
        'amount: {decimal: "1", currency: "EUR"}, country: "Germany"',
        'amount: {decimal: "1", currency: "EUR"}, country: "de"',
    ],
)
def test_ways_to_pay_what_cannot_be_paid_are_refused(market: Market, arguments: str) -> None:
    document = f"{{ checkoutOptions({arguments}) {{ method }} }}"

    answer = market.send(document, "publishable key", OWN)

    assert codes(answer) == {"VALIDATION"}, answer.text


# ---- the way back


def test_the_way_back_is_served_and_its_proof_is_not_logged(market: Market) -> None:
    gateway = market.shop.gateway
    vault = Vault(base64.b64decode(gateway.encryption_key))
    token = return_token(vault, decode("pay", market.payment["id"]))

    own = gateway.client.get(f"/return/{token}")
    wrong = gateway.client.post(f"/return/{token[:-1]}", data={"status": "ok"})

    assert (own.status_code, wrong.status_code) == (200, 404)
    assert own.headers["content-security-policy"].startswith("default-src 'none'")
    assert own.headers["referrer-policy"] == "no-referrer"
    assert '"path":"/return/…"' in gateway.log().replace('": "', '":"')
    assert token[:-1] not in gateway.log()
