"""What the gateways measure, for Prometheus."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateways.breaker import BreakerState, BreakerStatus

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_LEVELS: Final = {
    BreakerState.CLOSED: 0,
    BreakerState.HALF_OPEN: 1,
    BreakerState.OPEN: 2,
    BreakerState.FORCED_OPEN: 3,
}


class GatewayMetrics:
    """The instruments, registered once per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("adapter", "kind")
        self.seconds = Histogram(
            "counterfoil_provider_operation_seconds",
            "Time of one operation at a provider, its calls and retries together.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self.outcomes = Counter(
            "counterfoil_provider_outcomes_total",
            "Operations by what came of them.",
            (*labels, "outcome", "code"),
            registry=registry,
        )
        self.retries = Counter(
            "counterfoil_provider_retries_total",
            "Calls tried again because nothing had been sent.",
            labels,
            registry=registry,
        )
        self.refused = Counter(
            "counterfoil_breaker_refusals_total",
            "Calls a breaker refused, or would have refused in a dry run.",
            labels,
            registry=registry,
        )
        self.breaker = Gauge(
            "counterfoil_breaker_state",
            "0 closed, 1 half-open, 2 open, 3 opened by an operator.",
            ("account", "kind"),
            registry=registry,
        )

    def breaker_changed(self, status: BreakerStatus) -> None:
        """A listener for `Breakers`."""
        self.breaker.labels(str(status.account_id), status.kind).set(_LEVELS[status.state])
