"""What waits in the database, over all tenants: read every few seconds, never at a scrape."""

import asyncio
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from core.database import Database
from core.errors import Unavailable
from events import EventMetrics, measure_outbox

MEASURE_SECONDS: Final = 5.0

_log = structlog.get_logger("counterfoil.figures")
_ALWAYS: Final = {
    "operation": ("UNKNOWN", "IN_REVIEW", "DUE"),
    "webhook": ("RECEIVED", "DEFERRED", "FAILED", "DEAD"),
    "discrepancy": (),
}
"""Shown also while there are none, so that an alert can tell none from not measured."""


class WaitingMetrics:
    """The instruments of one process. Every process shows the same: take the maximum."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = {
            "operation": Gauge(
                "counterfoil_operations_waiting",
                "Operations that are UNKNOWN, IN_REVIEW, or DUE for a worker; each to 10 000.",
                ["status"],
                registry=registry,
            ),
            "webhook": Gauge(
                "counterfoil_inbox_waiting",
                "Callbacks that are not processed, by status; counted to 10 000.",
                ["status"],
                registry=registry,
            ),
            "discrepancy": Gauge(
                "counterfoil_discrepancies_open",
                "Discrepancies nobody has looked at, by kind; counted to 10 000.",
                ["kind"],
                registry=registry,
            ),
        }
        self._oldest = {
            "operation": Gauge(
                "counterfoil_operations_oldest_waiting_seconds",
                "Age of the oldest such operation: since it was sent, made, or due.",
                ["status"],
                registry=registry,
            ),
            "webhook": Gauge(
                "counterfoil_inbox_oldest_waiting_seconds",
                "Time since the oldest such callback was received.",
                ["status"],
                registry=registry,
            ),
            "discrepancy": Gauge(
                "counterfoil_discrepancies_oldest_open_seconds",
                "Time since the oldest such discrepancy was found.",
                ["kind"],
                registry=registry,
            ),
        }
        self.measured_at = Gauge(
            "counterfoil_figures_measured_timestamp_seconds",
            "When the database was last asked what waits, as a Unix time.",
            registry=registry,
        )
        self._shown = {(subject, kind) for subject, kinds in _ALWAYS.items() for kind in kinds}

    def show(self, found: dict[tuple[str, str], tuple[int, float]]) -> None:
        """Show what was found by subject and kind, and zero where something was and is no more."""
        self._shown |= set(found)
        for subject, kind in self._shown:
            waiting, oldest_seconds = found.get((subject, kind), (0, 0.0))
            self._waiting[subject].labels(kind).set(waiting)
            self._oldest[subject].labels(kind).set(oldest_seconds)
        self.measured_at.set_to_current_time()


async def measure_waiting(database: Database, metrics: WaitingMetrics) -> None:
    """Ask once what waits. Raises: DatabaseUnavailable."""
    rows = await database.find_all("SELECT * FROM measure_waiting()")
    metrics.show(
        {(row["subject"], row["kind"]): (row["waiting"], row["oldest_seconds"]) for row in rows}
    )


async def keep_measuring(database: Database, outbox: EventMetrics, waiting: WaitingMetrics) -> None:
    """Measure until cancelled, whoever the sequencer is: also, and above all, when nobody is."""
    while True:
        try:
            await measure_outbox(database, outbox)
            await measure_waiting(database, waiting)
        except Unavailable:
            _log.warning("figures.not_measured")
        await asyncio.sleep(MEASURE_SECONDS)
