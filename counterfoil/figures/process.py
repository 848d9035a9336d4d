"""How busy this process is: its event loop, its database connections; and which build it is."""

import asyncio
import platform
import time
import tomllib
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.database import Database
from counterfoil.layout import ROOT
from counterfoil.revision import head_revision

_LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LOOK_SECONDS: Final = 0.5


class _Connections(Collector):
    """Connections to the database as they are at the scrape: the pools tell, nobody is asked."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self._databases = databases

    def collect(self) -> Iterator[GaugeMetricFamily]:
        in_use = GaugeMetricFamily(
            "counterfoil_database_connections_in_use",
            "Connections lent to units of work (writing) and to queries (reading), for each use.",
            labels=["pool"],
        )
        most = GaugeMetricFamily(
            "counterfoil_database_connections_max",
            "Connections the pool may hold; who needs one more waits.",
            labels=["pool"],
        )
        for name, database in self._databases.items():
            for kind, (lent, limit) in database.connections().items():
                in_use.add_metric([f"{name} {kind}"], lent)
                most.add_metric([f"{name} {kind}"], limit)
        yield in_use
        yield most


def count_process(registry: CollectorRegistry, databases: Mapping[str, Database]) -> None:
    """Register what tells about this process without asking anybody."""
    registry.register(_Connections(databases))
    Gauge(
        "counterfoil_build_info",
        "Always 1; the labels say what runs.",
        ["version", "schema", "python"],
        registry=registry,
    ).labels(_version(), head_revision(), platform.python_version()).set(1)


def _version() -> str:
    """Of the project file, which is installed with the sources."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


async def keep_watching_loop(registry: CollectorRegistry) -> None:
    """Notice how late the event loop wakes us, until cancelled."""
    lag = Histogram(
        "counterfoil_event_loop_lag_seconds",
        "How much later than asked the event loop ran a timer.",
        buckets=_LAG_SECONDS,
        registry=registry,
    )
    while True:
        due = time.monotonic() + _LOOK_SECONDS
        await asyncio.sleep(_LOOK_SECONDS)
        lag.observe(max(0.0, time.monotonic() - due))
