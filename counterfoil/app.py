"""The ASGI application: what listens where.

/graphql  /storefront/graphql     our GraphQL endpoint, two views of one schema; WebSockets too
/graphiql                         the developer's page, from our own origin
/webhooks/{provider_account}      where providers call back
/errors                           what each code means
/livez /readyz /metrics           for whoever runs us
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import strawberry
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from core.clock import SystemClock
from core.telemetry import correlation_id, new_registry
from counterfoil.access import ApiCaller, authenticator
from counterfoil.errors_page import errors_routes
from counterfoil.figures import HttpMetrics, Measure
from counterfoil.graphiql import Graphiql
from counterfoil.http import (
    AccessLog,
    BodyLimit,
    CorrelationId,
    Health,
    SecurityHeaders,
    Trace,
    health_routes,
)
from counterfoil.settings import Settings
from counterfoil.wiring import Product, open_product
from counterfoil.worker import run_loops
from resolvers.context import Context, Services
from schema.build import build
from schema.endpoint import Caller, GraphQLEndpoint, GraphQLMetrics, HttpRequest, Limits
from webhooks.receiver import Answer

_ROOT: Final = Path(__file__).resolve().parent.parent
_BODY_SECONDS: Final = 8.0
"""Less than the server gives a body, so that whoever is slow is told before it is cut off."""


def create_app(settings: Settings, *, with_worker: bool) -> Starlette:
    """Everything this process serves; its lifespan opens the product and, if asked, the worker."""
    metrics = new_registry()
    serving = _Serving(settings, metrics)
    graphiql = Graphiql(
        data_dir=settings.data_dir,
        sources=_ROOT / "graphiql",
        demo_key=lambda: _demo_key(settings),
        enabled=settings.graphiql,
    )
    full, storefront = build()
    endpoint_metrics = GraphQLMetrics(metrics)
    endpoint = serving.endpoint(full, endpoint_metrics, anonymous=False)
    browser_endpoint = serving.endpoint(storefront, endpoint_metrics, anonymous=True)
    health = Health({"database": serving.ask_database})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            serving.product = await stack.enter_async_context(open_product(settings, metrics))
            if with_worker:
                await stack.enter_async_context(_working(serving.product))
            await stack.enter_async_context(graphiql.building())
            yield
            health.start_draining()
            await endpoint.drain()
            await browser_endpoint.drain()

    return Starlette(
        routes=[
            *graphiql.routes(),
            *health_routes(health, metrics),
            *errors_routes(),
            Route("/webhooks/{account}", serving.take_webhook, methods=["POST"]),
            Route("/storefront/graphql", browser_endpoint),
            Route("/graphql", _Asgi(graphiql.for_browsers(endpoint))),
            WebSocketRoute("/storefront/graphql", browser_endpoint),
            WebSocketRoute("/graphql", endpoint),
        ],
        middleware=[
            Middleware(Measure, metrics=HttpMetrics(metrics), clock=SystemClock()),
            Middleware(CorrelationId),
            Middleware(Trace),
            Middleware(AccessLog, clock=SystemClock()),
            Middleware(SecurityHeaders),
            Middleware(BodyLimit, bytes_max=settings.webhook_bytes_max),
        ],
        lifespan=lifespan,
    )


class _Serving:
    """What routes share: the product, which is there once the lifespan has opened it."""

    def __init__(self, settings: Settings, metrics: CollectorRegistry) -> None:
        self.settings = settings
        self.metrics = metrics
        self.product: Product | None = None

    @property
    def opened(self) -> Product:
        assert self.product is not None, "the lifespan has begun"
        return self.product

    def endpoint(
        self, view: strawberry.Schema, metrics: GraphQLMetrics, *, anonymous: bool
    ) -> GraphQLEndpoint:
        return GraphQLEndpoint(
            view,
            authenticate=authenticator(lambda: self.opened.database, anonymous=anonymous),
            context=self._context,
            limits=_limits(self.settings),
            production=not self.settings.graphiql,
            metrics=metrics,
        )

    def _context(self, request: HttpRequest, caller: Caller) -> Context:
        assert isinstance(caller, ApiCaller), "our authenticator made it"
        return Context(
            caller=caller,
            services=Services(self.opened.payments, self.settings.public_url, self.opened.feed),
            correlation_id=correlation_id(),
            idempotency_header=request.headers.get("idempotency-key"),
        )

    async def ask_database(self) -> None:
        """Raises unless the database answers."""
        await self.opened.ask_database()

    async def take_webhook(self, request: Request) -> Response:
        """One callback of a provider. Raises nothing a provider would see as our fault but 503."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.body()
        except (TimeoutError, ClientDisconnect):
            return _response(Answer(408, b'{"error":"the body came too slowly"}'))
        answer = await self.opened.receiver.receive(
            request.path_params["account"],
            {name.lower(): value for name, value in request.headers.items()},
            dict(request.query_params),
            body,
            correlation_id(),
        )
        return _response(answer)


class _Asgi:
    """An ASGI function as an object: a Route takes a plain function for a request handler."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, media_type="application/json")


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes=settings.request_bytes_max,
        tokens=settings.query_tokens_max,
        fields=settings.query_fields_max,
        depth=settings.query_depth_max,
        aliases=settings.query_aliases_max,
        cost=settings.query_cost_max,
    )


@asynccontextmanager
async def _working(product: Product) -> AsyncIterator[None]:
    """The worker in this process, for as long as the block lasts."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_loops(product, stop), name="worker")
        try:
            yield
        finally:
            stop.set()


def _demo_key(settings: Settings) -> str | None:
    """The demo tenant's key, for GraphiQL on this machine only."""
    if settings.demo != "on":
        return None
    try:
        return (settings.data_dir / "demo-key").read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
