"""JWTs of an identity provider as credentials, over HTTP and WebSocket."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest

from core.identifiers import encode
from tests.api.gateway import FULL, STOREFRONT, Gateway, Shop, a_gateway, a_key, assert_typed
from tests.api.inputs import EUR_10
from tests.api.sockets import Closed, a_socket
from tests.tenants.signing import AUDIENCE, ISSUER, Signer, good_claims, key_set
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

SIGNER: Final = Signer.new("key-1", "EdDSA")
VIEWER: Final = "{ viewer { tenantId keyId live scopes } }"
WATCH: Final = "subscription($id: ID!) { paymentChanged(paymentId: $id) { status } }"


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, admin_url: str
) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    keys = folder / "keys.json"
    keys.write_bytes(key_set(SIGNER.published()))
    settings = {
        "COUNTERFOIL_OIDC_ISSUER": ISSUER,
        "COUNTERFOIL_OIDC_AUDIENCE": AUDIENCE,
        "COUNTERFOIL_OIDC_JWKS_FILE": str(keys),
    }
    with a_gateway(folder, database_url, admin_url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def shop(gateway: Gateway) -> Shop:
    return gateway.shop(webhooks=False)


def token(shop: Shop, **changes: Any) -> str:
    return SIGNER.sign(good_claims(time.time(), **{"tenant": shop.name, **changes}))


def ask(shop: Shop, token: str, document: str = VIEWER, path: str = FULL) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return shop.gateway.client.post(path, json={"query": document}, headers=headers)


def test_a_token_opens_its_tenant_with_its_scopes(shop: Shop, admin_url: str) -> None:
    answer = ask(shop, token(shop, scope="openid PAYMENTS_READ", sub="auth0|7"))

    with psycopg.connect(admin_url) as admin:
        row = admin.execute("SELECT public_id FROM tenant WHERE name = %s", [shop.name]).fetchone()
    assert row is not None
    assert answer.json()["data"]["viewer"] == {
        "tenantId": encode("ten", row[0]),
        "keyId": "jwt:auth0|7",
        "live": False,
        "scopes": ["PAYMENTS_READ"],
    }


def test_a_token_can_do_what_its_scopes_say_and_no_more(shop: Shop) -> None:
    payment = shop.pay()["id"]
    document = f'{{ payment(id: "{payment}") {{ id }} }}'

    allowed = ask(shop, token(shop, scope="PAYMENTS_READ"), document)
    refused = ask(shop, token(shop, scope="LEDGER_READ"), document)

    assert allowed.json()["data"]["payment"]["id"] == payment
    assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_a_token_of_another_tenant_sees_nothing_of_this_one(shop: Shop) -> None:
    payment = shop.pay()["id"]
    neighbour = shop.gateway.shop(webhooks=False)

    answer = ask(neighbour, token(neighbour), f'{{ payment(id: "{payment}") {{ id }} }}')

    assert answer.json()["data"] == {"payment": None}


def test_all_that_is_refused_is_refused_with_one_message(shop: Shop) -> None:
    now = time.time()
    stranger = Signer.new("key-1", "EdDSA")
    claims = good_claims(now, tenant=shop.name)
    refused = {
        "expired": token(shop, iat=int(now) - 600, exp=int(now) - 1),
        "a stranger's": stranger.sign(claims),
        "unknown tenant": token(shop, tenant="nobody"),
        "tenant in other letters": token(shop, tenant=shop.name.upper()),
        "tenant by number": token(shop, tenant=str(shop.tenant_id)),
        "SQL for a tenant": token(shop, tenant="x' OR TRUE --"),
        "another audience": token(shop, aud="https://other.example"),
        "unknown key": SIGNER.sign(claims, kid="key-2"),
        "too long": token(shop, x="x" * 7_000),
        "garbage": "eyJ" + "." * 40,
        "a key nobody has": "cf_test_" + "A" * 40,
    }

    answers = {}
    for name, secret in refused.items():
        for document in (VIEWER, "{ __typename }", "nonsense {"):
            answer = ask(shop, secret, document)
            assert answer.status_code == 401, f"{name}: {answer.text}"
            (error,) = assert_typed(answer)
            del error["extensions"]["correlationId"]
            answers[name] = json.dumps(error), answer.headers["www-authenticate"]

    assert len(set(answers.values())) == 1, answers


def test_the_browsers_door_takes_no_token(shop: Shop) -> None:
    assert ask(shop, token(shop), "{ __typename }", STOREFRONT).status_code == 401


def test_the_records_name_the_subject(shop: Shop) -> None:
    wallet = {"path": f"customer:{a_key()}:wallet", "kind": "LIABILITY", "currency": "EUR"}
    document = """mutation($input: AccountCreateInput!) { accountCreate(input: $input) {
      ... on AccountPayload { replayed account { id } } } }"""
    body = {"query": document, "variables": {"input": {"idempotencyKey": a_key(), **wallet}}}
    headers = {"authorization": f"Bearer {token(shop, sub='auth0|9', scope='LEDGER_WRITE')}"}

    made = shop.gateway.client.post(FULL, json=body, headers=headers).json()["data"]

    id = made["accountCreate"]["account"]["id"]
    actors = shop.rows("SELECT actor FROM audit_log WHERE tenant_id = %s AND subject = %s", id)
    assert actors == [("jwt:auth0|9",)]


def test_an_idempotency_key_of_a_tenant_is_one_whoever_of_its_servers_sends_it(shop: Shop) -> None:
    input = {"idempotencyKey": a_key(), "amount": EUR_10, "method": {"token": "tok_success"}}
    document = """mutation($input: PaymentCreateInput!) { paymentCreate(input: $input) {
      ... on PaymentPayload { replayed payment { id } } } }"""
    body = {"query": document, "variables": {"input": input}}

    answers = [
        shop.gateway.client.post(FULL, json=body, headers={"authorization": f"Bearer {secret}"})
        for secret in (shop.key, token(shop, scope="PAYMENTS_WRITE PAYMENTS_READ"))
    ]

    first, second = (answer.json()["data"]["paymentCreate"] for answer in answers)
    assert first["payment"] == second["payment"]
    assert (first["replayed"], second["replayed"]) == (False, True)


@pytest.mark.parametrize("in_header", [True, False])
def test_a_socket_opens_for_a_token_and_for_no_bad_one(shop: Shop, *, in_header: bool) -> None:
    payment = shop.pay(confirm=False)["id"]

    def watched(secret: str) -> object:
        headers = {"authorization": f"Bearer {secret}"} if in_header else None
        with a_socket(shop.gateway.base, headers=headers) as opened:
            opened.init(None if in_header else secret)
            return opened.ask(WATCH, id=payment)["data"]

    assert watched(token(shop)) == {"paymentChanged": {"status": "REQUIRES_CONFIRMATION"}}
    with pytest.raises(Closed) as closed:
        watched(token(shop, aud="https://other.example"))
    assert closed.value.code == 4403


def test_a_stream_ends_at_the_first_event_after_its_token_expired(shop: Shop) -> None:
    payment = shop.pay(confirm=False)
    short = token(shop, iat=int(time.time()) - 60, exp=int(time.time()) + 2)
    with a_socket(shop.gateway.base) as opened:
        opened.init(short)
        opened.next(opened.subscribe(WATCH, id=payment["id"]))
        eventually(lambda: ask(shop, short).status_code == 401)

        shop.do("paymentConfirm", paymentId=payment["id"], method={"token": "tok_success"})

        with pytest.raises(Closed) as closed:
            opened.receive()
    assert closed.value.code == 4403


def test_no_token_is_written_down(shop: Shop) -> None:
    secret = token(shop)
    ask(shop, secret)

    for part in secret.split("."):
        assert part not in shop.gateway.log()
        assert part not in shop.gateway.dump()


def test_without_an_issuer_tokens_are_refused(shop: Shop) -> None:
    """A gateway of the settings' defaults, over the same database."""
    gateway = shop.gateway
    encryption = {"COUNTERFOIL_ENCRYPTION_KEY": gateway.encryption_key}
    folder = gateway.log_file.parent / "second"
    folder.mkdir()
    with a_gateway(folder, gateway.app_url, gateway.admin_url, **encryption) as plain:
        body = {"query": VIEWER}
        headers = {"authorization": f"Bearer {token(shop)}"}
        assert plain.client.post(FULL, json=body, headers=headers).status_code == 401
        headers = {"authorization": f"Bearer {shop.key}"}
        assert plain.client.post(FULL, json=body, headers=headers).status_code == 200
