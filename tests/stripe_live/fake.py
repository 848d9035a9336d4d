"""The fake Stripe, served on loopback."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.gateways.stripe.fake import FakeStripe, Json, Sent

__all__ = ["API_KEY", "Json", "LiveStripe", "a_fake_stripe"]

API_KEY = "sk_test_live_like"
SLOW_SECONDS = 4.0
"""How long `pm_slow` is worked on: longer than the gateway waits."""


@dataclass
class LiveStripe(FakeStripe):
    """One account at Stripe, reached over HTTP."""

    url: str = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route("/v1/{path:path}", self._take, methods=["GET", "POST"])],
        )

    async def _take(self, request: Request) -> Response:
        sent = Sent(
            request.method,
            request.url.path,
            dict(request.query_params),
            (await request.body()).decode(),
            request.headers.get("idempotency-key", ""),
            request.headers.get("authorization", ""),
        )
        first = sent.key not in self.keys
        answer = self.begin(sent)
        if first and sent.form.get("payment_method") == "pm_slow":
            await asyncio.sleep(SLOW_SECONDS)
        if first:
            self.end(sent.key)
        return JSONResponse(answer.body, answer.status, dict(answer.headers))


@contextmanager
def a_fake_stripe() -> Iterator[LiveStripe]:
    """Served on a free loopback port for as long as the block lasts."""
    fake = LiveStripe(api_key=API_KEY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(fake.app(), log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield fake
        finally:
            server.should_exit = True
            thread.join(10)
