"""`make demo`: a whole gateway is started on free ports, and a story is told with what it says.

Nothing on the screen is made up: every line comes from the API or from the simulator's own log.
At the end the trial balance must be zero and the log equal to the ledger, or the demo fails.
"""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from core.certificates import usual_authorities
from core.database import Database, DatabaseSettings
from core.errors import Broken, Unavailable
from counterfoil import demo_documents as documents
from counterfoil.bootstrap import DEMO_TENANT
from counterfoil.layout import ROOT
from counterfoil.oracle import Comparison, compare
from counterfoil.settings import Settings
from counterfoil.startup import with_database
from counterfoil.verification import findings_of
from tenants import find_tenant

START_SECONDS: Final = 120.0
RESOLVE_SECONDS: Final = 60.0


class DemoFailed(Broken):
    """The demo did not end as it must."""

    code = "DEMO_FAILED"


class GatewayDidNotStart(Unavailable):
    """The gateway of the demo did not start."""

    code = "GATEWAY_DID_NOT_START"


def run(screen: Console) -> None:
    """Tell the story. Raises: DemoFailed, GatewayDidNotStart."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-demo-") as folder:
        # The embedded server may run as another user, which has to pass through.
        Path(folder).chmod(0o711)
        with _gateway(Path(folder), screen) as story:
            story.first_payment()
            story.its_webhooks()
            story.its_entries()
            story.a_decline()
            story.a_shopper_proves_who_they_are()
            story.an_answer_that_never_came()
            story.part_of_the_money_back()
            story.the_books()


@contextmanager
def _gateway(folder: Path, screen: Console) -> Iterator["Story"]:
    port, simulator_port = _free_ports(2)
    environment = {
        **{name: value for name, value in os.environ.items() if "DATABASE_URL" not in name},
        "COUNTERFOIL_DATA_DIR": str(folder),
        "COUNTERFOIL_PORT": str(port),
        "COUNTERFOIL_SIMULATOR_PORT": str(simulator_port),
        "COUNTERFOIL_LOG_LEVEL": "warning",
        "COUNTERFOIL_GRAPHIQL": "off",
        "COUNTERFOIL_DEMO": "on",
    }
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "counterfoil", "serve"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with screen.status("Starting a gateway, a PostgreSQL and a simulated provider …"):
            _await_ready(process, url, log)
        key = (folder / "demo-key").read_text("ascii").strip()
        with (
            httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=60,
                trust_env=False,
                verify=usual_authorities(),
            ) as api,
            httpx.Client(
                base_url=f"http://127.0.0.1:{simulator_port}",
                timeout=60,
                trust_env=False,
                verify=usual_authorities(),
            ) as simulator,
            with_database(Settings.read(environment)) as settings,
        ):
            yield Story(screen, api, simulator, settings)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise GatewayDidNotStart(output=log.read_text(errors="replace")[-2000:])


class Story:
    """The scenes, in order; each shows what it was told."""

    def __init__(
        self, screen: Console, api: httpx.Client, simulator: httpx.Client, settings: Settings
    ) -> None:
        self._settings = settings
        self._screen = screen
        self._api = api
        self._simulator = simulator
        self._scene = 0
        self._first: dict[str, Any] = {}

    def first_payment(self) -> None:
        self._title(
            "A payment, each of its webhooks delivered three times and out of order",
            "paymentCreate 42.50 EUR with tok_success, then paymentCapture",
        )
        self._tell_simulator(
            "/_webhooks", {"duplicate": 3, "delay_ms": [200, 3000], "reorder": True, "seed": 7}
        )
        authorized = self._pay("tok_success", "42.50", captureMode="MANUAL")
        self._must(authorized["status"] == "AUTHORIZED", "the amount is authorized")
        answer = self._ask(
            documents.CAPTURE,
            input={"idempotencyKey": _fresh_key("capture"), "paymentId": authorized["id"]},
        )["paymentCapture"]
        if answer["__typename"] != "PaymentPayload":
            raise DemoFailed(expected="a capture", answer=answer)
        self._first = answer["payment"]
        self._must(self._first["status"] == "CAPTURED", "the payment is captured")
        self._show_operations(self._first)

    def its_webhooks(self) -> None:
        def delivered() -> list[dict[str, Any]] | None:
            answer = self._ask_simulator("/_webhooks", limit=1000)
            return None if answer["open"] else list(answer["data"])

        def processed() -> list[dict[str, Any]] | None:
            rows: list[dict[str, Any]] = self._ask(documents.INBOX)["inboundWebhooks"]["nodes"]
            return rows if all(row["status"] == "PROCESSED" for row in rows) else None

        copies = self._wait(delivered, "every copy of every webhook is delivered")
        inbox = self._wait(processed, "the inbox is worked through")
        arrivals = sorted(copies, key=lambda copy: copy["delivered_ms"])
        self._say("in the order they arrived: " + ", ".join(copy["type"] for copy in arrivals))
        table = Table("event", "deliveries", "rows in the inbox", "status", title="Webhooks")
        for row in inbox:
            deliveries = [copy for copy in copies if copy["event"] == row["providerEventId"]]
            table.add_row(row["kind"], str(len(deliveries)), "1", row["status"])
            self._must(len(deliveries) == 3, f"{row['kind']} was delivered three times")
        self._screen.print(table)
        events = {copy["event"] for copy in copies}
        self._must(len(inbox) == len(events), "each event is in the inbox once")

    def its_entries(self) -> None:
        self._title("What it did to the books", "transactions, balances and the statement of sales")
        payment = self._ask(documents.ENTRIES, id=self._first["id"])["payment"]
        self._screen.print(_entries(payment["transactions"]["nodes"]))
        self._screen.print(_balances(self._ask(documents.BALANCES)["accounts"]["nodes"]))
        account = self._ask(documents.STATEMENT, **_this_month())["account"]
        self._screen.print(_statement(account["statement"]))

    def a_decline(self) -> None:
        self._title("A decline is an answer, not an error", "tok_decline_insufficient_funds")
        payment = self._pay("tok_decline_insufficient_funds", "19.99")
        decline = payment["lastDecline"] or {}
        self._say(f"{payment['status']}: {decline.get('kind')} ({decline.get('code')})")
        self._must(decline.get("kind") == "INSUFFICIENT_FUNDS", "the decline says why")

    def a_shopper_proves_who_they_are(self) -> None:
        self._title("3-D Secure", "tok_requires_action, then the shopper approves")
        payment = self._pay("tok_requires_action", "80.00")
        action = payment["nextAction"] or {}
        self._say(f"{payment['status']}: the shopper is sent to {action.get('url')}")
        self._must(payment["status"] == "REQUIRES_ACTION", "the shopper is asked")
        self._approve(str(action["url"]))
        payment = self._settled(payment["id"])
        self._show_operations(payment)
        self._must(payment["status"] == "CAPTURED", "the payment is captured")

    def an_answer_that_never_came(self) -> None:
        self._title(
            "The provider charges, and the connection breaks",
            "tok_timeout_after: unknown is an outcome, and it resolves itself",
        )
        payment = self._pay("tok_timeout_after", "12.00")
        operation = payment["attempts"][-1]["operations"][-1]
        self._say(
            f"{payment['status']}, operation {operation['status']}; "
            f"asked again at {operation['nextResolutionAt']}"
        )
        payment = self._settled(payment["id"])
        self._show_operations(payment)
        self._must(payment["status"] == "CAPTURED", "the evidence says it was charged")
        self._must(len(payment["attempts"]) == 1, "nobody was charged twice")

    def part_of_the_money_back(self) -> None:
        self._title("A partial refund", "refundCreate 12.50 EUR of the first payment")
        answer = self._ask(
            documents.REFUND,
            input={
                "idempotencyKey": _fresh_key("refund"),
                "paymentId": self._first["id"],
                "amount": {"decimal": "12.50", "currency": "EUR"},
            },
        )["refundCreate"]
        if answer["__typename"] != "RefundPayload":
            raise DemoFailed(expected="a refund", answer=answer)
        refund, payment = answer["refund"], answer["payment"]
        self._say(
            f"refund {refund['status']}; still refundable "
            f"{payment['amountRefundable']['formatted']}"
        )
        self._must(refund["status"] == "SUCCEEDED", "the refund succeeded")

    def the_books(self) -> None:
        self._title("The books", "trial balance, the provider's own log against the ledger, verify")
        lines = self._ask(documents.TRIAL_BALANCE)["trialBalance"]
        table = Table("currency", "layer", "debits", "credits", title="Trial balance")
        for line in lines:
            table.add_row(
                line["currency"],
                line["layer"],
                line["debits"]["formatted"],
                line["credits"]["formatted"],
            )
            self._must(
                line["debits"]["amountMinor"] == line["credits"]["amountMinor"],
                f"{line['currency']} {line['layer']}: debits equal credits",
            )
        self._screen.print(table)
        self._compare()

    def _compare(self) -> None:
        """The provider's own log against the ledger, and the books against themselves."""
        comparison, findings = asyncio.run(_inspect(self._settings, str(self._simulator.base_url)))
        for line in comparison.lines():
            self._say(line)
        self._must(not comparison.differences, "the simulator's log equals the ledger")
        for finding in findings:
            self._say(finding)
        self._must(not findings, "verify finds no difference")

    def _pay(self, token: str, decimal: str, **more: str) -> dict[str, Any]:
        answer = self._ask(
            documents.PAY,
            input={
                "idempotencyKey": _fresh_key("payment"),
                "amount": {"decimal": decimal, "currency": "EUR"},
                "method": {"token": token},
                "returnUrl": "https://shop.example/return",
                **more,
            },
        )["paymentCreate"]
        if answer["__typename"] != "PaymentPayload":
            raise DemoFailed(expected="a payment", answer=answer)
        payment: dict[str, Any] = answer["payment"]
        return payment

    def _settled(self, payment_id: str) -> dict[str, Any]:
        """The payment, once nothing about it is open."""

        def certain() -> dict[str, Any] | None:
            payment: dict[str, Any] = self._ask(documents.PAYMENT, id=payment_id)["payment"]
            return None if payment["status"] in {"PROCESSING", "REQUIRES_ACTION"} else payment

        settled: dict[str, Any] = self._wait(certain, "the payment is certain")
        return settled

    def _approve(self, url: str) -> None:
        """Press Approve on the provider's page, as the shopper's browser would."""
        answer = self._simulator.post(url, data={"decision": "approve"}, follow_redirects=False)
        if answer.status_code not in {302, 303}:
            raise DemoFailed(expected="the page takes the answer", status=answer.status_code)

    def _ask(self, document: str, **variables: object) -> dict[str, Any]:
        answer = self._api.post("/graphql", json={"query": document, "variables": variables})
        body = answer.json()
        if body.get("errors"):
            raise DemoFailed(errors=body["errors"])
        data: dict[str, Any] = body["data"]
        return data

    def _ask_simulator(self, path: str, **parameters: int) -> dict[str, Any]:
        answer = self._simulator.get(path, params=parameters)
        if answer.status_code != 200:
            raise DemoFailed(asked=path, answer=answer.text[:500])
        found: dict[str, Any] = answer.json()
        return found

    def _tell_simulator(self, path: str, body: dict[str, object]) -> None:
        self._simulator.post(path, json=body).raise_for_status()

    def _wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + RESOLVE_SECONDS
        with self._screen.status(f"Waiting until {what} …"):
            while time.monotonic() < deadline:
                if (answer := condition()) is not None:
                    return answer
                time.sleep(0.2)
        raise DemoFailed(waited_for=what, seconds=RESOLVE_SECONDS)

    def _show_operations(self, payment: dict[str, Any]) -> None:
        table = Table("operation", "status", "amount", "fee", "evidence", title=payment["id"])
        for attempt in payment["attempts"]:
            for operation in attempt["operations"]:
                table.add_row(
                    f"{operation['kind']} at {attempt['provider']['name']}",
                    operation["status"],
                    operation["amount"]["formatted"],
                    (operation["fee"] or {}).get("formatted", ""),
                    ", ".join(f"{e['source']} {e['says']}" for e in operation["evidence"]),
                )
        self._screen.print(table)

    def _title(self, title: str, what: str) -> None:
        self._scene += 1
        self._screen.line(1)
        self._screen.rule(f"{self._scene}. {title}", align="left")
        self._say(what)

    def _say(self, line: str) -> None:
        self._screen.print(line, markup=False, highlight=False)

    def _must(self, condition: bool, what: str) -> None:
        if not condition:
            raise DemoFailed(expected=what)
        self._screen.print(f"  ✓ {what}", style="green", markup=False, highlight=False)


def _entries(transactions: list[dict[str, Any]]) -> Table:
    """The entries as they were booked; the API gives the newest transaction first."""
    table = Table("transaction", "layer", "account", "debit", "credit", title="Ledger entries")
    for transaction in reversed(transactions):
        for entry in transaction["entries"]:
            amount = entry["amount"]["formatted"]
            debit = entry["direction"] == "DEBIT"
            table.add_row(
                transaction["kind"],
                entry["layer"],
                entry["account"]["path"],
                amount if debit else "",
                "" if debit else amount,
            )
        table.add_section()
    return table


def _balances(accounts: list[dict[str, Any]]) -> Table:
    table = Table("account", "posted", "pending", "available", title="Balances")
    for account in accounts:
        balance = account["balance"]
        table.add_row(
            account["path"],
            *(balance[name]["formatted"] for name in ("posted", "pending", "available")),
        )
    return table


def _statement(statement: dict[str, Any]) -> Table:
    table = Table(
        "posted at", "what", "debit", "credit", "balance", title="Statement: income:sales"
    )
    table.add_row("", "opening", "", "", statement["opening"]["formatted"])
    for line in statement["lines"]["nodes"]:
        amount = line["amount"]["formatted"]
        debit = line["direction"] == "DEBIT"
        table.add_row(
            line["postedAt"],
            line["transaction"]["kind"],
            amount if debit else "",
            "" if debit else amount,
            line["runningBalance"]["formatted"],
        )
    table.add_row("", "closing", "", "", statement["closing"]["formatted"])
    return table


async def _inspect(settings: Settings, simulator_url: str) -> tuple[Comparison, list[str]]:
    database = await Database.open(DatabaseSettings(settings.app_database_url, pool_size=2))
    try:
        tenant_id = await find_tenant(database, DEMO_TENANT)
        comparison = await compare(database, tenant_id, simulator_url)
        return comparison, [finding async for finding in findings_of(database, tenant_id)]
    finally:
        await database.close()


def _fresh_key(purpose: str) -> str:
    return f"demo-{purpose}-{secrets.token_hex(8)}"


def _this_month() -> dict[str, str]:
    """From a day ago until tomorrow: whatever the time zone, the demo falls into it."""
    now = time.time()
    day = 86_400
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    return {
        "from": time.strftime(stamp, time.gmtime(now - day)),
        "to": time.strftime(stamp, time.gmtime(now + day)),
    }
