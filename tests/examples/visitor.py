"""What somebody does in the example shop, by what they read on the page."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import ConsoleMessage, Page, Request, Response, WebSocket, expect

from tests.examples.storefront import Storefront

PATIENCE_MS: Final = 20_000.0
WIDTHS: Final = {"phone": (390, 844), "desktop": (1200, 800)}


@dataclass
class Visitor:
    """A browser, and what it noticed."""

    page: Page
    storefront: Storefront
    complaints: list[str] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    """Of the gateway."""
    refused: list[str] = field(default_factory=list)
    """Requests that failed, the gateway's among them."""
    sockets: list[WebSocket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)
        self.page.on("websocket", self._connected)

    @property
    def gateway(self) -> str:
        return self.storefront.tenant.gateway.base

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} {message.location}")

    def _failed(self, request: Request) -> None:
        self.refused.append(f"{request.method} {request.url}")

    def _answered(self, response: Response) -> None:
        if response.url.startswith(self.gateway):
            self.answers.append(response)

    def _connected(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    async def visit(self, path: str = "/") -> None:
        await self.page.goto(f"{self.storefront.origin}{path}")

    async def sees(self, heading: str) -> None:
        """Wait until the page says so."""
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(
            heading, timeout=PATIENCE_MS
        )

    async def reads(self, text: str) -> None:
        await expect(self.page.get_by_text(text)).to_be_visible(timeout=PATIENCE_MS)

    async def presses(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def orders(self, *products: str) -> str:
        """Put products into the cart and check out; the id of the order."""
        await self.visit()
        for product in products:
            await self.presses(f"Add {product} to cart")
        return await self.checks_out()

    async def checks_out(self) -> str:
        """The id of the order."""
        await self.presses("Check out")
        await self.page.wait_for_url("**/orders/*")
        return self.page.url.rpartition("/")[2]

    async def pays_with(self, card: str, amount: str) -> None:
        await self.page.get_by_label(card).check()
        await self.presses(f"Pay {amount}")

    async def logs_in(self, name: str) -> None:
        await self.visit("/account")
        await self.presses(f"Log in as {name}")
        await self.sees(f"Hello, {name}")

    async def asks(self, document: str, credential: str, **variables: Any) -> Any:
        """What the page is told by the gateway, by a script of somebody else in it."""
        return await self.page.evaluate(
            """async ([url, key, query, variables]) => {
              const answer = await fetch(url, {
                method: "POST",
                headers: { "content-type": "application/json", authorization: "Bearer " + key },
                body: JSON.stringify({ query, variables }),
              });
              return answer.json();
            }""",
            [f"{self.gateway}/storefront/graphql", credential, document, variables],
        )

    async def reading(self) -> str:
        return await self.page.locator("main").inner_text()

    def forgives(self, *texts: str) -> list[str]:
        """What the browser was to complain about here is not held against the page."""
        expected = [one for one in self.complaints if any(text in one for text in texts)]
        self.complaints = [one for one in self.complaints if one not in expected]
        return expected

    async def keeps_screenshots(self, name: str) -> None:
        """Leaves pictures for a person to look at, where COUNTERFOIL_SCREENSHOTS says."""
        folder = os.environ.get("COUNTERFOIL_SCREENSHOTS")
        for device, (width, height) in WIDTHS.items() if folder else ():
            await self.page.set_viewport_size({"width": width, "height": height})
            path = Path(str(folder)) / f"{name}_{device}.png"
            await self.page.screenshot(path=path, full_page=True)
