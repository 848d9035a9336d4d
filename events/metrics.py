"""What the sequence of events is measured by."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from core.database import Database


class EventMetrics:
    """The instruments of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "counterfoil_outbox_waiting",
            "Events that were committed and have no sequence yet; counted to 10 000.",
            registry=registry,
        )
        self.oldest_seconds = Gauge(
            "counterfoil_outbox_oldest_waiting_seconds",
            "For how long the oldest of them has been waiting.",
            registry=registry,
        )
        self.numbered = Counter(
            "counterfoil_outbox_numbered_total",
            "Events this process gave a sequence.",
            registry=registry,
        )
        self.holds = Gauge(
            "counterfoil_sequencer_holds",
            "1 while this process is the sequencer, 0 while it stands by.",
            registry=registry,
        )


async def measure_outbox(database: Database, metrics: EventMetrics) -> None:
    """Measure how far the sequencer is behind. Raises: DatabaseUnavailable."""
    row = await database.find("SELECT * FROM measure_outbox()")
    assert row is not None
    metrics.waiting.set(row["waiting"])
    metrics.oldest_seconds.set(row["oldest_seconds"])
