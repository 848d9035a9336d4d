"""The whole product as its users meet it: a serving process, PostgreSQL and the simulator.

Requests go over HTTP. The inside is looked at only to see what was written: as the database's
admin, in the log file, and in the simulator's own log.
"""

import asyncio
import base64
import itertools
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any, TypeVar

import httpx
import psycopg

from core.clock import SystemClock
from core.crypto import Vault
from core.database import Database, DatabaseSettings, Tx
from core.identifiers import decode, encode, new_id
from counterfoil.bootstrap import (
    ensure_simulator_accounts,
    ensure_tenant,
    register_at_simulator,
)
from counterfoil.health_check import answers
from gateways.accounts import ProviderAccount
from ledger import AccountRef, Direction, Leg, Posting, post
from tenants import SCOPES, IssuedKey, allow_origin, issue
from tests.loopback import TRUSTS_NOBODY
from tests.ports import free_port
from tests.programs import Program
from tests.simulator.process import SimulatorProcess
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0
FULL = "/graphql"
STOREFRONT = "/storefront/graphql"
_numbers = itertools.count(1)

_BYTES = re.compile(r"\\x((?:[0-9a-f]{2})+)")

Json = dict[str, Any]
Result = TypeVar("Result")


def a_key() -> str:
    """An idempotency key nobody used. Digits at random would look like a card number one day."""
    return f"key-{new_id()}"


@dataclass
class Gateway:
    """One serving process with worker; `base` is where it answers."""

    base: str
    app_url: str
    admin_url: str
    log_file: Path
    simulator: SimulatorProcess
    encryption_key: str
    client: httpx.Client
    admin: "psycopg.Connection[Any]" = field(repr=False)
    """The database as its superuser, each statement a unit of work of its own."""
    process: Program = field(repr=False)

    # ---- looking inside

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """As the database's admin, whom row-level security does not bind."""
        return self.admin.execute(query.encode(), values).fetchall()

    def tables(self) -> list[str]:
        found = self.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
        )
        return [str(row[0]) for row in found]

    def state(self) -> dict[str, Any]:
        """A digest of every row of every table, and how much the simulator has been asked.

        Taken once every event has its number, which comes a moment after its commit, and providers
        have forgotten what was removed. When a key was used last, which is written once a minute,
        is not part of it.
        """
        eventually(lambda: not self.rows("SELECT 1 FROM outbox WHERE sequence IS NULL LIMIT 1"))
        untold = "SELECT 1 FROM saved_method WHERE next_action_at IS NOT NULL LIMIT 1"
        eventually(lambda: not self.rows(untold))
        digests = [
            f"SELECT '{table}', count(*), md5(coalesce(string_agg({row}, '' ORDER BY {row}), ''))"
            f' FROM "{table}" AS t'
            for table in self.tables()
            for row in ["t::text" if table != "api_key" else "(to_jsonb(t) - 'last_used_at')::text"]
        ]
        found = {table: digest for table, *digest in self.rows(" UNION ALL ".join(digests))}
        log = self.simulator.client.get("/_log/summary").json()
        return {**found, "at the provider": (log["requests"], log["effects"])}

    def dump(self) -> str:
        """Every row of every table as text; bytes also as the text they may be."""
        parts: list[str] = []
        for table in self.tables():
            rows = self.rows(f'SELECT t::text FROM "{table}" AS t')
            parts += [f"{table}: {row[0]}" for row in rows]
        text = "\n".join(parts)
        hidden = [bytes.fromhex(match[1]) for match in _BYTES.finditer(text)]
        return "\n".join([text, *(raw.decode("utf-8", "replace") for raw in hidden)])

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def settle(self, seconds: float = 20.0) -> None:
        """Wait until nothing is on its way: no operation, no callback, no delivery."""

        def is_quiet() -> bool:
            waiting = self.rows(
                "SELECT (SELECT count(*) FROM inbound_webhook WHERE next_action_at IS NOT NULL)"
                " + (SELECT count(*) FROM provider_operation WHERE status IN ('CREATED', 'SENT'))"
            )[0][0]
            return not waiting and not self.simulator.client.get("/_webhooks").json()["open"]

        eventually(is_quiet, seconds)

    # ---- who uses it

    def shop(self, *, webhooks: bool = True, currency: str = "EUR") -> "Shop":
        """A tenant of its own with two simulator accounts and a key that may do everything."""
        name = f"shop-{next(_numbers)}-{secrets.token_hex(4)}"
        return asyncio.run(self._open_shop(name, webhooks=webhooks, currency=currency))

    async def _open_shop(self, name: str, *, webhooks: bool, currency: str) -> "Shop":
        database = await Database.open(DatabaseSettings(self.app_url, pool_size=2))
        try:
            tenant_id = await ensure_tenant(database, self.admin_url, name, currency=currency)
            async with database.unit_of_work(tenant_id) as tx:
                key = await _issue(tx, tenant_id, SCOPES)
            vault = Vault(base64.b64decode(self.encryption_key))
            accounts = await ensure_simulator_accounts(
                database, vault, tenant_id, self.simulator.url
            )
        finally:
            await database.close()
        if webhooks:
            await register_at_simulator(accounts, self.simulator.url, self.base)
        else:
            self._register_silently(accounts)
        return Shop(self, name, tenant_id, key.secret, accounts)

    def _register_silently(self, accounts: Iterable[ProviderAccount]) -> None:
        """The simulator knows the accounts and calls nobody back."""
        for account in accounts:
            self.simulator.control(
                "/_accounts",
                name=str(account.id),
                secret_key=account.secrets["secret_key"][0],
                webhook_url=None,
                webhook_secret=account.secrets["webhook_secret"][0],
            )


async def _issue(
    tx: Tx,
    tenant_id: int,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    *,
    publishable: bool = False,
) -> IssuedKey:
    return await issue(
        tx,
        tenant_id,
        name="test",
        scopes=scopes,
        actor="test",
        correlation_id="test-setup",
        expires_at=expires_at,
        publishable=publishable,
    )


@dataclass
class Shop:
    """One tenant and what its server does."""

    gateway: Gateway
    name: str
    tenant_id: int
    key: str = field(repr=False)
    accounts: list[ProviderAccount] = field(repr=False)
    issued: dict[frozenset[str], str] = field(default_factory=dict, repr=False)

    def key_with(self, *scopes: str) -> str:
        """A key with exactly these scopes."""
        wanted = frozenset(scopes)
        if wanted not in self.issued:
            self.issued[wanted] = self.keys([wanted])[0].secret
        return self.issued[wanted]

    def keys(
        self, scopes: Iterable[Iterable[str]], expires_at: datetime | None = None
    ) -> list[IssuedKey]:
        """One new key for each set of scopes."""

        async def work(tx: Tx) -> list[IssuedKey]:
            return [await _issue(tx, self.tenant_id, one, expires_at) for one in scopes]

        return self.inside(work)

    def publishable_key(self) -> str:
        """A key that may stand in a page."""
        return self.inside(lambda tx: _issue(tx, self.tenant_id, (), publishable=True)).secret

    def allow(self, origin: str) -> str:
        """Let the pages of an origin use the browser's view; returns it."""
        act = {"actor": "test", "correlation_id": "test-setup"}
        return self.inside(lambda tx: allow_origin(tx, self.tenant_id, origin, **act))

    def customer_token(self, customer_id: str, **input: Any) -> str:
        """A token of one customer."""
        document = """mutation($input: CustomerTokenCreateInput!) {
          customerTokenCreate(input: $input) { ... on CustomerTokenPayload { token } } }"""
        made = self.ask(document, input={"customerId": customer_id, **input})
        token: str = made["customerTokenCreate"]["token"]
        return token

    def inside(self, work: Callable[[Tx], Awaitable[Result]]) -> Result:
        """Something done in a unit of work of the shop, as the command line would."""

        async def run() -> Result:
            database = await Database.open(DatabaseSettings(self.gateway.app_url, pool_size=2))
            try:
                async with database.unit_of_work(self.tenant_id) as tx:
                    return await work(tx)
            finally:
                await database.close()

        return asyncio.run(run())

    def send(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        *,
        path: str = FULL,
        key: str | None = "",
        **headers: str,
    ) -> httpx.Response:
        """One request; `key` defaults to the shop's own, None sends none."""
        credentials = {} if key is None else {"authorization": f"Bearer {key or self.key}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.gateway.client.post(
            path,
            json={"query": document, "variables": variables or {}},
            headers={**credentials, **named},
        )

    def ask(self, document: str, **variables: Any) -> Json:
        """The data; fails on any error."""
        answer = self.send(document, variables)
        body = answer.json()
        assert answer.status_code == 200, answer.text
        assert "errors" not in body, answer.text
        data: Json = body["data"]
        return data

    def do(self, mutation: str, /, **input: Any) -> Json:
        """A mutation's result; `idempotencyKey` is made unless given."""
        given = {"idempotencyKey": a_key(), **input}
        result: Json = self.ask(MUTATIONS[mutation], input=given)[mutation]
        return result

    def pay(self, token: str | None = "tok_success", amount: int = 1000, **input: Any) -> Json:
        """A payment of 10.00 EUR that was made."""
        method = {} if token is None else {"method": {"token": token}}
        money = {"amountMinor": str(amount), "currency": "EUR"}
        result = self.do("paymentCreate", **{"amount": money, **method, **input})
        assert result["__typename"] == "PaymentPayload", result
        payment: Json = result["payment"]
        return payment

    def riddle(self) -> tuple[str, str]:
        """An operation the worker gave up asking about, and what the provider calls it."""
        payment = self.pay("tok_requires_action")["id"]
        self.gateway.settle()
        asked_for_years = """UPDATE provider_operation
            SET sent_at = sent_at - INTERVAL '2 years', next_action_at = clock_timestamp()
          WHERE payment_id = %s"""
        self.gateway.admin.execute(asked_for_years.encode(), [decode("pay", payment)])
        found: list[tuple[Any, ...]] = []

        def is_given_up() -> bool:
            found[:] = self.gateway.rows(
                "SELECT id, provider_ref FROM provider_operation"
                " WHERE payment_id = %s AND status = 'IN_REVIEW'",
                decode("pay", payment),
            )
            return bool(found)

        eventually(is_given_up)
        return encode("op", found[0][0]), str(found[0][1])

    def keep(self, customer: str, token: str = "tok_success") -> str:
        """The id of a method the customer keeps since a payment."""
        self.pay(token, customerId=customer, saveMethod=True)
        listed = """query($c: String!) {
          savedMethods(customerId: $c, first: 1) { nodes { id } } }"""
        id: str = self.ask(listed, c=customer)["savedMethods"]["nodes"][0]["id"]
        return id

    def grant(self, wallet: str, amount: int) -> str:
        """Give a customer store credit; the id of the wallet."""
        legs = (
            Leg(AccountRef("expense:store_credit", "EUR"), Direction.DEBIT, amount),
            Leg(AccountRef(wallet, "EUR"), Direction.CREDIT, amount),
        )
        now = SystemClock().now()
        posting = Posting(a_key(), "store_credit_grant@1", legs, "test-setup", now, "test")
        self.inside(lambda tx: post(tx, self.tenant_id, [posting]))
        return self.account_id(wallet)

    def account_id(self, path: str) -> str:
        id: str = self.ask("query($p: String!) { account(path: $p) { id } }", p=path)["account"][
            "id"
        ]
        return id

    def effects(self) -> list[Json]:
        """What the provider really did for this shop, over its accounts."""
        names = {name for account in self.accounts for name in names_of(account)}
        found = self.gateway.simulator.client.get("/_log", params={"limit": 1000}).json()["data"]
        return [effect for effect in found if effect["account"] in names]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """As admin; `%s` first is the tenant."""
        return self.gateway.rows(query, self.tenant_id, *values)


def names_of(account: ProviderAccount) -> tuple[str, str]:
    """What the simulator may call an account."""
    return encode("prv", account.id), str(account.id)


PAYMENT = "payment { id status version clientSecret }"
PROBLEM = """
  ... on Error { code message retryable correlationId }
  ... on ValidationError { fields { path code message } }
  ... on IdempotencyKeyReusedError { differingPaths firstUsedAt }
"""


def mutation_document(
    name: str, input_type: str, payload: str, selection: str, *, names_things: bool = True
) -> str:
    """A mutation with one variable, answering what it made or what is wrong."""
    problem = f"{PROBLEM} ... on NotFoundError {{ id }}" if names_things else PROBLEM
    return f"""mutation M($input: {input_type}!) {{ {name}(input: $input) {{
  __typename ... on {payload} {{ replayed {selection} }} {problem} }} }}"""


MUTATIONS = {
    "paymentCreate": mutation_document(
        "paymentCreate", "PaymentCreateInput", "PaymentPayload", PAYMENT
    ),
    "paymentConfirm": mutation_document(
        "paymentConfirm", "PaymentConfirmInput", "PaymentPayload", PAYMENT
    ),
    "paymentCapture": mutation_document(
        "paymentCapture", "PaymentCaptureInput", "PaymentPayload", PAYMENT
    ),
    "paymentCancel": mutation_document(
        "paymentCancel", "PaymentCancelInput", "PaymentPayload", PAYMENT
    ),
    "refundCreate": mutation_document(
        "refundCreate", "RefundCreateInput", "RefundPayload", f"refund {{ id status }} {PAYMENT}"
    ),
    "operationResolve": mutation_document(
        "operationResolve",
        "OperationResolveInput",
        "OperationPayload",
        "approvalsMissing operation { id status }",
    ),
    "savedMethodRemove": mutation_document(
        "savedMethodRemove",
        "SavedMethodRemoveInput",
        "SavedMethodPayload",
        "savedMethod { id removedAt }",
    ),
    "accountCreate": mutation_document(
        "accountCreate",
        "AccountCreateInput",
        "AccountPayload",
        "account { id path }",
        names_things=False,
    ),
    "transferCreate": mutation_document(
        "transferCreate", "TransferCreateInput", "TransactionPayload", "transaction { id kind }"
    ),
}


@contextmanager
def a_gateway(folder: Path, app_url: str, admin_url: str, **settings: str) -> Iterator[Gateway]:
    """A gateway that is ready, with a simulator of its own."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    encryption_key = base64.b64encode(secrets.token_bytes(32)).decode()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COUNTERFOIL_") and name != "DATABASE_URL"
    } | {
        "COUNTERFOIL_DATABASE_URL": app_url,
        "COUNTERFOIL_MIGRATION_DATABASE_URL": admin_url,
        "COUNTERFOIL_DATA_DIR": str(folder / "data"),
        "COUNTERFOIL_ENCRYPTION_KEY": encryption_key,
        "COUNTERFOIL_PORT": str(port),
        "COUNTERFOIL_DEMO": "off",
        "COUNTERFOIL_GRAPHIQL": "off",
        "COUNTERFOIL_LEASE_SECONDS": "5",
        "COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS": "3",
        "COUNTERFOIL_LOG_FORMAT": "json",
        "COUNTERFOIL_LOG_LEVEL": "info",
        # All shops, browsers and strangers of the tests share one address.
        "COUNTERFOIL_BROWSER_REQUESTS_PER_SECOND": "0",
        # What is left of a budget differs from one answer to the next; tests compare whole answers.
        "COUNTERFOIL_KEY_COST_PER_MINUTE": "0",
        **settings,
    }
    log = folder / "gateway.log"
    with (
        SimulatorProcess(folder / "simulator") as simulator,
        serving(environment, log, base) as process,
        httpx.Client(base_url=base, trust_env=False, timeout=30, verify=TRUSTS_NOBODY) as client,
        psycopg.connect(admin_url, autocommit=True) as admin,
    ):
        yield Gateway(
            base, app_url, admin_url, log, simulator, encryption_key, client, admin, process
        )


@contextmanager
def serving(environment: Mapping[str, str], log: Path, base: str) -> Iterator[Program]:
    """`python -m counterfoil serve` until the block ends; its output goes to `log`."""
    process = Program(("counterfoil", "serve"), environment, log, log)
    try:
        _await_ready(process, base, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(25)
        except TimeoutExpired:
            process.kill()
            process.wait(25)


def _await_ready(process: Program, base: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if answers(f"{base}/readyz"):
            return
        time.sleep(0.02)
    raise AssertionError(f"the gateway did not start:\n{log.read_text()[-3000:]}")


def assert_typed(answer: httpx.Response, label: object = "") -> list[Json]:
    """Not our fault, JSON, every error with its code and correlation id; returns the errors."""
    assert answer.status_code < 500, f"{label}: {answer.status_code} {answer.text}"
    body = answer.json()
    errors: list[Json] = body.get("errors", [])
    for error in errors:
        extensions = error["extensions"]
        assert extensions["code"] not in {"", "INTERNAL"}, f"{label}: {answer.text}"
        assert extensions["correlationId"] == answer.headers["x-correlation-id"], label
        assert error["message"], label
    assert errors or body.get("data"), f"{label}: {answer.text}"
    return errors
