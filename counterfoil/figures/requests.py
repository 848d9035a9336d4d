"""HTTP requests by route and status. The route is a template, so that ids are no labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.clock import Clock
from counterfoil.http import route_of

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """The instruments of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "counterfoil_http_requests_total",
            "HTTP requests by route, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "counterfoil_http_request_seconds",
            "Time until the last byte of the answer was handed over.",
            ["route"],
            registry=registry,
        )
        self.running = Gauge(
            "counterfoil_http_requests_running",
            "HTTP requests that are being answered.",
            registry=registry,
        )


class MeasureRequests:
    """ASGI middleware that counts each request when it has been answered."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, clock: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock.monotonic()
        status = 500

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, noting_send)
            finally:
                route = route_of(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(route, method, str(status)).inc()
                self._metrics.seconds.labels(route).observe(self._clock.monotonic() - started)
