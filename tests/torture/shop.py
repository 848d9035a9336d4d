"""One tenant with two accounts at the simulator: what a shop's server does, and its audit."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg

from core.database import Database
from core.identifiers import encode
from counterfoil.bootstrap import (
    ensure_simulator_accounts,
    ensure_tenant,
    register_at_simulator,
)
from counterfoil.oracle import compare
from counterfoil.verification import findings_of
from gateways.accounts import ProviderAccount
from tenants import SCOPES, issue
from tests.torture.fleet import Fleet, eventually
from tests.torture.wire import Answer

SETTLE_SECONDS = 90.0
TOO_BUSY_MAX = 20
"""How often a shop that is told to wait comes again."""

_PAYMENT = "payment { id status }"
_ERRORS = """
  ... on Error { code message retryable }
  ... on OperationInProgressError { retryAfterMs }
  ... on ValidationError { fields { path code message } }
"""
CREATE = f"""mutation Create($input: PaymentCreateInput!) {{ paymentCreate(input: $input) {{
  __typename ... on PaymentPayload {{ replayed {_PAYMENT} }} {_ERRORS} }} }}"""
_CONFIRM = f"""mutation Confirm($input: PaymentConfirmInput!) {{ paymentConfirm(input: $input) {{
  __typename ... on PaymentPayload {{ replayed {_PAYMENT} }} {_ERRORS} }} }}"""
_CAPTURE = f"""mutation Capture($input: PaymentCaptureInput!) {{ paymentCapture(input: $input) {{
  __typename ... on PaymentPayload {{ replayed {_PAYMENT} }} {_ERRORS} }} }}"""
_REFUND = f"""mutation Refund($input: RefundCreateInput!) {{ refundCreate(input: $input) {{
  __typename ... on RefundPayload {{ replayed {_PAYMENT} refund {{ id }} }} {_ERRORS} }} }}"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a mutation answered. `kind` is the member of the union."""

    kind: str
    answer: dict[str, Any]

    @property
    def payment_id(self) -> str:
        id: str = self.answer["payment"]["id"]
        return id

    @property
    def status(self) -> str:
        status: str = self.answer["payment"]["status"]
        return status

    @property
    def replayed(self) -> bool:
        return bool(self.answer.get("replayed"))


@dataclass
class Shop:
    """A tenant of its own on a fleet, so that scenarios do not see each other."""

    fleet: Fleet
    name: str
    tenant_id: int
    key: str
    accounts: list[ProviderAccount]
    database: Database
    told_to_wait: int = 0
    """Requests that were too many for the moment: refused before anything was written."""
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }

    # ---- what a shop does

    async def create(
        self,
        key: str,
        *,
        amount: int = 1000,
        token: str = "tok_success",
        capture: str = "AUTOMATIC",
        confirm: bool = True,
        routing: Mapping[str, Any] | None = None,
        via: int = 0,
    ) -> Reply:
        """Raises: NoAnswer."""
        asked = {
            "idempotencyKey": key,
            "amount": {"amountMinor": str(amount), "currency": "EUR"},
            "method": {"token": token},
            "captureMode": capture,
            "confirm": confirm,
            "routing": routing,
        }
        return await self._mutate(CREATE, "paymentCreate", asked, via)

    async def confirm(self, key: str, payment_id: str, *, via: int = 0) -> Reply:
        asked = {"idempotencyKey": key, "paymentId": payment_id}
        return await self._mutate(_CONFIRM, "paymentConfirm", asked, via)

    async def capture(
        self, key: str, payment_id: str, amount: int, *, final: bool = True, via: int = 0
    ) -> Reply:
        asked = {
            "idempotencyKey": key,
            "paymentId": payment_id,
            "amount": {"amountMinor": str(amount), "currency": "EUR"},
            "final": final,
        }
        return await self._mutate(_CAPTURE, "paymentCapture", asked, via)

    async def refund(self, key: str, payment_id: str, amount: int, *, via: int = 0) -> Reply:
        asked = {
            "idempotencyKey": key,
            "paymentId": payment_id,
            "amount": {"amountMinor": str(amount), "currency": "EUR"},
        }
        return await self._mutate(_REFUND, "refundCreate", asked, via)

    async def _mutate(self, document: str, name: str, asked: dict[str, Any], via: int) -> Reply:
        """One answer. Told that it is too busy and nothing was written, a shop comes again."""
        wire = self.fleet.wires[via % len(self.fleet.wires)]
        body = orjson.dumps({"query": document, "variables": {"input": asked}})
        for _ in range(TOO_BUSY_MAX):
            answer = await wire.post("/graphql", body, self.headers)
            parsed = orjson.loads(answer.body)
            if answer.status == 200 and not parsed.get("errors"):
                found = parsed["data"][name]
                return Reply(found["__typename"], found)
            wait_ms = _wait_ms(answer.status, parsed)
            if wait_ms is None:
                break
            self.told_to_wait += 1
            await asyncio.sleep(wait_ms / 1000)
        return Reply(f"HTTP {answer.status}", parsed)

    # ---- what a provider does

    @property
    def first(self) -> ProviderAccount:
        return self.accounts[0]

    def name_at_simulator(self, account: ProviderAccount) -> str:
        return encode("prv", account.id)

    def signature(self, body: bytes, at: int | None = None) -> str:
        """As the first account's provider would sign now."""
        seconds = int(time.time()) if at is None else at
        secret = self.first.secrets["webhook_secret"][0].encode()
        digest = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={seconds},v1={digest}"

    async def deliver(self, body: bytes, signature: str, *, via: int = 0) -> Answer:
        """A webhook to the first account; again if it was too busy. Raises: NoAnswer."""
        wire = self.fleet.wires[via % len(self.fleet.wires)]
        path = f"/webhooks/{self.name_at_simulator(self.first)}"
        headers = {"Simulator-Signature": signature, "Content-Type": "application/json"}
        for _ in range(TOO_BUSY_MAX):
            answer = await wire.post(path, body, headers)
            if answer.status != 503:
                break
            self.told_to_wait += 1
            await asyncio.sleep(0.5)
        return answer

    async def call_back(self, base_url: str | None = None) -> None:
        """Have the simulator call back there; by default the first API process."""
        url = base_url or self.fleet.wires[0].url
        await register_at_simulator(self.accounts, self.fleet.simulator_url, url)

    async def faults(self, *rules: dict[str, Any]) -> None:
        """Script what goes wrong at this shop's accounts; replaces the script there was."""
        mine = [
            {**rule, "match": {**rule["match"], "account": self.name_at_simulator(account)}}
            for rule in rules
            for account in self.accounts
        ]
        await self.fleet.tell_simulator("/_faults", seed=1, rules=mine)

    async def effects(self, **query: str) -> list[dict[str, Any]]:
        """What the provider did, both accounts together."""
        found: list[dict[str, Any]] = []
        for account in self.accounts:
            after: int | None = 0
            while after is not None:
                page = await self.fleet.ask_simulator(
                    "/_log",
                    account=self.name_at_simulator(account),
                    after=after,
                    limit=1000,
                    **query,
                )
                found += page["data"]
                after = page["next_after"]
        return found

    # ---- looking inside

    async def count(self, query: str, *values: Any) -> int:
        """The number a query answers; $1 is the tenant."""
        async with self.database.unit_of_work(self.tenant_id) as tx:
            return int(await tx.fetchval(query, self.tenant_id, *values))

    async def rows(self, query: str, *values: Any) -> list[Any]:
        async with self.database.unit_of_work(self.tenant_id) as tx:
            return list(await tx.fetch(query, self.tenant_id, *values))

    async def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until nothing is on its way; fail with what is stuck."""
        stuck: list[str] = []

        async def quiet() -> bool:
            stuck[:] = await self.unsettled()
            return not stuck

        await eventually(
            quiet,
            seconds,
            lambda: f"still on its way: {stuck[:8]}\n{self.fleet.logs()}",
            pause_seconds=0.25,
        )

    async def unsettled(self) -> list[str]:
        """Operations, callbacks and deliveries that wait for something."""
        waiting = await self.waiting()
        for account in self.accounts:
            page = await self.fleet.ask_simulator(
                "/_webhooks", account=self.name_at_simulator(account), limit=1
            )
            if page["open"]:
                waiting.append(f"{page['open']} deliveries of {account.name}")
        return waiting

    async def waiting(self) -> list[str]:
        """Operations and callbacks that wait for something."""
        operations = await self.rows(
            """SELECT id, kind, status, tries, next_action_at FROM provider_operation
                WHERE tenant_id = $1 AND status IN ('CREATED', 'SENT', 'UNKNOWN', 'PENDING')
                LIMIT 20"""
        )
        inbox = await self.rows(
            """SELECT id, kind, status, error FROM inbound_webhook
                WHERE tenant_id = $1 AND next_action_at IS NOT NULL LIMIT 20"""
        )
        return [str(dict(row)) for row in (*operations, *inbox)]

    async def audit(self) -> list[str]:
        """What is not as it must be: provider against books, books against themselves."""
        found = await compare(self.database, self.tenant_id, self.fleet.simulator_url)
        problems = [str(difference) for difference in found.differences]
        problems += [
            f"verify: {finding}" async for finding in findings_of(self.database, self.tenant_id)
        ]
        return problems + await self._books_against_themselves()

    async def _books_against_themselves(self) -> list[str]:
        """Zero sum by currency and layer, counters, gaps: in SQL of our own, not the product's."""
        problems = []
        for name, query in _BOOKS.items():
            rows = await self.rows(query)
            problems += [f"{name}: {dict(row)}" for row in rows[:20]]
        return problems


_BOOKS = {
    "not zero": """
        SELECT transaction_id, currency, layer > 0 AS pending,
               sum(CASE direction WHEN 'D' THEN amount ELSE -amount END) AS sum
          FROM entry WHERE tenant_id = $1 GROUP BY 1, 2, 3
        HAVING sum(CASE direction WHEN 'D' THEN amount ELSE -amount END) <> 0""",
    "counters": """
        SELECT a.path, a.currency, b.debits_posted, b.credits_posted, e.debits, e.credits
          FROM account_balance AS b
          JOIN account AS a ON a.tenant_id = b.tenant_id AND a.id = b.account_id
          JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE direction = 'D'), 0) AS debits,
                   coalesce(sum(amount) FILTER (WHERE direction = 'C'), 0) AS credits
              FROM entry AS e WHERE e.tenant_id = b.tenant_id AND e.account_id = b.account_id
               AND e.layer = 0) AS e ON TRUE
         WHERE b.tenant_id = $1 AND (b.debits_posted, b.credits_posted) <> (e.debits, e.credits)""",
    "gaps": """
        SELECT account_id, count(*) AS entries, max(seq) AS newest FROM entry
         WHERE tenant_id = $1 GROUP BY account_id
        HAVING count(*) <> max(seq) OR min(seq) <> 1""",
}


def _wait_ms(status: int, answer: dict[str, Any]) -> float | None:
    """When to come again; None unless the answer says that it may be done and when."""
    errors = answer.get("errors") or [{}]
    told = errors[0].get("extensions", {})
    return float(told["retryAfterMs"]) if status == 503 and told.get("retryable") else None


async def open_shop(
    fleet: Fleet, database: Database, name: str, *, patient_breaker: bool = False
) -> Shop:
    """A fresh tenant with two accounts at the simulator, which calls back the first API process.

    With `patient_breaker` the breakers only watch: else they would spare the provider most of what
    the scenario wants it to suffer.
    """
    tenant_id = await ensure_tenant(database, fleet.admin_url, name)
    async with database.unit_of_work(tenant_id) as tx:
        issued = await issue(
            tx, tenant_id, name="torture", scopes=SCOPES, actor="test", correlation_id="torture"
        )
    accounts = await ensure_simulator_accounts(
        database, fleet.vault, tenant_id, fleet.simulator_url
    )
    if patient_breaker:
        _watch_only(fleet.admin_url, tenant_id)
    shop = Shop(fleet, name, tenant_id, issued.secret, accounts, database)
    await shop.call_back()
    return shop


def _watch_only(admin_url: str, tenant_id: int) -> None:
    with psycopg.connect(admin_url) as admin:
        admin.execute(
            "UPDATE provider_account SET breaker_policy = breaker_policy || '{\"dry_run\": true}'"
            " WHERE tenant_id = %s",
            [tenant_id],
        )
