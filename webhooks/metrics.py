"""What callbacks are counted by."""

from prometheus_client import CollectorRegistry, Counter


class WebhookMetrics:
    """Counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counter(
            "counterfoil_webhooks_received_total",
            "Callbacks by what became of them at the door.",
            ["adapter", "answer"],
            registry=registry,
        )
        self.processed = Counter(
            "counterfoil_webhooks_processed_total",
            "Callbacks by what became of them in the inbox.",
            ["status"],
            registry=registry,
        )
