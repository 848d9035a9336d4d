"""Figures of the endpoint: how requests end, how long they take, how the document store does."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class StoreFigures(Protocol):
    """What is told about a document store."""

    hits: int
    misses: int

    def __len__(self) -> int: ...

    @property
    def estimated_bytes(self) -> int:
        """Estimated memory."""
        ...


class Occupancy(Protocol):
    """How full it is."""

    running: int
    waiting: int


class GraphQLMetrics:
    """Metrics of the endpoints of one process, in a registry that is passed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "counterfoil_graphql_requests", "Requests by outcome.", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "counterfoil_graphql_request_seconds", "Time to answer.", registry=registry
        )
        self._stores: list[StoreFigures] = []
        of_stores: dict[tuple[str, str], Callable[[StoreFigures], int]] = {
            ("documents", "Documents in the store."): len,
            ("documents_bytes", "Estimated memory."): lambda store: store.estimated_bytes,
            ("document_hits", "Documents found in the store."): lambda store: store.hits,
            ("document_misses", "Documents prepared anew."): lambda store: store.misses,
        }
        for (name, meaning), figure in of_stores.items():
            gauge = Gauge(f"counterfoil_graphql_{name}", meaning, registry=registry)
            gauge.set_function(partial(self._sum, figure))
        self._running = Gauge(
            "counterfoil_graphql_running", "Requests carried out right now.", registry=registry
        )
        self._waiting = Gauge(
            "counterfoil_graphql_waiting", "Requests waiting for their turn.", registry=registry
        )
        self.sockets = Gauge(
            "counterfoil_graphql_sockets", "WebSockets that are open.", registry=registry
        )
        self.subscriptions = Gauge(
            "counterfoil_graphql_subscriptions", "Subscriptions that run.", registry=registry
        )

    def watch(self, admission: Occupancy) -> None:
        """Show how many requests run and wait, at the moment of asking."""
        self._running.set_function(lambda: admission.running)
        self._waiting.set_function(lambda: admission.waiting)

    def watch_store(self, store: StoreFigures) -> None:
        """Count the documents of one more endpoint in, at the moment of asking."""
        self._stores.append(store)

    def _sum(self, figure: Callable[[StoreFigures], int]) -> int:
        return sum(figure(store) for store in self._stores)

    def observe(self, outcome: str, seconds: float) -> None:
        """Count one request. `outcome` is OK or the code of its first error."""
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)
