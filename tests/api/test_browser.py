"""A shop's page in a real browser, from another origin than the gateway's."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, async_playwright

from tests.api.gateway import Gateway, Shop
from tests.chromium import CHROMIUM, FLAGS, needs_chromium

pytestmark = [
    pytest.mark.timeout(120),
    needs_chromium,
]

ASK: Final = """async ([url, key, query, variables]) => {
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "idempotency-key": variables?.input?.idempotencyKey ?? "none",
      ...(key ? { authorization: "Bearer " + key } : {}),
    },
    body: JSON.stringify({ query, variables }),
  });
  return {
    status: answer.status, correlationId: answer.headers.get("x-correlation-id"),
    body: await answer.json(),
  };
}"""
WATCH: Final = """([url, secret]) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, "graphql-transport-ws");
  socket.onerror = () => reject(new Error("refused"));
  socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init" }));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "connection_ack") socket.send(JSON.stringify({
      id: "1", type: "subscribe", payload: {
        query: `subscription($s: String!) {
          paymentChangedByClientSecret(clientSecret: $s) { status } }`,
        variables: { s: secret } } }));
    else { resolve(message); socket.close(); }
  };
})"""
OPTIONS: Final = """{ checkoutOptions(amount: { decimal: "10", currency: "EUR" }) {
  providerName clientConfiguration } }"""
CONFIRM: Final = """mutation($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
  __typename ... on PaymentPayload { payment { id status nextAction { url } } } } }"""
STATUS: Final = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { status } }"


@contextmanager
def a_site() -> Iterator[str]:
    """A web site with one empty page at every address; its origin."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A shop</title>")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield await browser.new_page()
        await browser.close()


@pytest.fixture
def shop(gateway: Gateway) -> Shop:
    return gateway.shop(webhooks=False)


@pytest.fixture
def site(shop: Shop) -> Iterator[str]:
    """The shop's own."""
    with a_site() as origin:
        yield shop.allow(origin)


@pytest.fixture
def key(shop: Shop) -> str:
    """What its pages carry."""
    return shop.publishable_key()


async def test_a_shop_in_a_browser_from_its_ways_to_pay_to_its_thanks(
    shop: Shop, site: str, key: str, page: Page
) -> None:
    view = f"{shop.gateway.base}/storefront/graphql"
    secret = shop.pay(None, confirm=False)["clientSecret"]
    await page.goto(f"{site}/checkout")

    options = await page.evaluate(ASK, [view, key, OPTIONS, None])
    (token, *_) = options["body"]["data"]["checkoutOptions"][0]["clientConfiguration"]["testTokens"]
    watched = await page.evaluate(WATCH, [view.replace("http", "ws", 1), secret])
    input = {
        "idempotencyKey": "a-key-of-this-page",
        "clientSecret": secret,
        "method": {"token": "tok_requires_action"},
        "returnUrl": f"{site}/thanks?order=7",
    }
    confirmed = await page.evaluate(ASK, [view, None, CONFIRM, {"input": input}])
    payment = confirmed["body"]["data"]["paymentConfirm"]["payment"]
    await page.goto(payment["nextAction"]["url"])
    await page.get_by_role("button", name="Approve").click()
    await page.wait_for_url(f"{site}/thanks**")
    shown = parse_qs(urlsplit(page.url).query)
    told = await page.evaluate(ASK, [view, secret, STATUS, {"s": secret}])

    assert token == "tok_success"
    assert options["correlationId"]
    assert watched["payload"]["data"]["paymentChangedByClientSecret"]["status"].startswith("REQ")
    assert shown == {
        "order": ["7"],
        "payment_id": [payment["id"]],
        "payment_status": ["CAPTURED"],
    }
    assert told["body"]["data"]["paymentByClientSecret"]["status"] == "CAPTURED"


def tried(script: str) -> str:
    """The script, or what it failed with."""
    caught = "catch (error) { return String(error) }"
    return f"async given => {{ try {{ return await ({script})(given) }} {caught} }}"


async def test_another_page_reads_nothing_and_opens_no_socket(shop: Shop, page: Page) -> None:
    view = f"{shop.gateway.base}/storefront/graphql"
    secret = shop.pay(None, confirm=False)["clientSecret"]
    with a_site() as site:
        await page.goto(site)

        asked = await page.evaluate(tried(ASK), [view, secret, STATUS, {"s": secret}])
        full = f"{shop.gateway.base}/graphql"
        on_full = await page.evaluate(tried(ASK), [full, shop.key, "{ viewer { live } }", None])
        watched = await page.evaluate(tried(WATCH), [view.replace("http", "ws", 1), secret])

    assert asked == on_full == "TypeError: Failed to fetch"
    assert watched == "Error: refused"
