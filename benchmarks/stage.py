"""Where it is measured: a durable PostgreSQL, the simulator, the product and the bare server.

Product and bare server are one process each and take turns: while one is asked the other is idle.
"""

import pickle
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import psycopg

from benchmarks.recording import KEY, Recorder, Script, recorder
from core.telemetry import configure_logging
from counterfoil.embedded_postgres import EmbeddedPostgres
from counterfoil.migrate import migrate
from counterfoil.postgres_binaries import find_binaries
from counterfoil.settings import Settings
from tests.ports import free_port
from tests.torture.fleet import ROOT, Fleet, Process, eventually, is_up
from tests.torture.shop import CREATE, Shop, open_shop
from tests.torture.wire import Wire

ACCOUNT: Final = "income:sales"
BALANCE: Final = """query Balance($path: String!) { account(path: $path) { path balance {
  posted { amountMinor currency decimal } pending { decimal } available { decimal } } } }"""
STATEMENT: Final = """query Statement($path: String!, $period: StatementPeriodInput!) {
  account(path: $path) { path statement(period: $period, first: 50) {
    opening { decimal } totalDebits { decimal } totalCredits { decimal } closing { decimal }
    lines { nodes { id postedAt direction amount { amountMinor decimal }
      runningBalance { decimal } transaction { kind } } pageInfo { hasNextPage } } } } }"""
_PERIOD: Final = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}


def create_body(key: str) -> bytes:
    """A paymentCreate, as a shop's server sends it."""
    asked = {
        "idempotencyKey": key,
        "amount": {"amountMinor": "1000", "currency": "EUR"},
        "method": {"token": "tok_success"},
        "captureMode": "AUTOMATIC",
    }
    return orjson.dumps({"query": CREATE, "variables": {"input": asked}})


BODIES: Final[Mapping[str, bytes]] = {
    "balance": orjson.dumps({"query": BALANCE, "variables": {"path": ACCOUNT}}),
    "statement": orjson.dumps(
        {"query": STATEMENT, "variables": {"path": ACCOUNT, "period": _PERIOD}}
    ),
}
"""The reads that are measured."""


@dataclass
class Stage:
    """Everything that runs. `product` and `bare` answer on a wire each."""

    fleet: Fleet
    shop: Shop
    bare_process: Process
    bare: Wire
    scripts: Mapping[str, Script]

    @property
    def product(self) -> Wire:
        return self.fleet.wires[0]

    @property
    def product_pid(self) -> int:
        return _pid(self.fleet.apis_running[0])

    @property
    def bare_pid(self) -> int:
        return _pid(self.bare_process)

    @property
    def headers(self) -> Mapping[str, str]:
        return self.shop.headers

    async def provider_takes(self, milliseconds: int) -> None:
        """How long the simulator lets a payment wait."""
        await self.fleet.tell_simulator("/_config", latency_ms=milliseconds)


def _pid(process: Process) -> int:
    assert process.child is not None
    return process.child.pid


@asynccontextmanager
async def a_stage() -> AsyncIterator[Stage]:
    """Start everything, and end it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="counterfoil-bench-")))
        server = stack.enter_context(EmbeddedPostgres(folder / "postgres", find_binaries(None)))
        server.create_database("bench")
        app_url, admin_url = server.app_url("bench"), server.admin_url("bench")
        migrate(admin_url, app_url)
        _make_room(admin_url)
        fleet = await stack.enter_async_context(Fleet(app_url, admin_url, folder, workers=0))
        database = await stack.enter_async_context(fleet.database())
        shop = await open_shop(fleet, database, "bench")
        await fleet.tell_simulator("/_webhooks", pause=True)
        settings = Settings.read(fleet.environment)
        configure_logging(settings.log_format, settings.log_level)
        async with recorder(settings) as ear:
            scripts = await _record(ear, shop)
        bare = _start_bare(fleet, folder, scripts)
        stack.callback(bare.stop)
        wire = Wire(f"http://127.0.0.1:{bare.command[-1]}")
        stack.callback(wire.close)
        await eventually(lambda: is_up(f"{wire.url}/readyz"), 60, fleet.logs)
        yield Stage(fleet, shop, bare, wire, scripts)


def _make_room(admin_url: str) -> None:
    """Where the bare server writes."""
    with psycopg.connect(admin_url) as admin:
        admin.execute("CREATE TABLE bench_row (id UUID PRIMARY KEY, body BYTEA NOT NULL)")
        admin.execute("GRANT INSERT ON bench_row TO cf_app")


async def _record(ear: Recorder, shop: Shop) -> dict[str, Script]:
    """Each request once it is routine: accounts are open, caches are warm, statements prepared."""
    for number in range(60):
        await ear.record(create_body(f"warm-up-{number:08}"), shop.headers)
    found = {"mutation": await ear.record(create_body(KEY), shop.headers)}
    for name, body in BODIES.items():
        await ear.record(body, shop.headers)
        found[name] = await ear.record(body, shop.headers)
    return found


def _start_bare(fleet: Fleet, folder: Path, scripts: dict[str, Script]) -> Process:
    file = folder / "scripts"
    file.write_bytes(pickle.dumps(scripts))
    command = [sys.executable, "-m", "benchmarks.bare", "--database-url", fleet.app_url]
    command += ["--scripts", str(file), "--port", str(free_port())]
    process = Process("bare", command, {}, folder / "bare.log", ROOT)
    process.start()
    return process
