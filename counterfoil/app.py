"""The ASGI application: what listens where.

/graphql  /storefront/graphql     our GraphQL endpoint, two views of one schema; WebSockets too
/graphiql                         the developer's page, from our own origin
/webhooks/{provider_account}      where providers call back
/return/{token}                   where shoppers come back from a provider's page
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
from counterfoil.access import ApiCaller, authenticator, storefront_authenticator
from counterfoil.errors_page import errors_routes
from counterfoil.graphiql import Graphiql
from counterfoil.http import (
    BodyLimit,
    CrossOrigin,
    Envelope,
    Health,
    HttpMetrics,
    SameOriginSockets,
    health_routes,
)
from counterfoil.identity_provider import IdentityProvider, open_identity_provider
from counterfoil.layout import ROOT
from counterfoil.rate_limits import RateLimits
from counterfoil.returning import Returning
from counterfoil.settings import Settings
from counterfoil.wiring import Product, open_product
from counterfoil.worker import run_loops
from resolvers.context import Context, Services
from schema.build import build
from schema.endpoint import (
    Admission,
    Authenticate,
    Caller,
    GraphQLEndpoint,
    GraphQLMetrics,
    HttpRequest,
    Limits,
    PersistedMode,
    PersistedOperations,
    read_operations,
)
from tenants import tenants_allowing
from webhooks.receiver import Answer

_BODY_SECONDS: Final = 8.0
"""Less than the server gives a body, so that whoever is slow is told before it is cut off."""


def create_app(settings: Settings, *, with_worker: bool) -> Starlette:
    """Everything this process serves; its lifespan opens the product and, if asked, the worker."""
    metrics = new_registry()
    serving = _Serving(settings)
    graphiql = Graphiql(
        data_dir=settings.data_dir,
        sources=ROOT / "graphiql",
        demo_key=lambda: _demo_key(settings),
        enabled=settings.graphiql,
    )
    full, storefront = build()
    endpoint_metrics = GraphQLMetrics(metrics)
    endpoint_metrics.watch(serving.admission)
    endpoint = serving.endpoint(
        full,
        endpoint_metrics,
        serving.authenticate_server(),
        _persisted(settings.persisted_operations, settings.persisted_operations_file),
    )
    browser_endpoint = serving.endpoint(
        storefront,
        endpoint_metrics,
        serving.authenticate_storefront(),
        _persisted(settings.storefront_mode, settings.storefront_persisted_operations_file),
    )
    browser_view = CrossOrigin(
        browser_endpoint, public_url=settings.public_url, allows=serving.allows_origin
    )
    sockets = SameOriginSockets(endpoint, public_url=settings.public_url)
    returning = Returning(lambda: serving.opened.payments)
    health = Health({"database": serving.ask_database})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            serving.product = await stack.enter_async_context(open_product(settings, metrics))
            serving.identity_provider = await stack.enter_async_context(
                open_identity_provider(settings, serving.product.database)
            )
            if with_worker:
                await stack.enter_async_context(_working(serving.product))
            await stack.enter_async_context(graphiql.building())
            yield
            health.start_draining()
            await endpoint.drain()
            await browser_endpoint.drain()
            await returning.drain()

    return Starlette(
        routes=[
            *graphiql.routes(),
            *health_routes(health, metrics),
            *errors_routes(),
            Route("/webhooks/{account}", serving.take_webhook, methods=["POST"]),
            Route("/return/{token}", returning.come_back, methods=["GET", "POST"]),
            Route("/storefront/graphql", browser_view),
            Route("/graphql", _Asgi(graphiql.for_browsers(endpoint))),
            WebSocketRoute("/storefront/graphql", browser_view),
            WebSocketRoute("/graphql", sockets),
        ],
        middleware=_around_all(settings, metrics),
        lifespan=lifespan,
    )


def _around_all(settings: Settings, metrics: CollectorRegistry) -> list[Middleware]:
    """From the outside in."""
    return [
        Middleware(Envelope, clock=SystemClock(), metrics=HttpMetrics(metrics)),
        Middleware(BodyLimit, bytes_max=settings.webhook_bytes_max),
    ]


class _Serving:
    """What routes share: the product, which is there once the lifespan has opened it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.product: Product | None = None
        self.identity_provider: IdentityProvider | None = None
        self.admission = Admission(
            places=settings.running_max,
            waiting_max=settings.waiting_max,
            waiting_seconds=settings.waiting_seconds,
        )
        self.rates = RateLimits(
            cost_per_minute=settings.key_cost_per_minute,
            browser_requests_per_second=settings.browser_requests_per_second,
        )

    @property
    def opened(self) -> Product:
        assert self.product is not None, "the lifespan has begun"
        return self.product

    def authenticate_server(self) -> Authenticate:
        return authenticator(
            lambda: self.opened.database,
            anonymous=False,
            identity_provider=lambda: self.identity_provider,
        )

    def authenticate_storefront(self) -> Authenticate:
        return storefront_authenticator(
            lambda: self.opened.database, public_url=self.settings.public_url
        )

    async def allows_origin(self, origin: str) -> bool:
        """Whether any tenant does."""
        return bool(await tenants_allowing(self.opened.database, origin))

    def endpoint(
        self,
        view: strawberry.Schema,
        metrics: GraphQLMetrics,
        authenticate: Authenticate,
        persisted: PersistedOperations,
    ) -> GraphQLEndpoint:
        return GraphQLEndpoint(
            view,
            authenticate=self.rates.guard(authenticate),
            context=self._context,
            limits=_limits(self.settings),
            production=not self.settings.graphiql,
            metrics=metrics,
            admission=self.admission,
            budget=self.rates,
            persisted=persisted,
        )

    def _context(self, request: HttpRequest, caller: Caller) -> Context:
        assert isinstance(caller, ApiCaller), "our authenticator made it"
        return Context(
            caller=caller,
            services=Services(self.opened.payments, self.opened.feed),
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
        query_seconds=settings.query_seconds,
        mutation_seconds=settings.mutation_seconds,
        sockets=settings.sockets_max,
        subscriptions=settings.socket_subscriptions_max,
    )


def _persisted(mode: PersistedMode, file: Path | None) -> PersistedOperations:
    """Raises: BadPersistedOperation."""
    return PersistedOperations(mode, read_operations(file) if file else {})


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
