"""Whose pages may ask us: CORS for the browser's view, and the Origin of every WebSocket.

    preflight              answered when some tenant allows the origin: it carries no credentials
    request, WebSocket     refused unless some tenant does; whether it is the caller's own tenant is
                           asked when that is known (counterfoil/access.py, resolvers/context.py)

Cookies are never allowed: nothing here ever reads one. What has no Origin comes from no page.
Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Unavailable
from schema.endpoint import OriginNotAllowed
from schema.endpoint.answer import Answer, answer_problem, answer_unavailable
from schema.endpoint.problems import HttpProblem
from tenants import origin_of_url

ALLOWED_HEADERS: Final = (
    "authorization, content-type, idempotency-key, x-correlation-id, traceparent"
)
EXPOSED_HEADERS: Final = "x-correlation-id, retry-after"
_MAX_AGE_SECONDS: Final = 600
_POLICY_VIOLATION: Final = 1008

AllowsOrigin = Callable[[str], Awaitable[bool]]


def foreign_origin(headers: Mapping[str, str], public_url: str) -> str | None:
    """The origin of a page that is not ours; None for our own pages and for what is no page.

    Ours is what our public URL says, and whatever the page was loaded from: the Host it names.
    """
    origin = headers.get("origin")
    if origin is None or origin == origin_of_url(public_url):
        return None
    scheme, _, authority = origin.partition("://")
    is_own = scheme in {"http", "https"} and authority == headers.get("host", "").lower()
    return None if is_own and authority else origin


class CrossOrigin:
    """Around a view that pages of other origins may use."""

    def __init__(self, app: ASGIApp, *, public_url: str, allows: AllowsOrigin) -> None:
        self._app = app
        self._public_url = public_url
        self._allows = allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = foreign_origin(headers, self._public_url)
        if origin is None:
            await self._app(scope, receive, _with_headers(send, {}))
            return
        try:
            allowed = await self._allows(origin)
        except Unavailable as error:
            await _refuse(scope, receive, send, answer_unavailable(error))
            return
        if not allowed:
            refused = OriginNotAllowed()
            problem = HttpProblem(403, refused.code, refused.message)
            await _refuse(scope, receive, send, answer_problem(problem))
        elif scope["type"] == "http" and _is_preflight(scope["method"], headers):
            await _answer_preflight(origin)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send, _allowing(origin)))


class SameOriginSockets:
    """Around a view for servers and our own pages: no other page may open a WebSocket to it.

    Over HTTP the browser sees to that, since no header of ours allows it anything.
    """

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        self._app = app
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if foreign_origin(Headers(scope=scope), self._public_url) is None:
            await self._app(scope, receive, send)
        else:
            await _refuse_socket(receive, send)


def _allowing(origin: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": EXPOSED_HEADERS,
        "cross-origin-resource-policy": "cross-origin",
    }


def _is_preflight(method: str, headers: Headers) -> bool:
    return method == "OPTIONS" and "access-control-request-method" in headers


def _answer_preflight(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            **_allowing(origin),
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": ALLOWED_HEADERS,
            "access-control-max-age": str(_MAX_AGE_SECONDS),
            "vary": "origin, access-control-request-method, access-control-request-headers",
        },
    )


def _with_headers(send: Send, more: Mapping[str, str]) -> Send:
    """Send with these headers; what is sent differs with the origin in any case."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(more)
            headers.add_vary_header("origin")
        await send(message)

    return send_with_headers


async def _refuse(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    if scope["type"] == "websocket":
        await _refuse_socket(receive, send)
        return
    headers = {"vary": "origin", "cache-control": "no-store", **answer.headers}
    await JSONResponse(answer.payload, answer.status, headers)(scope, receive, send)


async def _refuse_socket(receive: Receive, send: Send) -> None:
    """Before it is accepted: the server answers the upgrade with 403."""
    await receive()
    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
