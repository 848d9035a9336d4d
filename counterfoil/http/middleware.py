"""ASGI middleware around every route."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.clock import Clock
from core.telemetry import accept_correlation_id, correlation, correlation_id
from core.tracing import Flow, root_span
from counterfoil.http.routes import route_of
from schema.endpoint.answer import answer_problem, write_json
from schema.endpoint.problems import HttpProblem

log = structlog.get_logger("counterfoil.access")

CORRELATION_HEADER: Final = "x-correlation-id"
_SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}


class CorrelationId:
    """Bind the correlation id of each request, and send it back. Around all that logs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        id = accept_correlation_id(headers.get(CORRELATION_HEADER), headers.get("traceparent"))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[CORRELATION_HEADER] = id
            await send(message)

        with correlation(id):
            await self._app(scope, receive, send_with_id)


class Trace:
    """A span around each request, in the caller's trace if it names one. Never the path itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        flow = Flow(correlation_id(), Headers(scope=scope).get("traceparent"))
        with root_span("request", flow, "server") as span:

            async def noting_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.note(**{"http.response.status_code": message["status"]})
                await send(message)

            try:
                await self._app(scope, receive, noting_send)
            finally:
                route = route_of(scope)
                span.note(**{"http.route": route, "http.request.method": scope["method"]})
                span.rename(f"{scope['method']} {route}")


class AccessLog:
    """One line per request: who, what, how it ended, how long. Never the query string."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock.monotonic()
        status = 500
        sent = 0

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=_without_token(scope["path"]),
                status=status,
                duration_ms=round((self._clock.monotonic() - started) * 1000, 1),
                response_bytes=sent,
                client=scope["client"][0] if scope.get("client") else None,
            )


def _without_token(path: str) -> str:
    """What comes back from a provider's page has its proof in the path."""
    return "/return/…" if path.startswith("/return/") else path


class SecurityHeaders:
    """Defaults that a route may set otherwise (the GraphiQL page has a policy of its own)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _BodyTooLarge(Exception):
    pass


class BodyLimit:
    """Refuse bodies beyond a cap with 413: by the announced length, else counted as they stream.

    The webhook and GraphQL routes have tighter caps of their own.
    """

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()):
            await _refuse(send, HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "Bad Content-Length.")
        elif len(announced) > 18 or int(announced) > self._bytes_max:
            await self._too_large(send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0
        started = exceeded = False

        async def counting_receive() -> Message:
            nonlocal received, exceeded
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._bytes_max:
                exceeded = True
                raise _BodyTooLarge
            return message

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if exceeded and not started:
                return  # a route that took the refusal for a failure of its own
            started = True
            await send(message)

        try:
            await self._app(scope, counting_receive, guarded_send)
        except _BodyTooLarge:
            if started:
                raise
        if exceeded and not started:
            await self._too_large(send)

    async def _too_large(self, send: Send) -> None:
        message = f"The body may have at most {self._bytes_max} bytes."
        await _refuse(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", message)


async def _refuse(send: Send, status: HTTPStatus, code: str, message: str) -> None:
    answer = answer_problem(HttpProblem(status, code, message))
    body = write_json(answer.payload)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
