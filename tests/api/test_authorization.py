"""Who may do what: every guarded field of the schema against every kind of caller.

What a field needs is read from the exported SDL; what the root fields need is written down here a
second time, so that a directive that was changed or dropped is noticed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from tenants import SCOPES
from tests.api.gateway import FULL, STOREFRONT, Gateway, Shop, assert_typed
from tests.api.reaching import ARGUMENTS, Reached, guarded_fields, reached, storefront_fields
from tests.api.sockets import Closed, Socket, a_socket

pytestmark = pytest.mark.timeout(180)

ROOTS: Final[Mapping[str, str | None]] = {
    "Query.node": None,
    "Query.nodes": None,
    "Query.viewer": None,
    "Query.paymentByClientSecret": None,
    "Query.customer": None,
    "Query.checkoutOptions": None,
    "Query.payment": "PAYMENTS_READ",
    "Query.paymentByReference": "PAYMENTS_READ",
    "Query.operationByIdempotencyKey": "PAYMENTS_READ",
    "Query.payments": "PAYMENTS_READ",
    "Query.refund": "PAYMENTS_READ",
    "Query.savedMethods": "PAYMENTS_READ",
    "Query.account": "LEDGER_READ",
    "Query.accounts": "LEDGER_READ",
    "Query.balances": "LEDGER_READ",
    "Query.transaction": "LEDGER_READ",
    "Query.transactions": "LEDGER_READ",
    "Query.holds": "LEDGER_READ",
    "Query.trialBalance": "LEDGER_READ",
    "Query.providers": "PROVIDERS_READ",
    "Query.provider": "PROVIDERS_READ",
    "Query.discrepancies": "RECONCILIATION_READ",
    "Query.inboundWebhooks": "WEBHOOKS_READ",
    "Query.auditLog": "ADMIN",
    "Mutation.paymentCreate": "PAYMENTS_WRITE",
    "Mutation.paymentConfirm": None,
    "Mutation.savedMethodRemove": None,
    "Mutation.paymentCapture": "PAYMENTS_WRITE",
    "Mutation.paymentCancel": "PAYMENTS_WRITE",
    "Mutation.paymentSync": "PAYMENTS_READ",
    "Mutation.refundCreate": "REFUNDS_WRITE",
    "Mutation.operationResolve": "ADMIN",
    "Mutation.accountCreate": "LEDGER_WRITE",
    "Mutation.transferCreate": "LEDGER_WRITE",
    "Mutation.transactionReverse": "LEDGER_WRITE",
    "Mutation.customerTokenCreate": "PAYMENTS_WRITE",
    "Mutation.inboundWebhookReplay": "WEBHOOKS_WRITE",
    "Mutation.providerUpdate": "PROVIDERS_WRITE",
    "Subscription.paymentChanged": "PAYMENTS_READ",
    "Subscription.paymentChangedByClientSecret": None,
}
"""What each root field needs; None: anybody, and the resolver decides."""

STOREFRONT_ROOTS: Final = {
    "Query.checkoutOptions",
    "Query.customer",
    "Query.paymentByClientSecret",
    "Mutation.paymentConfirm",
    "Mutation.savedMethodRemove",
    "Subscription.paymentChangedByClientSecret",
}


SEEN_BY_BROWSERS: Final = {
    "Payment": "amount amountAuthorized amountCapturable amountCaptured amountRefunded captureMode"
    " createdAt expiresAt id lastDecline method nextAction reference status updatedAt version",
    "PaymentMethod": "brand country expMonth expYear last4 type wallet",
    "NextAction": "expiresAt fields kind url",
    "Decline": "customerMessage retryableWithSameMethod",
    "Customer": "id payments savedMethods wallets",
    "SavedMethod": "brand createdAt expMonth expYear id last4 removedAt type",
    "Wallet": "available balance currency entries",
    "WalletEntry": "amount id kind payment postedAt runningBalance",
    "CheckoutOption": "adapter clientConfiguration method portable providerName",
}
"""All that the client secret of a payment shows: a field that lost its scope would appear here."""


@dataclass
class Callers:
    """Keys of every kind, and the ids of things that belong to the shop."""

    shop: Shop
    other: Shop
    payment: dict[str, Any]
    other_payment: dict[str, Any]
    same_shop: dict[str, Any]
    expired: str
    revoked: str
    ids: Mapping[str, str] = field(default_factory=dict)

    def refused_outright(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Headers of callers nobody knows."""
        key, secret = self.shop.key, self.payment["clientSecret"]
        yield "unknown key", bearer("cf_test_" + "A" * 40)
        yield "expired key", bearer(self.expired)
        yield "revoked key", bearer(self.revoked)
        yield "key cut short", bearer(key[:-1])
        yield "key in other letters", bearer(key.swapcase())
        yield "client secret cut short", bearer(secret[:-1])
        yield "payment id as a secret", bearer(self.payment["id"])
        yield "empty bearer", {"authorization": "Bearer"}
        yield "no scheme", {"authorization": key}
        yield "basic", {"authorization": f"Basic {key}"}
        yield "two keys", {"authorization": f"Bearer {key}, Bearer {key}"}
        yield "long key", bearer("cf_test_" + "A" * 5_000)
        yield "long secret", bearer("pay_" + "a" * 5_000)
        yield "SQL", bearer("cf_' OR 1=1 --")


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def callers(gateway: Gateway) -> Callers:
    shop, other = gateway.shop(webhooks=False), gateway.shop(webhooks=False)
    expired, revoked = shop.keys([SCOPES, SCOPES])
    for column, key in (("expires_at", expired), ("revoked_at", revoked)):
        passed = f"UPDATE api_key SET {column} = clock_timestamp() - INTERVAL '1 s' WHERE id = %s"
        gateway.admin.execute(passed.encode(), [key.id])
    payment = shop.pay(confirm=False)
    return Callers(
        shop,
        other,
        payment,
        other.pay(confirm=False),
        shop.pay(confirm=False),
        expired.secret,
        revoked.secret,
    )


def send(
    callers: Callers, document: str, headers: Mapping[str, str], path: str = FULL
) -> httpx.Response:
    return callers.shop.gateway.client.post(path, json={"query": document}, headers=dict(headers))


def codes(answer: httpx.Response) -> set[str]:
    return {error["extensions"]["code"] for error in assert_typed(answer)}


def missing_scopes(answer: httpx.Response) -> set[str]:
    found = [error["extensions"].get("missingScopes", []) for error in assert_typed(answer)]
    return {scope for scopes in found for scope in scopes}


def is_forbidden(answer: httpx.Response) -> bool:
    return bool(codes(answer) & {"FORBIDDEN", "UNAUTHENTICATED"})


REACHED = [pytest.param(one, id=one.label) for one in reached()]
GUARDED = [pytest.param(one, id=one.label) for one in reached() if one.scopes]


def test_every_root_field_says_what_the_table_says() -> None:
    roots = {one.label: one.own_scopes for one in reached() if one.is_root}

    assert roots == {
        label: frozenset({scope} if scope else ())
        for label, scope in ROOTS.items()
        if label in roots
    }
    assert set(roots) <= set(ROOTS)


def test_every_guarded_field_is_reached() -> None:
    assert guarded_fields() == {one.label for one in reached() if one.own_scopes}
    assert len(guarded_fields()) > 40


def test_the_browser_view_has_five_doors_and_no_guarded_field() -> None:
    full = {one.label for one in reached()}

    assert {label for label in storefront_fields() if label in ROOTS} == STOREFRONT_ROOTS
    assert not storefront_fields() & guarded_fields()
    assert storefront_fields() - full - STOREFRONT_ROOTS
    for type, names in SEEN_BY_BROWSERS.items():
        seen = {label for label in storefront_fields() if label.startswith(f"{type}.")}
        assert seen == {f"{type}.{name}" for name in names.split()}


@pytest.mark.parametrize("one", REACHED)
def test_without_a_key_nothing_is_answered(one: Reached, callers: Callers) -> None:
    answer = send(callers, one.document, {})

    assert answer.status_code == 401
    assert codes(answer) == {"UNAUTHENTICATED"}
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_caller_nobody_knows_is_refused_with_one_message(callers: Callers) -> None:
    answers: dict[str, Any] = {}

    for name, headers in callers.refused_outright():
        for path in (FULL, STOREFRONT):
            for document in ("{ viewer { tenantId } }", "{ __typename }", "nonsense {"):
                answer = send(callers, document, headers, path)
                assert answer.status_code == 401, f"{name} {path}: {answer.text}"
                error = answer.json()["errors"][0]
                del error["extensions"]["correlationId"]
                answers[name] = error

    assert len({str(error) for error in answers.values()}) == 1, answers


@pytest.mark.parametrize("one", GUARDED)
def test_a_field_takes_its_own_scopes_and_no_fewer(one: Reached, callers: Callers) -> None:
    """Keys with no scope, with each scope alone, with all but one, with just what is needed."""
    shop = callers.shop
    trials = [frozenset[str](), *(frozenset({scope}) for scope in sorted(SCOPES))]
    trials += [SCOPES - {scope} for scope in sorted(one.scopes)]
    before = shop.gateway.state() if one.label.startswith("Mutation") else None

    for scopes in trials:
        answer = send(callers, one.document, bearer(shop.key_with(*scopes)))
        lacking = one.scopes - scopes
        assert is_forbidden(answer) == bool(lacking), f"{sorted(scopes)}: {answer.text}"
        if lacking:
            assert missing_scopes(answer) == lacking
            assert answer.json().get("data") is None
    exact = send(callers, one.document, bearer(shop.key_with(*one.scopes)))

    assert not is_forbidden(exact), exact.text
    if before:
        assert {**shop.gateway.state(), "api_key": 0, "audit_log": 0} == {
            **before,
            "api_key": 0,
            "audit_log": 0,
        }


@pytest.mark.parametrize("one", GUARDED)
def test_a_client_secret_opens_no_guarded_field(one: Reached, callers: Callers) -> None:
    for secret in (callers.payment["clientSecret"], callers.other_payment["clientSecret"]):
        on_full = send(callers, one.document, bearer(secret))
        assert codes(on_full) == {"FORBIDDEN"}
        assert on_full.json().get("data") is None


@pytest.mark.parametrize("one", [p for p in REACHED if p.id not in STOREFRONT_ROOTS])
def test_the_browser_view_does_not_even_know_guarded_fields(one: Reached, callers: Callers) -> None:
    """Whoever asks, a server with every scope included."""
    key = callers.shop.key

    for headers in ({}, bearer(key), bearer(callers.payment["clientSecret"])):
        answer = send(callers, one.document, headers, STOREFRONT)
        assert codes(answer) == {"GRAPHQL_VALIDATION_FAILED"}, answer.text
        assert "Did you mean" not in answer.text


WATCHED = [one for one in reached() if one.label.startswith("Subscription.")]


def socket_codes(opened: Socket, document: str) -> set[str]:
    return {error["extensions"]["code"] for error in opened.ask(document)["errors"]}


@pytest.mark.parametrize("one", WATCHED, ids=lambda one: one.label)
def test_over_a_socket_a_field_takes_its_own_scopes_and_no_fewer(
    one: Reached, callers: Callers
) -> None:
    shop = callers.shop
    trials = [frozenset[str](), *(frozenset({scope}) for scope in sorted(SCOPES))]
    trials += [SCOPES - one.scopes, one.scopes, SCOPES]

    for scopes in trials:
        with a_socket(shop.gateway.base) as opened:
            opened.init(shop.key_with(*scopes))
            expected = {"FORBIDDEN"} if one.scopes - scopes else {"NOT_FOUND"}
            assert socket_codes(opened, one.document) == expected, sorted(scopes)


@pytest.mark.parametrize("one", WATCHED, ids=lambda one: one.label)
def test_over_a_socket_a_client_secret_opens_no_guarded_field(
    one: Reached, callers: Callers
) -> None:
    for path in (FULL, STOREFRONT):
        with a_socket(callers.shop.gateway.base, path) as opened:
            opened.init(callers.payment["clientSecret"])
            unknown = path == STOREFRONT and one.label not in STOREFRONT_ROOTS
            expected = "GRAPHQL_VALIDATION_FAILED" if unknown else "NOT_FOUND"
            if path == FULL and one.scopes:
                expected = "FORBIDDEN"
            assert socket_codes(opened, one.document) == {expected}


def test_over_a_socket_a_caller_nobody_knows_is_shown_out(callers: Callers) -> None:
    for name, headers in callers.refused_outright():
        for path in (FULL, STOREFRONT):
            for given in (headers, {}):
                with a_socket(callers.shop.gateway.base, path, given) as opened:
                    with pytest.raises(Closed) as closed:
                        opened.init(**headers)
                    assert closed.value.code == 4403, f"{name} {path}"


NODES = {
    "payment": "PAYMENTS_READ",
    "refund": "PAYMENTS_READ",
    "saved method": "PAYMENTS_READ",
    "attempt": "PAYMENTS_READ",
    "operation": "PAYMENTS_READ",
    "account": "LEDGER_READ",
    "transaction": "LEDGER_READ",
    "entry": "LEDGER_READ",
    "hold": "LEDGER_READ",
    "provider": "PROVIDERS_READ",
    "webhook": "WEBHOOKS_READ",
    "discrepancy": "RECONCILIATION_READ",
    "audit": "ADMIN",
}


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("root", ["node", "nodes"])
def test_a_node_takes_the_scope_of_its_kind(kind: str, root: str, callers: Callers) -> None:
    id = ARGUMENTS[kind]
    asked = f'node(id: "{id}")' if root == "node" else f'nodes(ids: ["{id}"])'
    document = f"{{ {asked} {{ __typename id }} }}"

    for scope in (None, *sorted(SCOPES)):
        key = callers.shop.key_with(*([scope] if scope else []))
        answer = send(callers, document, bearer(key))
        assert is_forbidden(answer) == (scope != NODES[kind]), f"{scope}: {answer.text}"


def test_a_client_secret_sees_and_confirms_its_own_payment_only(callers: Callers) -> None:
    own, neighbour = callers.payment["clientSecret"], callers.same_shop["clientSecret"]
    foreign = callers.other_payment["clientSecret"]
    see = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { id } }"
    client = callers.shop.gateway.client

    for path in (FULL, STOREFRONT):
        for secret, expected in [(own, callers.payment["id"]), (neighbour, None), (foreign, None)]:
            body = {"query": see, "variables": {"s": secret}}
            answer = client.post(path, json=body, headers=bearer(own))
            assert_typed(answer)
            found = answer.json()["data"]["paymentByClientSecret"]
            assert (found and found["id"]) == expected, path


@pytest.mark.parametrize("path", [FULL, STOREFRONT])
def test_a_client_secret_confirms_no_other_payment(path: str, callers: Callers) -> None:
    own = callers.payment["clientSecret"]
    confirm = """mutation($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
      __typename ... on Error { code } } }"""
    others = [callers.same_shop, callers.other_payment]
    before = callers.shop.gateway.state()

    for other in others:
        for named in ({"paymentId": other["id"]}, {"clientSecret": other["clientSecret"]}):
            input = {"idempotencyKey": "key-of-a-browser", "method": {"token": "tok_success"}}
            body = {"query": confirm, "variables": {"input": {**input, **named}}}
            answer = callers.shop.gateway.client.post(path, json=body, headers=bearer(own))
            refused = codes(answer) == {"FORBIDDEN"}
            data = answer.json().get("data") or {}
            assert refused or data["paymentConfirm"]["code"] == "NOT_FOUND", answer.text

    assert callers.shop.gateway.state() == before


def test_nobody_in_the_browser_view_needs_the_secret_itself(callers: Callers) -> None:
    """Anonymous callers see a payment by its secret, and nothing by its id."""
    see = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { id status } }"
    confirm = """mutation($input: PaymentConfirmInput!) { paymentConfirm(input: $input) {
      __typename ... on Error { code } } }"""
    client = callers.shop.gateway.client
    secret = callers.payment["clientSecret"]

    seen = client.post(STOREFRONT, json={"query": see, "variables": {"s": secret}})
    for wrong in (secret[:-1], secret.upper(), callers.payment["id"], "", "x" * 5_000):
        unseen = client.post(STOREFRONT, json={"query": see, "variables": {"s": wrong}})
        assert_typed(unseen)
        assert (unseen.json().get("data") or {}).get("paymentByClientSecret") is None, wrong
    by_id = {"idempotencyKey": "key-of-a-browser", "paymentId": callers.payment["id"]}
    refused = client.post(STOREFRONT, json={"query": confirm, "variables": {"input": by_id}})

    assert seen.json()["data"]["paymentByClientSecret"]["id"] == callers.payment["id"]
    assert codes(refused) <= {"FORBIDDEN", "UNAUTHENTICATED"}
    assert codes(refused)
