"""ASGI middleware around every route."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.clock import Clock
from core.telemetry import accept_correlation_id, correlation
from core.tracing import Flow, Span, root_span
from counterfoil.http.figures import HttpMetrics
from counterfoil.http.routes import route_of
from schema.endpoint.answer import answer_problem, write_json
from schema.endpoint.problems import HttpProblem

log = structlog.get_logger("counterfoil.access")

CORRELATION_HEADER: Final = "x-correlation-id"
_CORRELATION_HEADER: Final = CORRELATION_HEADER.encode()
_SECURITY_HEADERS: Final[Mapping[bytes, bytes]] = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}


class Envelope:
    """What every request is put in: its correlation id, which is bound and sent back, a span in the
    caller's trace if it names one, a line in the log, its figures, and the security headers, which
    a route may set otherwise (the GraphiQL page has a policy of its own).

    The query string is never shown, nor the path but by its route in spans and figures.
    """

    def __init__(self, app: ASGIApp, clock: Clock, metrics: HttpMetrics) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        traceparent = headers.get("traceparent")
        id = accept_correlation_id(headers.get(CORRELATION_HEADER), traceparent)
        with correlation(id):
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
            else:
                await self._answer(scope, receive, _Sending(send, id), Flow(id, traceparent))

    async def _answer(self, scope: Scope, receive: Receive, sent: "_Sending", flow: Flow) -> None:
        started = self._clock.monotonic()
        with root_span("request", flow, "server") as span, self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, sent)
            finally:
                self._tell(scope, sent, span, self._clock.monotonic() - started)

    def _tell(self, scope: Scope, sent: "_Sending", span: Span, seconds: float) -> None:
        """Who, what, how it ended, how long."""
        route, method = route_of(scope), scope["method"]
        self._metrics.count(route, method, sent.status, seconds)
        log.info(
            "request",
            method=method,
            path=_without_token(scope["path"]),
            status=sent.status,
            duration_ms=round(seconds * 1000, 1),
            response_bytes=sent.size,
            client=scope["client"][0] if scope.get("client") else None,
        )
        span.note(
            **{
                "http.response.status_code": sent.status,
                "http.route": route,
                "http.request.method": method,
            }
        )
        span.rename(f"{method} {route}")


@dataclass(slots=True)
class _Sending:
    """Adds the headers; remembers the status and how many bytes of the body went out."""

    send: Send
    correlation_id: str
    status: int = 500
    size: int = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message.get("headers", ()))
        else:
            self.size += len(message.get("body", b""))
        await self.send(message)

    def _completed(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = {**_SECURITY_HEADERS, _CORRELATION_HEADER: self.correlation_id.encode()}
        named = list(given)
        for name, _ in named:
            headers.pop(name.lower(), None)
        return [*named, *headers.items()]


def _without_token(path: str) -> str:
    """What comes back from a provider's page has its proof in the path."""
    return "/return/…" if path.startswith("/return/") else path


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
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()):
            await _refuse(send, HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "Bad Content-Length.")
        elif len(announced) > 18 or int(announced) > self._bytes_max:
            await self._too_large(send)
        elif "content-length" in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)  # the server ends the body where it was announced
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
