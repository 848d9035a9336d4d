"""A payment is one trace, from the request to what its callback posts; no span tells secrets."""

import secrets as random_secrets
from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.api.collector import Collector, Seen, collecting
from tests.api.gateway import MUTATIONS, Gateway, Shop, a_key
from tests.api.test_secrets import canaries, wrong_credentials, wrong_places, wrong_webhooks
from tests.ports import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)
PORT = free_port()
SETTINGS = {
    "COUNTERFOIL_OTLP_ENDPOINT": f"http://127.0.0.1:{PORT}",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
}
CARD = "4242424242424242"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting(PORT) as running:
        yield running


def pay(shop: Shop, token: str, **headers: str) -> str:
    """The correlation id of a payment."""
    input = {
        "idempotencyKey": a_key(),
        "amount": {"amountMinor": "1000", "currency": "EUR"},
        "method": {"token": token},
    }
    answer = shop.send(MUTATIONS["paymentCreate"], {"input": input}, **headers)
    assert answer.json()["data"]["paymentCreate"]["__typename"] == "PaymentPayload", answer.text
    return answer.headers["x-correlation-id"]


def written(collector: Collector, trace: str, stage: str) -> list[Seen]:
    found = collector.named("payment.write", trace)
    return [span for span in found if span.attributes["stage"] == stage]


def test_a_payment_is_one_trace_from_the_request_to_what_the_callback_posts(
    collector: Collector, gateway: Gateway
) -> None:
    shop = gateway.shop()
    trace = random_secrets.token_hex(16)

    told = pay(shop, "tok_pending", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    eventually(lambda: any("sale" in w.attributes["recipes"] for w in posted(collector, trace)))
    eventually(lambda: collector.named("POST /graphql", trace))

    assert told == trace, "the caller's trace is the correlation id"
    [request] = collector.named("POST /graphql", trace)
    assert request.parent == "00f067aa0ba902b7"
    assert request.attributes["graphql.operation"] == "M"
    assert request.attributes["graphql.outcome"] == "OK"
    assert request.attributes["graphql.cost"] > 0
    by_id = {span.id: span for span in collector.spans if span.trace == trace}
    [call] = [s for s in collector.named("provider_call", trace) if s.attributes["status"] == 201]
    assert call.attributes["outcome"] == "answered"
    assert call.attributes["effect"] == "money"
    assert by_id[call.parent] == request
    [begun] = written(collector, trace, "create")
    unit_of_work = by_id[begun.parent]
    assert (unit_of_work.name, unit_of_work.parent) == ("unit_of_work", request.id)
    assert unit_of_work.attributes["committed"] is True
    assert request.attributes["http.route"] == "/graphql"
    assert request.attributes["http.response.status_code"] == 200


def posted(collector: Collector, trace: str) -> list[Seen]:
    """What was written because of a callback: linked to the processing of it."""
    processed = {span.trace for span in collector.spans if span.name == "webhook.process"}
    return [span for span in collector.named("payment.write", trace) if processed & set(span.links)]


def test_a_callback_is_received_and_processed_in_one_trace(
    collector: Collector, gateway: Gateway
) -> None:
    shop = gateway.shop()
    pay(shop, "tok_success")
    gateway.settle()

    def traces(name: str) -> set[str]:
        return {span.trace for span in list(collector.spans) if span.name == name}

    eventually(lambda: traces("webhook.process"))
    eventually(lambda: traces("webhook.process") <= traces("POST /webhooks/{account}"))
    eventually(lambda: traces("sequencer.pass"))


def test_a_lookup_of_the_worker_is_in_the_trace_of_the_payment(
    collector: Collector, gateway: Gateway
) -> None:
    shop = gateway.shop(webhooks=False)

    trace = UUID(pay(shop, "tok_timeout_after")).hex
    eventually(lambda: collector.named("operation.advance", trace))

    calls = collector.named("provider_call", trace)
    assert "connection_lost" in {call.attributes["outcome"] for call in calls}
    advanced = {span.id for span in collector.named("operation.advance", trace)}
    assert any(call.parent in advanced for call in calls)


def test_secrets_and_card_numbers_turn_up_in_no_span(
    collector: Collector, gateway: Gateway
) -> None:
    shop = gateway.shop()
    payment = shop.pay(confirm=False)
    found = canaries(gateway, shop, payment["clientSecret"])
    pay(shop, "tok_success")
    last = random_secrets.token_hex(16)

    answers = [
        *wrong_credentials(shop, payment["clientSecret"]),
        *wrong_places(shop, payment["clientSecret"]),
        *wrong_webhooks(shop),
        shop.send(f"query Q{CARD} {{ viewer {{ tenantId }} }}"),
        shop.send("{ viewer { tenantId } }", x_correlation_id=f"order-{CARD}"),
        gateway.client.get(f"/{CARD}?card={CARD}"),
        shop.send("query($p: String!) { account(path: $p) { id } }", {"p": CARD}),
        gateway.client.get("/livez", headers={"traceparent": f"00-{last}-00f067aa0ba902b7-01"}),
    ]
    eventually(lambda: collector.named("GET /livez", last))  # spans arrive in the order they end

    text = collector.raw.decode("latin-1")
    assert len(answers) > 50
    assert [name for name, secret in found.items() if secret in text] == []
    assert CARD not in text
    assert "tok_" not in text
