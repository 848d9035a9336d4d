"""A newcomer's first minute, in a real browser: the page opens, the first tab makes a payment."""

import asyncio
import enum
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import strawberry
import uvicorn
from playwright.async_api import ConsoleMessage, Page, async_playwright, expect
from playwright.async_api import Request as BrowserRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from counterfoil.graphiql import Graphiql
from simulator.tokens import Behaviour
from tests.chromium import CHROMIUM, FLAGS, needs_chromium

ROOT = Path(__file__).parents[2]
KEY = "cf_test_0123456789"
TABS = [
    "FirstPayment", "Webhooks", "LedgerEntries", "Statement", "Decline", "Refund", "Providers",
    "UnknownOutcome", "KeepMethod", "SavedMethods", "Watch",
]  # fmt: skip

pytestmark = [
    pytest.mark.timeout(300),  # the first run on a machine builds the page
    needs_chromium,
]


@strawberry.type
class Money:
    decimal: str
    currency: str


@strawberry.type
class Provider:
    name: str


@strawberry.type
class Operation:
    kind: str
    status: str
    provider_ref: str


@strawberry.type
class Attempt:
    number: int
    status: str
    provider: Provider
    operations: list[Operation]


@strawberry.type
class Payment:
    id: strawberry.ID
    status: str
    amount: Money
    amount_captured: Money
    fees: Money
    net: Money
    attempts: list[Attempt]


@strawberry.interface
class Error:
    code: str
    message: str
    retryable: bool
    correlation_id: strawberry.ID


@strawberry.type
class FieldError:
    path: list[str]
    code: str
    message: str


@strawberry.type
class ValidationError(Error):
    fields: list[FieldError]


@strawberry.type
class PaymentPayload:
    payment: Payment
    replayed: bool


@strawberry.input
class MoneyInput:
    decimal: str
    currency: str


@strawberry.input
class PaymentMethodInput:
    token: str


@strawberry.enum
class CaptureMode(enum.Enum):
    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"


@strawberry.input
class PaymentCreateInput:
    idempotency_key: str
    amount: MoneyInput
    method: PaymentMethodInput
    capture_mode: CaptureMode = CaptureMode.AUTOMATIC
    confirm: bool = True


PaymentCreateResult = Annotated[
    PaymentPayload | ValidationError, strawberry.union("PaymentCreateResult")
]


@strawberry.type
class Query:
    @strawberry.field
    def payment(self, id: strawberry.ID) -> Payment | None:
        return None


@strawberry.type
class Mutation:
    @strawberry.mutation
    def payment_create(
        self, info: strawberry.Info[dict[str, Any]], input: PaymentCreateInput
    ) -> PaymentCreateResult:
        payments: dict[str, Payment] = info.context["payments"]
        replayed = input.idempotency_key in payments
        if not replayed:
            payments[input.idempotency_key] = a_payment(len(payments) + 1, input.amount)
        return PaymentPayload(payment=payments[input.idempotency_key], replayed=replayed)


def a_payment(number: int, amount: MoneyInput) -> Payment:
    money = Money(decimal=amount.decimal, currency=amount.currency)
    sale = Operation(kind="SALE", status="SUCCEEDED", provider_ref=f"sim_{number}")
    attempt = Attempt(
        number=1, status="CAPTURED", provider=Provider(name="Simulator A"), operations=[sale]
    )
    return Payment(
        id=strawberry.ID(f"pay_{number:026d}"),
        status="CAPTURED",
        amount=money,
        amount_captured=money,
        fees=Money(decimal="1.75", currency=amount.currency),
        net=Money(decimal="48.15", currency=amount.currency),
        attempts=[attempt],
    )


@dataclass
class Api:
    """A GraphQL endpoint that remembers each payment and refuses whoever has not the key."""

    payments: dict[str, Payment] = field(default_factory=dict)
    schema: strawberry.Schema = field(
        default_factory=lambda: strawberry.Schema(query=Query, mutation=Mutation)
    )

    async def answer(self, request: Request) -> JSONResponse:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"errors": [{"message": "UNAUTHENTICATED"}]}, 401)
        body = await request.json()
        result = await self.schema.execute(
            body["query"],
            variable_values=body.get("variables"),
            operation_name=body.get("operationName"),
            context_value={"payments": self.payments},
        )
        errors = [error.formatted for error in result.errors or []]
        return JSONResponse({"data": result.data} | ({"errors": errors} if errors else {}))


@dataclass
class Seen:
    """What a browser complained about, and every address it asked for."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("request", lambda request: self.requests.append(request.url))

    def _failed(self, request: BrowserRequest) -> None:
        # A reload aborts what the page it leaves was still fetching; a blocked request is not that.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.failure}: {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} {message.location}")


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    config = uvicorn.Config(app, log_level="error", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


@asynccontextmanager
async def a_window(origin: str, seen: Seen) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(
            viewport={"width": 1400, "height": 900}, reduced_motion="reduce"
        )
        seen.watch(page)
        await page.goto(f"{origin}/graphiql")
        await page.get_by_role("tab", name="FirstPayment").wait_for()
        yield page
        await browser.close()


async def run_tab(page: Page) -> str:
    """Presses the button once every editor is filled; returns the answer's text once it is there.

    Before its editors exist GraphiQL ignores the button.
    """
    await page.locator(".result-window .monaco-editor").wait_for()
    for editor, text in (
        (".graphiql-query-editor", "FirstPayment"),
        (".graphiql-editor-tool", "tok_success"),
    ):
        await page.locator(f"{editor} .view-lines").first.get_by_text(text).first.wait_for()
    async with page.expect_response("**/graphql"):
        await page.locator(".graphiql-execute-button").click()
    # Not wait_for_function: it evaluates a string, which the page's policy refuses.
    await expect(page.locator(".result-window .view-lines")).to_contain_text("}")
    return await text_of(page, ".result-window")


async def text_of(page: Page, editor: str) -> str:
    text = await page.locator(f"{editor} .view-lines").first.inner_text()
    return text.replace("\N{NO-BREAK SPACE}", " ")


def an_app(data_dir: Path, api: Api) -> Starlette:
    page = Graphiql(
        data_dir=data_dir, sources=ROOT / "graphiql", demo_key=lambda: KEY, enabled=True
    )
    endpoint = Route("/graphql", api.answer, methods=["POST"])
    return Starlette(routes=[*page.routes(), endpoint])


async def test_a_newcomer_makes_a_payment_by_pressing_one_button(page_data_dir: Path) -> None:
    api, seen = Api(), Seen()

    async with serving(an_app(page_data_dir, api)) as origin, a_window(origin, seen) as page:
        tabs = await page.get_by_role("tab").all_inner_texts()
        first = await run_tab(page)
        second = await run_tab(page)
        await keep_screenshot(page, "first_payment")
        await page.get_by_role("tab", name="Refund").click()
        refund = await text_of(page, ".graphiql-editor-tool")
        await page.reload()
        await page.get_by_role("tab", name="FirstPayment").click()
        third = await run_tab(page)

    assert [tab.strip() for tab in tabs if tab.strip()] == TABS
    assert '"status": "CAPTURED"' in first
    assert '"replayed": false' in first
    assert '"replayed": true' in second
    assert '"replayed": false' in third
    assert len(api.payments) == 2
    assert "pay_00000000000000000000000001" in refund
    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith((f"{origin}/", "data:"))] == []


async def test_a_test_token_is_explained_and_put_into_the_variables(page_data_dir: Path) -> None:
    api, seen = Api(), Seen()

    async with serving(an_app(page_data_dir, api)) as origin, a_window(origin, seen) as page:
        await run_tab(page)
        await page.get_by_role("button", name="Show Test tokens").click()
        panel = page.locator(".tokens")
        await panel.wait_for()
        tokens = await panel.locator("li button").all_inner_texts()
        await keep_screenshot(page, "tokens")
        before = await text_of(page, ".graphiql-editor-tool")
        await panel.get_by_role("button", name="tok_timeout_after").click()
        await expect(page.locator(".graphiql-editor-tool")).to_contain_text("tok_timeout_after")
        after = await text_of(page, ".graphiql-editor-tool")
        help_link = await page.get_by_role("link", name="error code").get_attribute("href")

    assert tokens == [f"tok_{behaviour}" for behaviour in Behaviour]
    keys = [re.findall(r"graphiql-[0-9a-f]+", text) for text in (before, after)]
    assert keys[0] != keys[1], "another token is another intent"
    assert all(len(found) == 1 for found in keys)
    assert help_link == "/errors"
    assert seen.complaints == []


async def test_the_key_is_filled_in_and_never_stored(page_data_dir: Path) -> None:
    api, seen = Api(), Seen()

    async with serving(an_app(page_data_dir, api)) as origin, a_window(origin, seen) as page:
        await run_tab(page)
        await page.get_by_role("button", name="Headers").click()
        await page.get_by_text("Authorization").first.wait_for()
        await keep_screenshot(page, "headers")
        shown = await page.locator(".graphiql-editor-tool").inner_text()
        stored = await page.evaluate("JSON.stringify(localStorage)")

    assert KEY in shown
    assert "FirstPayment" in stored
    assert KEY not in stored


async def keep_screenshot(page: Page, name: str) -> None:
    """Leaves a picture for a person to look at, where COUNTERFOIL_SCREENSHOTS says."""
    if folder := os.environ.get("COUNTERFOIL_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def test_a_subscription_runs_in_the_page_with_the_key_under_headers(
    page_data_dir: Path,
) -> None:
    api, seen, told = Api(), Seen(), list[Any]()

    async def talk(socket: WebSocket) -> None:
        await socket.accept("graphql-transport-ws")
        told.append(await socket.receive_json())
        await socket.send_json({"type": "connection_ack"})
        told.append(subscribe := await socket.receive_json())
        data = {"paymentChanged": {"status": "CAPTURED"}}
        await socket.send_json({"id": subscribe["id"], "type": "next", "payload": {"data": data}})
        await socket.send_json({"id": subscribe["id"], "type": "complete"})
        with suppress(WebSocketDisconnect):
            await socket.receive_json()

    app = an_app(page_data_dir, api)
    app.routes.append(WebSocketRoute("/graphql", talk))
    async with serving(app) as origin, a_window(origin, seen) as page:
        await run_tab(page)
        await page.locator(".graphiql-query-editor .view-lines").first.click()
        await page.keyboard.press("Control+A")
        await page.keyboard.insert_text(
            'subscription { paymentChanged(paymentId: "p") { status } }'
        )
        await page.get_by_text("paymentChanged").first.wait_for()
        await page.locator(".graphiql-execute-button").click()
        await expect(page.locator(".result-window .view-lines")).to_contain_text("paymentChanged")

    init, subscribe = told
    assert init["payload"]["Authorization"] == f"Bearer {KEY}"
    assert subscribe["payload"]["query"].startswith("subscription")
    assert seen.complaints == []
