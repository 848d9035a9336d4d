"""What waits in the database and how busy the process is, as Prometheus sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from core.clock import SystemClock
from core.database import Database
from core.identifiers import new_id
from core.telemetry import write_metrics
from counterfoil.figures import (
    WaitingMetrics,
    count_process,
    keep_watching_loop,
    measure_waiting,
)
from counterfoil.http import Envelope, HttpMetrics
from tests.payments.world import World, a_world
from tests.simulator.process import SimulatorProcess


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
async def world(
    fresh_database: Database, fresh_tenant_id: int, process: SimulatorProcess
) -> AsyncIterator[World]:
    async with a_world(fresh_database, fresh_tenant_id, process) as made:
        yield made
    process.client.delete("/_faults").raise_for_status()


class Figures:
    """What one process shows."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        self._database = database
        self._metrics = WaitingMetrics(self.registry)

    async def of(self, name: str, **labels: str) -> float | None:
        await measure_waiting(self._database, self._metrics)
        return self.registry.get_sample_value(f"counterfoil_{name}", labels)


async def test_an_unknown_outcome_is_counted_with_its_age_until_it_is_known(world: World) -> None:
    figures = Figures(world.database)
    assert await figures.of("operations_waiting", status="UNKNOWN") == 0

    payment_id = await world.pay("tok_timeout_after")
    asked = (await figures.of("operations_waiting", status="UNKNOWN"), await world.see(payment_id))
    age = await figures.of("operations_oldest_waiting_seconds", status="UNKNOWN")
    await world.later(payment_id)

    assert asked[0] == 1, asked[1]
    assert age is not None
    assert 0 < age < 60
    assert await figures.of("operations_waiting", status="UNKNOWN") == 0
    assert await figures.of("operations_oldest_waiting_seconds", status="UNKNOWN") == 0


async def test_what_is_not_found_out_is_in_review_and_an_open_discrepancy(world: World) -> None:
    figures = Figures(world.database)
    payment_id = await world.pay("tok_timeout_before")
    world.simulator.fault("refuse")
    world.clock.ahead += timedelta(days=400)
    await world.later(payment_id)

    kind = "UNKNOWN_OUTCOME_EXPIRED"

    assert await world.discrepancies() == [kind]
    assert await figures.of("operations_waiting", status="IN_REVIEW") == 1
    assert await figures.of("discrepancies_open", kind=kind) == 1
    await world.rows("UPDATE discrepancy SET status = 'RESOLVED_MANUAL' RETURNING id")
    assert await figures.of("discrepancies_open", kind=kind) == 0


async def test_an_operation_nobody_takes_up_is_due(world: World) -> None:
    figures = Figures(world.database)
    payment_id = await world.pay("tok_pending")
    assert await figures.of("operations_waiting", status="DUE") == 0

    await world.make_due(payment_id)

    assert await figures.of("operations_waiting", status="DUE") == 1
    late = await figures.of("operations_oldest_waiting_seconds", status="DUE")
    assert late is not None
    assert late >= 1


async def test_callbacks_that_wait_are_counted_by_status_over_all_tenants(
    world: World, fresh_admin_url: str
) -> None:
    figures = Figures(world.database)
    with psycopg.connect(fresh_admin_url, autocommit=True) as admin:
        for tenant_id, status, waits in [
            (1, "RECEIVED", True),
            (2, "RECEIVED", True),
            (2, "FAILED", True),
            (2, "DEAD", False),
            (2, "PROCESSED", False),
        ]:
            admin.execute(
                """INSERT INTO inbound_webhook
                     (tenant_id, id, provider_account_id, provider_event_id, payload, headers,
                      body_sha256, correlation_id, status, received_at, next_action_at)
                   VALUES (%s, %s, %s, %s, '', '{}', '', 'test', %s, now() - INTERVAL '1 hour',
                           CASE WHEN %s THEN now() END)""",
                [tenant_id, new_id(), new_id(), str(new_id()), status, waits],
            )

    found = {
        status: await figures.of("inbox_waiting", status=status)
        for status in ("RECEIVED", "FAILED", "DEAD", "DEFERRED")
    }

    assert found == {"RECEIVED": 2, "FAILED": 1, "DEAD": 1, "DEFERRED": 0}
    oldest = await figures.of("inbox_oldest_waiting_seconds", status="DEAD")
    assert oldest == pytest.approx(3600, abs=60)
    assert await figures.of("inbox_waiting", status="PROCESSED") is None


async def test_asking_what_waits_reads_no_table_from_end_to_end(world: World) -> None:
    await world.pay()
    scans = """SELECT relname, seq_scan, idx_scan FROM pg_stat_xact_user_tables
                WHERE relname IN ('provider_operation', 'inbound_webhook', 'discrepancy')"""

    async with world.database.unit_of_work(None) as tx:
        before = {row["relname"]: row for row in await tx.fetch(scans)}
        await tx.fetch("SELECT * FROM measure_waiting()")
        after = {row["relname"]: row for row in await tx.fetch(scans)}

    assert len(after) == 3
    for table, row in after.items():
        assert row["seq_scan"] == before[table]["seq_scan"], table
        assert row["idx_scan"] > before[table]["idx_scan"], table


async def test_connections_in_use_are_shown_as_they_are(fresh_database: Database) -> None:
    registry = CollectorRegistry()
    count_process(registry, {"requests": fresh_database})
    name, pools = (
        "counterfoil_database_connections_in_use",
        ["requests writing", "requests reading"],
    )

    async with fresh_database.unit_of_work(None), fresh_database.reading(1):
        during = [registry.get_sample_value(name, {"pool": p}) for p in pools]
    after = [registry.get_sample_value(name, {"pool": p}) for p in pools]

    assert during == [1, 1]
    assert after == [0, 0]
    most = "counterfoil_database_connections_max"
    assert registry.get_sample_value(most, {"pool": "requests writing"}) == 8
    assert b'counterfoil_build_info{python="3.' in write_metrics(registry)


async def test_a_blocked_event_loop_shows_as_lag() -> None:
    registry = CollectorRegistry()
    watching = asyncio.create_task(keep_watching_loop(registry))
    name = "counterfoil_event_loop_lag_seconds_bucket"
    await asyncio.sleep(0)

    time.sleep(0.75)  # noqa: ASYNC251 - the fault itself
    while not registry.get_sample_value(name, {"le": "+Inf"}):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)
    watching.cancel()

    assert registry.get_sample_value(name, {"le": "0.1"}) == 0
    assert registry.get_sample_value(name, {"le": "0.5"}) == 1


async def _ok(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _broken(_request: Request) -> Response:
    raise RuntimeError


def a_measured_app(registry: CollectorRegistry) -> Starlette:
    return Starlette(
        routes=[
            Route("/webhooks/{account}", _ok, methods=["POST"]),
            Route("/graphql/{path:path}", _ok),
            Route("/graphql", _ok),
            Route("/broken", _broken),
        ],
        middleware=[Middleware(Envelope, metrics=HttpMetrics(registry), clock=SystemClock())],
    )


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/webhooks/prv_01jabc", "/webhooks/{account}", 200),
        ("POST", "/webhooks/w", "/webhooks/{account}", 200),
        ("GET", "/webhooks/prv_01jabc", "/webhooks/{account}", 405),
        ("GET", "/graphql/assets/page.js", "/graphql/{path}", 200),
        ("GET", "/graphql", "/graphql", 200),
        ("GET", "/broken", "/broken", 500),
        ("GET", "/wp-admin.php", "unmatched", 404),
    ],
)
async def test_requests_are_counted_by_the_template_of_their_route(
    method: str, path: str, route: str, status: int
) -> None:
    registry = CollectorRegistry()
    transport = httpx.ASGITransport(a_measured_app(registry), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.request(method, path)
        await client.request("BREW", "/graphql")

    labels = {"route": route, "method": method, "status": str(status)}
    assert registry.get_sample_value("counterfoil_http_requests_total", labels) == 1
    seconds = "counterfoil_http_request_seconds_count"
    assert registry.get_sample_value(seconds, {"route": route})
    assert registry.get_sample_value("counterfoil_http_requests_running") == 0
    assert _methods(registry) == {method, "other"}


def _methods(registry: CollectorRegistry) -> set[Any]:
    return {
        sample.labels["method"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "counterfoil_http_requests_total"
    }


def test_the_image_has_the_file_that_names_the_version() -> None:
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()

    assert "COPY alembic.ini pyproject.toml ./" in dockerfile
