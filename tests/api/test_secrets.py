"""Canaries: secrets are sent down every path that fails, and must turn up nowhere."""

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from core.identifiers import encode
from tests.api.gateway import FULL, STOREFRONT, Gateway, Json, Shop, a_key
from tests.api.sockets import a_socket
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)
SETTINGS = {"COUNTERFOIL_LOG_LEVEL": "debug"}

CONFIRM = """mutation($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
  __typename ... on Error { code message } ... on NotFoundError { id } } }"""


def canaries(gateway: Gateway, shop: Shop, client_secret: str) -> Mapping[str, str]:
    """Every secret there is, and its other spellings."""
    key = base64.b64decode(gateway.encryption_key)
    found = {
        "API key": shop.key,
        "API key in base64": base64.b64encode(shop.key.encode()).decode()[:40],
        "client secret": client_secret.partition("_secret_")[2],
        "encryption key": gateway.encryption_key,
        "encryption key in hex": key.hex(),
        "password of the database": str(urlsplit(gateway.app_url).password),
        "password of its owner": str(urlsplit(gateway.admin_url).password),
    }
    for account in shop.accounts:
        for name, secrets in account.secrets.items():
            found[f"{name} of {account.name}"] = secrets[0].partition("_")[2]
    assert all(len(secret) >= 20 for secret in found.values())
    return found


def assert_nowhere(gateway: Gateway, secrets: Mapping[str, str]) -> None:
    """Neither in the log nor in the database."""
    log, dump = gateway.log(), gateway.dump()
    assert len(log) > 1000, "there is a log to look at"
    assert "provider_account: " in dump, "there is a dump to look at"
    leaked = [
        f"{name} in the {place}"
        for name, secret in secrets.items()
        for place, text in (("log", log), ("database", dump))
        if secret in text
    ]
    assert leaked == []


def test_secrets_on_every_path_that_fails_turn_up_nowhere(gateway: Gateway) -> None:
    shop = gateway.shop()
    payment = shop.pay(confirm=False)
    secrets = canaries(gateway, shop, payment["clientSecret"])

    answers = [
        *wrong_credentials(shop, payment["clientSecret"]),
        *wrong_places(shop, payment["clientSecret"]),
        *wrong_webhooks(shop),
    ]
    told = [answer.text + str(answer.headers) for answer in answers]

    assert len(answers) > 50
    assert all(answer.status_code < 500 for answer in answers)
    assert [name for name, secret in secrets.items() for text in told if secret in text] == []
    assert_nowhere(gateway, secrets)


def wrong_credentials(shop: Shop, client_secret: str) -> Iterator[httpx.Response]:
    """Secrets where credentials belong, but not like this."""
    client = shop.gateway.client
    whole = {"query": "{ viewer { tenantId } }"}
    for secret in (shop.key, client_secret):
        for header in (secret, f"Basic {secret}", f"Bearer {secret}x", f"Bearer  {secret}"):
            for path in (FULL, STOREFRONT):
                yield client.post(path, json=whole, headers={"authorization": header})
        yield client.post(FULL, json=whole, headers={"x-api-key": secret})
        yield client.post(FULL, json=whole, headers={"cookie": f"key={secret}"})
        yield client.get(f"{FULL}?query={{viewer{{tenantId}}}}&key={quote(secret)}")
        yield client.post(f"{FULL}?authorization=Bearer%20{quote(secret)}", json=whole)
        yield client.get(f"/{quote(secret)}x"[:9])
        right = {"authorization": f"Bearer {secret}"}
        yield client.post(FULL, content=b"{", headers={**right, "content-type": "application/json"})
        yield client.post(FULL, content=b"x", headers={**right, "content-type": "text/plain"})
        yield client.post(FULL, json={"query": "{ nothing }"}, headers=right)
        yield client.post(FULL, json={"query": "{ payments { nodes { id } } "}, headers=right)
        yield client.put(FULL, json=whole, headers=right)
        yield client.post(FULL, json=whole, headers={**right, "x-correlation-id": secret})
        yield client.post(FULL, json=whole, headers={**right, "traceparent": secret})


def wrong_places(shop: Shop, client_secret: str) -> Iterator[httpx.Response]:
    """Client secrets as arguments: cut short, for another payment's id, too late."""
    see = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { id } }"
    wrong = [client_secret[:-1], client_secret + "a", client_secret.upper()]
    for secret in wrong:
        yield shop.send(see, {"s": secret})
        yield shop.send(see, {"s": secret}, path=STOREFRONT, key=None)
        for named in ({"clientSecret": secret}, {"paymentId": secret}):
            input = {"idempotencyKey": a_key(), "method": {"token": "tok_success"}, **named}
            yield shop.send(CONFIRM, {"input": input})
            yield shop.send(CONFIRM, {"input": input}, path=STOREFRONT, key=None)
    paid = {"idempotencyKey": a_key(), "method": {"token": "tok_success"}}
    yield shop.send(
        CONFIRM, {"input": {**paid, "clientSecret": client_secret}}, key=None, path=STOREFRONT
    )
    again = {**paid, "idempotencyKey": a_key(), "clientSecret": client_secret}
    yield shop.send(CONFIRM, {"input": again}, path=STOREFRONT, key=None)
    yield shop.send("{ node(id: 5) { id } }", {"secret": client_secret})


@pytest.mark.parametrize("path", [FULL, STOREFRONT])
def test_what_stands_in_the_url_of_a_socket_is_not_logged(path: str, gateway: Gateway) -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"
    asked = f"{path}?access_token={token}"

    with a_socket(gateway.base, asked):
        pass
    with (
        pytest.raises(InvalidStatus, match="403"),
        a_socket(gateway.base, asked, {"origin": "https://elsewhere.example"}),
    ):
        pass

    assert token not in gateway.log()


def wrong_webhooks(shop: Shop) -> Iterator[httpx.Response]:
    """Callbacks whose sender shows off the webhook secret and our own keys."""
    client = shop.gateway.client
    for account in shop.accounts:
        path = f"/webhooks/{encode('prv', account.id)}"
        for secret in (account.secrets["webhook_secret"][0], account.secrets["secret_key"][0]):
            yield client.post(path, content=secret, headers={"simulator-signature": secret})
            signature = {"simulator-signature": f"t=1,v1={secret}"}
            yield client.post(path, json={"id": secret}, headers=signature)
            yield client.post(path, json={}, headers={"authorization": f"Bearer {secret}"})
            yield client.post(f"{path}?secret={secret}", json={})
            yield client.post(f"/webhooks/{secret[:8]}", json={})


@contextmanager
def a_provider_that_echoes(status: int, *, html: bool) -> Iterator[str]:
    """Answers every call with the request's own headers in the body and in the headers."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            said = str(self.headers)
            body = (f"<html>{said}</html>" if html else _as_error(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if html else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-You-Said", self.headers.get("authorization", ""))
            self.send_header("Request-Id", self.headers.get("authorization", ""))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _as_error(said: str) -> str:
    import json  # noqa: PLC0415 - the only use

    problem = {"type": said, "code": said, "message": f"you sent {said}", "parameter": said}
    return json.dumps({"error": problem, "id": said, "reference": said, "status": said})


def move_providers(shop: Shop, base_url: str) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(
            "UPDATE provider_account SET base_url = $2 WHERE tenant_id = $1",
            shop.tenant_id,
            base_url,
        )

    shop.inside(work)


@pytest.mark.parametrize(
    ("status", "html"),
    [(201, False), (200, True), (400, False), (401, False), (402, False), (429, True), (500, True)],
)
def test_a_provider_that_tells_our_secrets_back_is_not_believed(
    status: int, html: bool, gateway: Gateway
) -> None:
    shop = gateway.shop(webhooks=False)
    prepared = shop.pay(confirm=False)
    secrets = canaries(gateway, shop, prepared["clientSecret"])

    with a_provider_that_echoes(status, html=html) as url:
        move_providers(shop, url)
        result = shop.do("paymentConfirm", paymentId=prepared["id"])
        shown: Json = shop.ask(
            """query($id: ID!) { payment(id: $id) { status attempts { operations {
                 status transcript evidence { note says } } } lastDecline { code } } }""",
            id=prepared["id"],
        )
        everything = str(result) + str(shown) + transcript_of(shop, prepared["id"])
        calls = gateway.rows(
            "SELECT count(*) FROM provider_call WHERE tenant_id = %s", shop.tenant_id
        )

    assert calls[0][0] >= 1, "the provider was asked"
    provider_secrets = {name: it for name, it in secrets.items() if name != "client secret"}
    assert [name for name, it in provider_secrets.items() if it in everything] == []
    assert_nowhere(gateway, secrets)


def transcript_of(shop: Shop, payment_id: str) -> str:
    document = """query($id: ID!) { payment(id: $id) {
      attempts { operations { transcript } } } }"""
    return shop.send(document, {"id": payment_id}).text


def test_the_stored_request_of_an_open_operation_is_sealed(gateway: Gateway) -> None:
    """While an outcome is unknown the request is kept for its replay, token and key with it."""
    shop = gateway.shop()
    token = "tok_timeout_before"
    payment = shop.pay(token, confirm=True)
    secrets = canaries(gateway, shop, payment["clientSecret"])

    stored = gateway.rows(
        "SELECT status FROM provider_operation WHERE tenant_id = %s", shop.tenant_id
    )
    dump = gateway.dump()

    assert stored[0][0] in {"UNKNOWN", "NOT_EXECUTED"}
    assert token not in dump, "a token is worth money"
    assert_nowhere(gateway, secrets)


def test_what_the_audit_log_tells_names_keys_and_not_their_secrets(gateway: Gateway) -> None:
    shop = gateway.shop(webhooks=False)
    key = shop.key_with("ADMIN")
    answer = shop.send("{ auditLog(first: 50) { nodes { actor action before after } } }")

    assert "key.issue" in answer.text
    assert key not in answer.text
    assert shop.key not in answer.text
    assert_nowhere(gateway, {"key": key})


def test_metrics_and_health_tell_no_secret(gateway: Gateway) -> None:
    shop = gateway.shop()
    payment = shop.pay()
    eventually(shop.effects)
    secrets = canaries(gateway, shop, payment["clientSecret"])

    told = "".join(gateway.client.get(path).text for path in ("/metrics", "/livez", "/readyz"))

    assert "counterfoil" in told
    assert [name for name, secret in secrets.items() if secret in told] == []
    assert payment["id"] not in told
