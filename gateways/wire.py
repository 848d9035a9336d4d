"""The only place where bytes leave for a provider.

Whatever goes wrong is sorted into two kinds here: nothing was sent, or it may have been.
"""

import asyncio
import http.cookiejar
import re
import ssl
from dataclasses import dataclass
from typing import Any, Final

import httpx

from core.certificates import usual_authorities
from core.clock import Clock
from gateways.port import BadRequest, HttpCall, HttpResponse, Unparseable

RESPONSE_BYTES_MAX: Final = 1_048_576
KEEPALIVE_EXPIRY_SECONDS: Final = 4.0
"""Shorter than any provider's, so that a call seldom meets a connection about to be closed."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")


class NothingSent(Exception):
    """No byte of the call reached the provider. `blames_provider`: its breaker counts it."""

    def __init__(self, code: str, *, blames_provider: bool) -> None:
        self.code = code
        self.blames_provider = blames_provider
        super().__init__(code)


class NoAnswer(Exception):
    """The call may have been processed, but no complete answer was read."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def make_client(
    *, connections_max: int = 1000, certificates: ssl.SSLContext | None = None
) -> httpx.AsyncClient:
    """A client without redirects, retries, cookies or settings from the environment.

    `certificates` says whom to trust; by default the usual authorities. One client per process.
    """
    limits = httpx.Limits(
        max_connections=connections_max,
        max_keepalive_connections=connections_max // 4,
        keepalive_expiry=KEEPALIVE_EXPIRY_SECONDS,
    )
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(
            verify=certificates or usual_authorities(),
            limits=limits,
            retries=0,
            trust_env=False,
        ),
        follow_redirects=False,
        trust_env=False,
        cookies=no_cookies,
        headers={"User-Agent": "Counterfoil", "Accept-Encoding": "identity"},
    )


@dataclass(slots=True)
class Wire:
    """Sends one call at a time, never past its deadline (on `clock.monotonic()`)."""

    client: httpx.AsyncClient
    clock: Clock

    def build(self, call: HttpCall, correlation_id: str) -> httpx.Request:
        """The request, checked for all that would make it fail before it is sent.

        Raises: BadRequest.
        """
        headers = dict(call.headers)
        if correlation_id:
            headers["X-Correlation-Id"] = correlation_id
        for name, value in headers.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                raise BadRequest(f"the header {name!r} cannot be sent")
        try:
            request = self.client.build_request(
                call.method,
                call.url,
                headers={
                    name.encode("ascii"): value.encode("latin-1") for name, value in headers.items()
                },
                content=call.body,
            )
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise BadRequest("the URL cannot be called") from error
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise BadRequest("the URL cannot be called")
        return request

    async def send(self, call: HttpCall, request: httpx.Request, deadline: float) -> HttpResponse:
        """Raises: NothingSent, NoAnswer, Unparseable (too large, compressed)."""
        remaining = self.remaining(deadline)
        writing = _Writing(self, deadline)
        request.extensions = {
            "timeout": _timeouts(call, remaining),
            "trace": writing.trace,
        }
        try:
            async with asyncio.timeout(remaining):
                response = await self.client.send(request, stream=True)
                try:
                    return await _read(response)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NothingSent("connect_failed", blames_provider=True) from error
        except httpx.PoolTimeout as error:
            raise NothingSent("no_free_connection", blames_provider=False) from error
        except httpx.TimeoutException as error:
            raise NoAnswer("timeout") from error
        except TimeoutError as error:
            if writing.surely_not_begun:
                raise NothingSent("connect_failed", blames_provider=True) from error
            raise NoAnswer("timeout") from error
        except httpx.RequestError as error:
            raise NoAnswer("connection_lost") from error

    def remaining(self, deadline: float) -> float:
        """Seconds left. Raises: NothingSent when there are none."""
        remaining = deadline - self.clock.monotonic()
        if remaining <= 0:
            raise NothingSent("budget_exhausted", blames_provider=False)
        return remaining


@dataclass(slots=True)
class _Writing:
    """Watches the connection: the deadline is checked once more just before the first byte."""

    wire: Wire
    deadline: float
    connecting: bool = False
    begun: bool = False

    @property
    def surely_not_begun(self) -> bool:
        return self.connecting and not self.begun

    async def trace(self, name: str, _: dict[str, Any]) -> None:
        if name == "connection.connect_tcp.started":
            self.connecting = True
        elif name.endswith(".send_request_headers.started"):
            self.wire.remaining(self.deadline)
            self.begun = True


def _timeouts(call: HttpCall, remaining: float) -> dict[str, float]:
    return {
        "connect": min(call.connect_timeout_seconds, remaining),
        "read": min(call.read_timeout_seconds, remaining),
        "write": min(call.read_timeout_seconds, remaining),
        "pool": min(call.connect_timeout_seconds, remaining),
    }


async def _read(response: httpx.Response) -> HttpResponse:
    """The whole body, as it is: unasked-for compression could hide a body of any size."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unparseable("compressed answer")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > RESPONSE_BYTES_MAX:
            raise Unparseable("answer too large")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpResponse(response.status_code, headers, bytes(body))
