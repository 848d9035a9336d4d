"""Serves GraphiQL from our own origin: page, assets and the few facts the page asks for.

    GET /graphiql               the page, or "being built" (reloads itself), or why it failed
    GET /graphiql/assets/…      scripts, styles, fonts: names carry a hash, so they never change
    GET /graphql/config.json    where the endpoint is and, for a demo on this machine, its key

Nothing is loaded from elsewhere and no inline script runs. `/graphql` does not depend on any of it.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Final, assert_never

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from counterfoil.graphiql_build import Building, BuildState, Failed, PageBuild, Ready

PAGE_PATH: Final = "/graphiql"
CONFIG_PATH: Final = "/graphql/config.json"
RELOAD_SECONDS: Final = 2

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; font-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
NEVER_STORE: Final = "no-store"

# With `nosniff` a wrong type stops a script, and the machine's own table differs between systems.
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
}
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORWARDING_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Graphiql:
    """The GraphiQL page of one server.

    `demo_key` returns the demo tenant's server key, or None outside demo mode. When not `enabled`
    there are no routes and nothing is built.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        sources: Path,
        demo_key: Callable[[], str | None],
        enabled: bool,
        endpoint_path: str = "/graphql",
    ) -> None:
        self._enabled = enabled
        self._demo_key = demo_key
        self._endpoint_path = endpoint_path
        self._build = PageBuild(data_dir=data_dir, sources=sources) if enabled else None

    def routes(self) -> list[Route]:
        """Routes to put before the GraphQL endpoint's own."""
        if not self._enabled:
            return []
        return [
            Route(CONFIG_PATH, self._config),
            Route(PAGE_PATH, self._page),
            Route(PAGE_PATH + "/", self._page),
            Route(PAGE_PATH + "/{path:path}", self._asset),
        ]

    @asynccontextmanager
    async def building(self) -> AsyncIterator[None]:
        """Builds in the background for as long as the block lasts. Enter it when ready to serve."""
        if self._build is None:
            yield
            return
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._build.run())
            yield
            work.cancel()

    def for_browsers(self, endpoint: ASGIApp) -> ASGIApp:
        """The endpoint, with browsers that open its address sent to the page."""
        if not self._enabled:
            return endpoint

        async def endpoint_or_page(scope: Scope, receive: Receive, send: Send) -> None:
            app = (
                RedirectResponse(PAGE_PATH, headers={"Vary": "Accept"})
                if opened_in_browser(scope)
                else endpoint
            )
            await app(scope, receive, send)

        return endpoint_or_page

    async def _config(self, request: Request) -> Response:
        key = self._demo_key() if is_from_this_machine(request) else None
        config = {"endpoint": self._endpoint_path, "demoKey": key}
        return JSONResponse(config, headers=SECURITY_HEADERS | {"Cache-Control": NEVER_STORE})

    async def _page(self, request: Request) -> Response:
        match self._state():
            case Ready(directory=directory):
                return await BuiltFiles(directory).respond("index.html", request.scope)
            case Building():
                return waiting_page()
            case Failed() as failed:
                self._ask_retry()
                return failed_page(failed, show_output=is_from_this_machine(request))
            case unexpected:
                assert_never(unexpected)

    async def _asset(self, request: Request) -> Response:
        match self._state():
            case Ready(directory=directory):
                return await BuiltFiles(directory).respond(
                    request.path_params["path"], request.scope
                )
            case _:
                raise HTTPException(status_code=404)

    def _state(self) -> BuildState:
        assert self._build is not None
        return self._build.state

    def _ask_retry(self) -> None:
        assert self._build is not None
        self._build.ask_retry()


class BuiltFiles(StaticFiles):
    """Files of one build, compressed where the client takes it, and none outside its folder."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)

    async def respond(self, path: str, scope: Scope) -> Response:
        """The file at `path`, relative to the build; 404 for whatever is not there."""
        if ".." in path.split("/"):
            raise HTTPException(status_code=404)
        response = await self.get_response(path, scope)
        response.headers.update(SECURITY_HEADERS)
        lasting = path.startswith("assets/")
        response.headers["Cache-Control"] = FOR_EVER if lasting else ASK_AGAIN
        response.headers["Vary"] = "Accept-Encoding"
        return response

    def file_response(
        self,
        full_path: PathLike,
        stat_result: object,  # noqa: ARG002 - the chosen file's own is read below
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or the `.gz` beside it: two representations, each with an ETag of its own."""
        plain = Path(full_path)
        packed = plain.with_name(f"{plain.name}.gz")
        request_headers = Headers(scope=scope)
        compressed = takes_gzip(request_headers) and packed.is_file()
        chosen = packed if compressed else plain
        response = FileResponse(
            chosen,
            status_code=status_code,
            headers={"Content-Encoding": "gzip"} if compressed else None,
            media_type=MEDIA_TYPES.get(plain.suffix, "application/octet-stream"),
            stat_result=chosen.stat(),
        )
        if self.is_not_modified(response.headers, request_headers):
            return NotModifiedResponse(response.headers)
        return response


def takes_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding names gzip and does not refuse it by `q=0`."""
    for offer in headers.get("accept-encoding", "").split(","):
        coding, _, quality = offer.replace(" ", "").partition(";q=")
        if coding.lower() == "gzip":
            return quality not in {"0", "0.0", "0.00", "0.000"}
    return False


def opened_in_browser(scope: Scope) -> bool:
    """A person typed the address: a GET without a query that asks for a page."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


def is_from_this_machine(request: Request) -> bool:
    """Whether a browser on this machine asks, under a name only this machine has, from our page.

    The address alone is not enough: a web site can point its own name at 127.0.0.1 (the Host header
    tells), and a proxy on this machine speaks for others (its headers tell).
    """
    name = request.headers.get("host", "").rpartition(":")
    host = name[0] if name[2].isdigit() else "".join(name)
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and host.lower() in LOOPBACK_NAMES
        and not any(header in request.headers for header in FORWARDING_HEADERS)
        and request.headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
    )


def is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def waiting_page() -> Response:
    body = (
        "<h1>GraphiQL is being built …</h1>"
        "<p>This happens once after an installation and takes about a minute. "
        "The page opens by itself when it is ready.</p>"
        "<p>The API does not wait for it: <code>POST /graphql</code> answers already.</p>"
    )
    return plain_page("GraphiQL is being built", body, retry_after_seconds=RELOAD_SECONDS)


def failed_page(failed: Failed, *, show_output: bool) -> Response:
    """Why there is no page. What npm printed may name files, so only this machine sees it."""
    output = failed.output if show_output else "The details are in the server's log."
    body = (
        "<h1>GraphiQL could not be built</h1>"
        f"<p>{escape(failed.reason)} <strong>{escape(failed.remedy)}</strong></p>"
        "<p>Each reload tries again. The API is not affected: "
        "<code>POST /graphql</code> answers as always.</p>"
        f"<pre>{escape(output)}</pre>"
    )
    return plain_page("GraphiQL could not be built", body)


def plain_page(title: str, body: str, *, retry_after_seconds: int | None = None) -> Response:
    """A page without script; it reloads itself every `retry_after_seconds`, if given."""
    reload = ""
    headers = SECURITY_HEADERS | {"Cache-Control": NEVER_STORE}
    if retry_after_seconds is not None:
        reload = f'<meta http-equiv="refresh" content="{retry_after_seconds}">'
        headers["Retry-After"] = str(retry_after_seconds)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{reload}'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>'
        "body{font:1rem/1.6 system-ui,sans-serif;max-width:44rem;margin:12vh auto;padding:0 1.5rem;"
        "color:#1e293b}h1{font-size:1.4rem}pre{background:#f1f5f9;padding:1rem;overflow:auto;"
        f"font-size:.8rem}}</style></head><body>{body}</body></html>"
    )
    return HTMLResponse(page, status_code=503, headers=headers)
