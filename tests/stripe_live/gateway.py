"""A serving gateway with a Stripe account, reached as a shop, an operator and Stripe reach it."""

import copy
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from counterfoil import demo_documents as documents
from tests.api.gateway import serving
from tests.counterfoil.command_line import run
from tests.counterfoil.test_serving import environment
from tests.gateways.stripe.builders import body as sample
from tests.loopback import TRUSTS_NOBODY
from tests.ports import free_port
from tests.stripe_live.fake import API_KEY, Json, LiveStripe, a_fake_stripe
from tests.stripe_live.vectors import OLD_SECRET, SECRET
from tests.waiting import eventually

WEBHOOK_SECRET = "whsec_of_this_gateway"
TRANSACTIONS = """
query Entries($id: ID!) { payment(id: $id) { transactions(first: 20) { nodes {
  kind entries { direction amount { amountMinor } account { path } } } } } }
"""
SAVED_METHODS = """query($id: String!) { savedMethods(customerId: $id) {
  nodes { id last4 provider { name } } } }"""
FORGET = """mutation($input: SavedMethodRemoveInput!) { savedMethodRemove(input: $input) {
  __typename ... on SavedMethodPayload { savedMethod { id removedAt } }
  ... on Error { code message } } }"""
SYNC = """
mutation Sync($id: ID!) { paymentSync(paymentId: $id) {
  ... on PaymentPayload { payment { id status lastDecline { kind } } } } }
"""
CANCEL = """
mutation Cancel($input: PaymentCancelInput!) { paymentCancel(input: $input) {
  __typename ... on PaymentPayload { payment { id status } } ... on Error { code message } } }
"""
_numbers = itertools.count(1)


def signed(body: bytes, secret: str = WEBHOOK_SECRET, at: int | None = None) -> str:
    seconds = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def an_event(name: str, about: Json | None = None, **changes: Any) -> Json:
    """A published event, told of one of the fake's objects instead of its own."""
    event = sample(f"event_{name}")
    if about is not None:
        event["id"] = f"evt_live{next(_numbers)}"
        event["data"]["object"].update(copy.deepcopy(about))
        event["request"] = {"id": None, "idempotency_key": None}
    event.update(changes)
    return event


def a_charge(intent: Json, **changes: Any) -> Json:
    """What changes in a charge event's object so that it is about this intent."""
    about = {"payment_intent": intent["id"], "id": intent["latest_charge"], "metadata": {}}
    return {**about, "amount": intent["amount"], **changes}


@dataclass
class Gateway:
    """Its addresses and what to say there."""

    url: str
    stripe: LiveStripe
    account_id: str
    second_id: str
    """An account at the same provider that is never charged: it comes second."""
    http: httpx.Client
    admin_url: str
    cli: Callable[..., str]

    # ---- the shop

    def ask(self, document: str, **variables: Any) -> Json:
        answer = self.http.post("/graphql", json={"query": document, "variables": variables})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert "errors" not in told, told
        data: Json = told["data"]
        return data

    def _mutate(self, document: str, **input: Any) -> Json:
        told = self._tell(document, **input)
        assert told["__typename"].endswith("Payload"), told
        return told

    def _tell(self, document: str, **input: Any) -> Json:
        [told] = self.ask(
            document, input={"idempotencyKey": f"stripe-live-{next(_numbers)}", **input}
        ).values()
        assert isinstance(told, dict)
        return told

    def pay(self, token: str = "pm_card_visa", capture: str = "AUTOMATIC", **changes: Any) -> Json:
        """42.50 EUR."""
        input = {
            "amount": {"amountMinor": "4250", "currency": "EUR"},
            "method": {"token": token},
            "captureMode": capture,
            "returnUrl": "https://shop.example/return",
            "confirm": True,
        }
        payment: Json = self._mutate(documents.PAY, **{**input, **changes})["payment"]
        return payment

    def saved_methods(self, customer_id: str) -> list[Json]:
        """What a customer can pay with."""
        asked = self.ask(SAVED_METHODS, id=customer_id)["savedMethods"]["nodes"]
        assert isinstance(asked, list)
        return asked

    def forget(self, saved_method: Json) -> Json:
        removed: Json = self._mutate(FORGET, id=saved_method["id"])["savedMethod"]
        return removed

    def capture(self, payment: Json, amount: int, *, final: bool = True) -> Json:
        told = self.try_capture(payment, amount, final=final)
        assert told["__typename"].endswith("Payload"), told
        captured: Json = told["payment"]
        return captured

    def try_capture(self, payment: Json, amount: int, *, final: bool) -> Json:
        """What is said to a capture, also when it is refused."""
        money = {"amountMinor": str(amount), "currency": "EUR"}
        return self._tell(documents.CAPTURE, paymentId=payment["id"], amount=money, final=final)

    def capabilities(self) -> list[str]:
        """What the account that is charged can do."""
        answer = self.ask("query { providers { name capabilities } }")
        [found] = [p["capabilities"] for p in answer["providers"] if p["name"] == "stripe-test"]
        assert isinstance(found, list)
        return found

    def cancel(self, payment: Json) -> Json:
        canceled: Json = self._mutate(CANCEL, paymentId=payment["id"])["payment"]
        return canceled

    def sync(self, payment: Json) -> Json:
        """What is known once the provider was asked."""
        known: Json = self.ask(SYNC, id=payment["id"])["paymentSync"]["payment"]
        return known

    def refund(self, payment: Json, amount: int) -> Json:
        money = {"amountMinor": str(amount), "currency": "EUR"}
        return self._mutate(documents.REFUND, paymentId=payment["id"], amount=money)

    def payment(self, payment: Json) -> Json:
        found: Json = self.ask(documents.PAYMENT, id=payment["id"])["payment"]
        return found

    def status(self, payment: Json) -> str:
        status: str = self.payment(payment)["status"]
        return status

    def posted(self, payment: Json) -> list[tuple[str, list[tuple[str, str, int]]]]:
        """Each transaction's kind with its entries: direction, path, minor units."""
        nodes = self.ask(TRANSACTIONS, id=payment["id"])["payment"]["transactions"]["nodes"]
        return [
            (
                node["kind"],
                sorted(
                    (e["direction"], e["account"]["path"], int(e["amount"]["amountMinor"]))
                    for e in node["entries"]
                ),
            )
            for node in nodes
        ]

    def kinds(self, payment: Json) -> list[str]:
        return sorted(kind for kind, _ in self.posted(payment))

    def intent(self, payment: Json) -> Json:
        """The fake's object behind a payment."""
        return self.stripe.intents[self.operation(payment)["provider_ref"]]

    def operation(self, payment: Json, kind: str = "SALE") -> Any:
        rows = self.rows(
            """SELECT o.* FROM provider_operation AS o WHERE o.payment_id = %s
                  AND o.kind = ANY(%s) ORDER BY o.id DESC LIMIT 1""",
            _uuid(payment["id"]),
            ["SALE", "AUTHORIZE"] if kind == "SALE" else [kind],
        )
        return rows[0]

    # ---- Stripe

    def deliver(self, event: Json, *, times: int = 2) -> str:
        """Signed as Stripe signs, more than once as Stripe may; returns the event's id."""
        body = json.dumps(event, indent=2).encode()
        for _ in range(times):
            answer = self.post(body, {"Stripe-Signature": signed(body)})
            assert (answer.status_code, answer.json()) == (200, {"received": True})
        id: str = event["id"]
        return id

    def post(
        self, body: bytes, headers: dict[str, str], account_id: str | None = None
    ) -> httpx.Response:
        return httpx.post(
            f"{self.url}/webhooks/{account_id or self.account_id}",
            content=body,
            headers=headers,
            trust_env=False,
            verify=TRUSTS_NOBODY,
        )

    # ---- looking

    def inbox(self, *ids: str) -> list[str]:
        """Where each of these events (or `id:part`) stands, once each was looked at."""

        def looked_at() -> list[str]:
            rows = self.rows(
                """SELECT provider_event_id AS id, status, error FROM inbound_webhook
                    WHERE split_part(provider_event_id, ':', 1) = ANY(%s)
                    ORDER BY provider_event_id""",
                list(ids),
            )
            assert {row["id"].partition(":")[0] for row in rows} == set(ids)
            assert not [row for row in rows if row["status"] == "FAILED"], rows
            statuses = [row["status"] for row in rows]
            return [] if "RECEIVED" in statuses else statuses

        found: list[str] = eventually(looked_at)
        return found

    def rows(self, query: str, *values: Any) -> list[Json]:
        with (
            psycopg.connect(self.admin_url) as admin,
            admin.cursor(row_factory=psycopg.rows.dict_row) as cursor,
        ):
            return cursor.execute(query.encode(), values).fetchall()

    def check(self) -> None:
        """The trial balance is zero, and the books say what Stripe owes."""
        lines = self.ask(documents.TRIAL_BALANCE)["trialBalance"]
        for line in lines:
            assert line["debits"]["amountMinor"] == line["credits"]["amountMinor"], line
        [clearing] = self.rows(
            """SELECT coalesce(sum(b.debits_posted - b.credits_posted), 0)::INT AS amount
                 FROM account AS a JOIN account_balance AS b
                   ON b.tenant_id = a.tenant_id AND b.account_id = a.id
                WHERE a.path = 'psp:stripe-test:clearing'"""
        )
        assert clearing["amount"] == self.stripe.balance


def _uuid(public_id: str) -> str:
    from core.identifiers import decode  # noqa: PLC0415

    return str(decode("pay", public_id))


@contextmanager
def a_gateway(folder: Path, database_url: str, admin_url: str) -> Iterator[Gateway]:
    """Serving, with the demo tenant and one more provider: the fake, as `stripe-test`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "COUNTERFOIL_DATABASE_URL": database_url,
        "COUNTERFOIL_MIGRATION_DATABASE_URL": admin_url,
        "COUNTERFOIL_DEMO": "on",
        "COUNTERFOIL_LEASE_SECONDS": "5",
        "COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS": "3",
        "COUNTERFOIL_WEBHOOK_BYTES_MAX": "65536",
        "COUNTERFOIL_LOG_LEVEL": "error",
    }

    surroundings = environment(folder, port, **settings)

    def cli(*arguments: str, status: int = 0) -> str:
        done = run(*arguments, **surroundings)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    with a_fake_stripe() as stripe, serving(surroundings, folder / "gateway.log", url):
        secrets = {"stripe-test": [WEBHOOK_SECRET, SECRET], "stripe-two": [SECRET, OLD_SECRET]}
        account_id, second_id = (
            add_account(cli, folder, stripe.url, name, values) for name, values in secrets.items()
        )
        key = (folder / "demo-key").read_text().strip()
        with httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            verify=TRUSTS_NOBODY,
            timeout=20,
        ) as http:
            yield Gateway(url, stripe, account_id, second_id, http, admin_url, cli)


def add_account(
    cli: Callable[..., str], folder: Path, base_url: str, name: str, webhook_secrets: list[str]
) -> str:
    """`providers add`, as an operator types it; returns the account's id."""
    key, secrets = folder / f"{name}.key", folder / f"{name}.webhook"
    key.write_text(API_KEY)
    secrets.write_text("\n".join(webhook_secrets))
    told = cli(
        *("providers", "add", "--adapter", "stripe", "--name", name, "--base-url", base_url),
        *("--secret-key-file", str(key), "--webhook-secret-file", str(secrets)),
    )
    return told.split()[0]
