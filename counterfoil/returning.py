"""`/return/{token}`: shoppers come back from a provider's page here, on their way to the shop.

The provider is asked, as paymentSync does, for a few seconds at most; then the shopper goes on,
whatever is known by then. The shop is told the payment and its status as a hint: what is so, it
asks for itself. A redirect leads to the URL the payment was made with and nowhere else.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from core.errors import Unavailable
from core.identifiers import encode
from core.telemetry import correlation_id
from payments import (
    Actor,
    PaymentResult,
    PaymentServices,
    SyncPayment,
    WayBack,
    count_attempts,
    open_return,
    sync,
    way_back,
)
from payments.errors import Unsupported

log = structlog.get_logger("counterfoil.returning")

SYNC_SECONDS: Final = 6.0
"""How long a shopper waits for a provider's answer."""
PAUSE_SECONDS: Final = 2.0
"""From a provider's answer to the next question about the same try of a payment: whoever loads the
link over and over does not ask the provider each time."""
_HEADERS: Final = {"cache-control": "no-store"}
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


class Returning:
    """The route, and the questions to providers that outlive their shopper's patience."""

    def __init__(
        self, services: Callable[[], PaymentServices], *, seconds: float = SYNC_SECONDS
    ) -> None:
        self._services = services
        self._seconds = seconds
        self._asked: dict[tuple[UUID, int], asyncio.Task[PaymentResult]] = {}

    async def come_back(self, request: Request) -> Response:
        """GET, or POST where a provider's page posts; neither query nor body is looked at."""
        services = self._services()
        try:
            found = await open_return(services, request.path_params["token"])
            if found is None:
                return _page(HTTPStatus.NOT_FOUND, "Nothing here", "The link is not valid.")
            await self._ask_provider(services, *found)
            return _answer(await way_back(services, *found))
        except Unavailable:
            text = "Please load this page again in a moment."
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, "One moment", text)

    async def drain(self) -> None:
        """Wait until every provider that was asked has answered."""
        if asking := [task for task in self._asked.values() if not task.done()]:
            await asyncio.wait(asking)

    async def _ask_provider(
        self, services: PaymentServices, tenant_id: int, payment_id: UUID
    ) -> None:
        """Wait a little for the answer; it is taken in even when it comes later."""
        attempt = (payment_id, await count_attempts(services, tenant_id, payment_id))
        if attempt not in self._asked:
            public_id = encode("pay", payment_id)
            actor = Actor(tenant_id, f"client:{public_id}", public_id, correlation_id())
            task = asyncio.create_task(sync(SyncPayment(payment_id), actor, services))
            self._asked[attempt] = task
            task.add_done_callback(partial(self._has_asked, attempt))
        await asyncio.wait({self._asked[attempt]}, timeout=self._seconds)

    def _has_asked(self, attempt: tuple[UUID, int], task: asyncio.Task[PaymentResult]) -> None:
        task.get_loop().call_later(PAUSE_SECONDS, self._asked.pop, attempt)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Unsupported):
            log.error("sync_at_return_failed", exc_info=error)


def _answer(back: WayBack) -> Response:
    if back.url is None:
        return _page(HTTPStatus.OK, "You can close this page", "The shop knows how it went.")
    location = _with_hint(back.url, encode("pay", back.payment_id), back.status)
    return Response(status_code=303, headers={**_HEADERS, "location": location})


def _with_hint(url: str, payment_id: str, status: str) -> str:
    """The URL as it was given, with two more parameters."""
    address, hash, fragment = url.partition("#")
    hint = urlencode({"payment_id": payment_id, "payment_status": status})
    return f"{address}{'&' if '?' in address else '?'}{hint}{hash}{fragment}"


def _page(status: HTTPStatus, title: str, text: str) -> Response:
    return HTMLResponse(_PAGE.format(title=title, text=text), status, headers=_HEADERS)
