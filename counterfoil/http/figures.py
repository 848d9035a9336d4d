"""HTTP requests by route and status. The route is a template, so that ids are no labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request that was answered."""
        named = method if method in _METHODS else "other"
        self.requests.labels(route, named, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
