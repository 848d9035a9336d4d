"""What the browser of a customer who is logged in reads: their own payments and store credit."""

from typing import Any, Final

import pytest

from tests.api.gateway import STOREFRONT, Gateway, Json, Shop, a_key, assert_typed

pytestmark = pytest.mark.timeout(120)

MINE: Final = """query($first: Int, $after: String) { customer {
  id
  payments(first: $first, after: $after) {
    totalCount nodes { id status amount { decimal } } pageInfo { hasNextPage endCursor } }
  wallets { currency balance { decimal } available { decimal }
    entries(first: 50) { nodes {
      id kind amount { amountMinor } runningBalance { amountMinor } postedAt payment { id } } } }
} }"""
CREATE: Final = """mutation($input: CustomerTokenCreateInput!) {
  customerTokenCreate(input: $input) { __typename ... on CustomerTokenPayload { token expiresAt }
  ... on ValidationError { code fields { path code } } } }"""


@pytest.fixture(scope="module")
def own(gateway: Gateway) -> Shop:
    return gateway.shop(webhooks=False)


def see(shop: Shop, token: str, **variables: Any) -> Json:
    answer = shop.send(MINE, variables, path=STOREFRONT, key=token)
    assert assert_typed(answer) == []
    found: Json = answer.json()["data"]["customer"]
    return found


def spend(shop: Shop, customer: str, granted: int, spent: int) -> tuple[str, Json]:
    """Store credit given, and a part of it spent on a payment."""
    wallet = shop.grant(f"customer:{customer}:wallet", granted)
    credit = {"accountId": wallet, "amount": {"amountMinor": str(spent), "currency": "EUR"}}
    return wallet, shop.pay(amount=1000, customerId=customer, storeCredit=credit)


def test_a_customer_sees_their_own_payments_and_nobody_elses(own: Shop) -> None:
    mine = [own.pay(customerId="anna")["id"] for _ in range(3)]
    own.pay(customerId="anna:x")
    own.pay(customerId="bert")
    own.pay()
    token = own.customer_token("anna")

    first = see(own, token, first=2)["payments"]
    rest = see(own, token, first=2, after=first["pageInfo"]["endCursor"])["payments"]

    assert first["totalCount"] == 3
    assert [one["id"] for one in (*first["nodes"], *rest["nodes"])] == mine[::-1]
    assert not rest["pageInfo"]["hasNextPage"]
    assert see(own, own.customer_token("nobody yet"))["payments"]["nodes"] == []


def test_a_customer_sees_their_store_credit_and_how_it_came_to_be(own: Shop) -> None:
    _, payment = spend(own, "carla", granted=500, spent=200)
    spend(own, "dora", granted=700, spent=100)

    (wallet,) = see(own, own.customer_token("carla"))["wallets"]

    entries = wallet["entries"]["nodes"]
    assert wallet["currency"] == "EUR"
    assert (wallet["balance"]["decimal"], wallet["available"]["decimal"]) == ("3.00", "3.00")
    told = [
        (one["kind"], one["amount"]["amountMinor"], one["runningBalance"]["amountMinor"])
        for one in entries
    ]
    assert told[-1] == ("store_credit_grant", "500", "500")
    assert (told[0][1], told[0][2]) == ("-200", "300")
    assert sum(int(one["amount"]["amountMinor"]) for one in entries) == 300
    assert entries[0]["payment"] == {"id": payment["id"]}
    assert entries[-1]["payment"] is None


def test_an_entry_does_not_show_a_payment_of_somebody_else(own: Shop) -> None:
    """The shop spent a customer's credit on a payment that it made for another one."""
    wallet = own.grant("customer:emil:wallet", 500)
    credit = {"accountId": wallet, "amount": {"amountMinor": "100", "currency": "EUR"}}
    own.pay(customerId="fritz", storeCredit=credit)

    (found,) = see(own, own.customer_token("emil"))["wallets"]

    assert [one["payment"] for one in found["entries"]["nodes"]] == [None, None]


def test_the_same_customer_at_another_tenant_is_somebody_else(gateway: Gateway) -> None:
    first, second = gateway.shop(webhooks=False), gateway.shop(webhooks=False)
    spend(first, "same", granted=500, spent=100)

    found = see(second, second.customer_token("same"))

    assert found["payments"]["nodes"] == []
    assert found["wallets"] == []


@pytest.mark.parametrize(
    "selection",
    [
        "customerId",
        "metadata { key }",
        "clientSecret",
        "attempts { id }",
        "transactions { nodes { id } }",
    ],
)
def test_a_customer_sees_no_more_of_a_payment_than_any_page(own: Shop, selection: str) -> None:
    document = f"{{ customer {{ payments {{ nodes {{ {selection} }} }} }} }}"

    answer = own.send(document, path=STOREFRONT, key=own.customer_token("anna"))

    (error,) = assert_typed(answer)
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


def test_a_customer_confirms_nothing_without_its_secret(own: Shop) -> None:
    prepared = own.pay(confirm=False, customerId="anna")
    document = """mutation($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
      __typename } }"""
    input = {
        "idempotencyKey": a_key(),
        "paymentId": prepared["id"],
        "method": {"token": "tok_success"},
    }

    answer = own.send(document, {"input": input}, path=STOREFRONT, key=own.customer_token("anna"))

    assert {error["extensions"]["code"] for error in assert_typed(answer)} == {"FORBIDDEN"}


def test_a_server_is_no_customer(own: Shop) -> None:
    assert own.ask("{ customer { id } }") == {"customer": None}


@pytest.mark.parametrize(
    ("input", "path"),
    [
        ({"customerId": ""}, "customerId"),
        ({"customerId": "x" * 256}, "customerId"),
        ({"customerId": "4242424242424242"}, "customerId"),
        ({"customerId": "anna", "expiresInSeconds": 59}, "expiresInSeconds"),
        ({"customerId": "anna", "expiresInSeconds": 3601}, "expiresInSeconds"),
        ({"customerId": "anna", "expiresInSeconds": -1}, "expiresInSeconds"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(own: Shop, input: Json, path: str) -> None:
    before = own.gateway.state()

    refused = own.ask(CREATE, input=input)["customerTokenCreate"]

    assert refused["__typename"] == "ValidationError"
    assert [each["path"] for each in refused["fields"]] == [["input", path]]
    assert own.gateway.state() == before


def test_a_token_is_made_by_a_server_that_may_write_payments(own: Shop) -> None:
    variables = {"input": {"customerId": "anna", "expiresInSeconds": 60}}

    refused = own.send(CREATE, variables, key=own.key_with("PAYMENTS_READ", "ADMIN"))
    made = own.send(CREATE, variables, key=own.key_with("PAYMENTS_WRITE"))

    assert {error["extensions"]["code"] for error in assert_typed(refused)} == {"FORBIDDEN"}
    token = made.json()["data"]["customerTokenCreate"]
    assert token["token"].startswith("cf_cus_")
    left = own.rows(
        "SELECT extract(epoch FROM max(expires_at) - clock_timestamp()) FROM customer_token"
        " WHERE tenant_id = %s AND created_by LIKE 'key:key_%%' AND customer_id = 'anna'"
        " AND expires_at < clock_timestamp() + INTERVAL '70 s'"
    )[0][0]
    assert 0 < left <= 60
