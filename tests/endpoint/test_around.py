"""What stands around every route."""

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from core.clock import SystemClock
from core.telemetry import correlation_id, new_registry
from counterfoil.http import (
    BodyLimit,
    Envelope,
    Health,
    HttpMetrics,
    health_routes,
)
from tests.endpoint.sample import KEY, Client


async def echo(request: Request) -> Response:
    body = await request.body()
    return PlainTextResponse(f"{correlation_id()} {len(body)}", headers={"x-frame-options": "SAME"})


def an_app(health: Health | None = None) -> Starlette:
    return Starlette(
        routes=[
            Route("/echo", echo, methods=["POST"]),
            Route("/graphql", Client().endpoint),
            *health_routes(health or Health({}), new_registry()),
        ],
        middleware=[
            Middleware(Envelope, SystemClock(), HttpMetrics(CollectorRegistry())),
            Middleware(BodyLimit, 1000),
        ],
    )


async def call(app: Starlette, method: str, path: str, **arguments: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.request(method, path, **arguments)


async def test_the_correlation_id_reaches_the_route_and_comes_back() -> None:
    headers = {"x-correlation-id": "order-12345678"}

    response = await call(an_app(), "POST", "/echo", headers=headers)

    assert response.text == "order-12345678 0"
    assert response.headers["x-correlation-id"] == "order-12345678"


async def test_the_endpoint_uses_the_correlation_id_that_is_bound_and_sends_it_once() -> None:
    headers = {"authorization": f"Bearer {KEY}", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}

    response = await call(
        an_app(), "POST", "/graphql", headers=headers, json={"query": "{ failHard }"}
    )

    assert response.headers.get_list("x-correlation-id") == ["a" * 32]
    assert response.json()["errors"][0]["extensions"]["correlationId"] == "a" * 32


async def test_one_line_is_logged_per_request_without_its_query_string() -> None:
    with capture_logs() as lines:
        await call(an_app(), "GET", "/livez?secret=cf_test_abcdefghij")

    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/livez", 200)
    assert "cf_test" not in repr(lines)


async def test_security_headers_are_defaults_a_route_may_change() -> None:
    response = await call(an_app(), "POST", "/echo")

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-frame-options"] == "SAME"


@pytest.mark.parametrize("size", [1001, 50_000])
async def test_a_large_body_is_refused_announced_or_streamed(size: int) -> None:
    async def stream() -> Any:
        for _ in range(size):
            yield b"x"

    announced = await call(an_app(), "POST", "/echo", content=b"x" * size)
    streamed = await call(an_app(), "POST", "/echo", content=stream())

    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert announced.json()["errors"][0]["extensions"]["code"] == "BODY_TOO_LARGE"


async def test_the_cap_holds_for_a_route_that_catches_everything() -> None:
    async def stream() -> Any:
        for _ in range(300):
            yield b" " * 10

    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

    response = await call(an_app(), "POST", "/graphql", headers=headers, content=stream())

    assert response.status_code == 413


async def test_a_body_at_the_cap_is_accepted() -> None:
    response = await call(an_app(), "POST", "/echo", content=b"x" * 1000)

    assert response.text.endswith(" 1000")


async def test_a_senseless_length_is_refused() -> None:
    response = await call(an_app(), "POST", "/echo", headers={"content-length": "1e3"})

    assert response.status_code == 400


async def test_readiness_names_what_fails_and_not_why() -> None:
    async def good() -> None:
        return

    async def bad() -> None:
        raise ConnectionError("password of the database is hunter2")

    async def slow() -> None:
        await asyncio.sleep(10)

    health = Health({"good": good, "bad": bad, "slow": slow}, check_seconds=0.05)

    response = await call(an_app(health), "GET", "/readyz")

    assert response.status_code == 503
    assert response.json()["failing"] == ["bad", "slow"]
    assert "hunter2" not in response.text


async def test_a_draining_process_is_alive_and_not_ready() -> None:
    health = Health({})
    app = an_app(health)
    assert (await call(app, "GET", "/readyz")).status_code == 200

    health.start_draining()

    assert (await call(app, "GET", "/readyz")).status_code == 503
    assert (await call(app, "GET", "/livez")).status_code == 200


async def test_metrics_are_served() -> None:
    response = await call(an_app(), "GET", "/metrics")

    assert "python_info" in response.text
