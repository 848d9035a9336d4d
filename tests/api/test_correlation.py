"""One correlation id from the shop's request to the ledger, the log and the provider."""

import json
import re

import pytest

from tests.api.gateway import MUTATIONS, Gateway, Json, Shop, a_key

pytestmark = pytest.mark.timeout(120)
EUR_10 = {"amountMinor": "1000", "currency": "EUR"}

PLACES = {
    "idempotency_key": "correlation_id",
    "payment": "correlation_id",
    "provider_operation": "correlation_id",
    "ledger_transaction": "correlation_id",
    "outbox": "headers ->> 'correlation_id'",
}


@pytest.fixture(scope="module")
def shop(gateway: Gateway) -> Shop:
    return gateway.shop(webhooks=False)


def pay(shop: Shop, **headers: str) -> tuple[str, Json]:
    """A payment; the correlation id its answer names."""
    input = {"idempotencyKey": a_key(), "amount": EUR_10, "method": {"token": "tok_success"}}
    answer = shop.send(MUTATIONS["paymentCreate"], {"input": input}, **headers)
    result: Json = answer.json()["data"]["paymentCreate"]
    assert result["payment"]["status"] == "CAPTURED"
    return answer.headers["x-correlation-id"], result["payment"]


def test_the_id_of_the_request_is_everywhere(shop: Shop) -> None:
    given = f"cart-17.{a_key()}"

    answered, _ = pay(shop, x_correlation_id=given)

    assert answered == given
    for table, column in PLACES.items():
        found = shop.rows(
            f"SELECT count(*) FROM {table} WHERE tenant_id = %s AND {column} = %s", given
        )
        assert found[0][0] >= 1, table
    requests = shop.gateway.simulator.client.get(
        "/_log", params={"kind": "requests", "limit": 1000}
    ).json()["data"]
    assert [one["path"] for one in requests if one["correlation_id"] == given] == ["/v1/payments"]
    lines = [json.loads(line) for line in shop.gateway.log().splitlines() if given in line]
    events = {line["event"] for line in lines if line["correlation_id"] == given}
    assert {"request", "provider_call"} <= events


def test_the_api_shows_it(shop: Shop) -> None:
    given = f"cart-18.{a_key()}"
    pay(shop, x_correlation_id=given)

    bad = shop.send("{ nothing }", x_correlation_id=given)
    refused = shop.send(
        MUTATIONS["paymentCreate"],
        {"input": {"idempotencyKey": a_key(), "amount": {"currency": "EUR"}}},
        x_correlation_id=given,
    )

    assert bad.json()["errors"][0]["extensions"]["correlationId"] == given
    assert refused.json()["data"]["paymentCreate"]["correlationId"] == given


def test_a_later_step_has_the_id_of_its_own_request(shop: Shop) -> None:
    first, payment = pay(shop, x_correlation_id=f"first-{a_key()}")
    input = {"idempotencyKey": a_key(), "paymentId": payment["id"], "amount": EUR_10}
    second = f"second-{a_key()}"
    shop.send(MUTATIONS["refundCreate"], {"input": input}, x_correlation_id=second)

    rows = shop.rows(
        "SELECT kind, correlation_id FROM provider_operation"
        " WHERE tenant_id = %s AND correlation_id IN (%s, %s) ORDER BY created_at",
        first,
        second,
    )

    assert rows == [("SALE", first), ("REFUND", second)]


@pytest.mark.parametrize(
    "wrong",
    ["short", "x" * 129, "with space here", "cf_test_secretsecretsecret", "4242424242424242"],
)
def test_an_id_that_is_none_is_replaced_and_not_written_anywhere(wrong: str, shop: Shop) -> None:
    answered, _ = pay(shop, x_correlation_id=wrong)

    assert answered != wrong
    assert re.fullmatch(r"[0-9a-f-]{36}", answered)
    assert not [line for line in shop.gateway.log().splitlines() if f'"{wrong}"' in line]


def test_the_trace_of_the_caller_will_do(shop: Shop) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    answered, _ = pay(shop, traceparent=f"00-{trace}-00f067aa0ba902b7-01")

    assert answered == trace
