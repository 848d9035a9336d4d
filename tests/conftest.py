"""The PostgreSQL of the tests: one server a run, one migrated template, one clone a module.

With pytest-xdist the controller owns the server and tells the workers its addresses. Tests connect
as cf_app, the role the product runs as; `admin_url` is for tampering.
"""

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog

from core.database import Database, DatabaseSettings
from core.identifiers import new_id
from counterfoil.embedded_postgres import EmbeddedPostgres
from counterfoil.migrate import migrate
from counterfoil.postgres_binaries import find_binaries

TEMPLATE = "counterfoil_template"
_own_server: list[tuple[EmbeddedPostgres, Path]] = []  # at most one: the one this process started
_numbers = itertools.count(1)


class ServerAddresses(dict[str, str]):
    """`admin` and `app`: URLs of the template database; `error` if there is no server."""

    def of(self, role: str, database: str) -> str:
        return urlsplit(self[role])._replace(path=f"/{database}").geturl()


def _start_server() -> ServerAddresses:
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-tests-"))
    server = EmbeddedPostgres(folder / "postgres", find_binaries(None), durable=False)
    _own_server.append((server, folder))
    server.start()
    _make_logging_in_cheap(server)
    server.create_database(TEMPLATE)
    migrate(server.admin_url(TEMPLATE), server.app_url(TEMPLATE))
    return ServerAddresses(admin=server.admin_url(TEMPLATE), app=server.app_url(TEMPLATE))


def _make_logging_in_cheap(server: EmbeddedPostgres) -> None:
    """Hash passwords once instead of 4096 times: the tests log in thousands of times."""
    password = urlsplit(server.admin_url("postgres")).password
    with psycopg.connect(server.admin_url("postgres"), autocommit=True) as admin:
        # From PostgreSQL 16 on. Roles that are made later are covered by the first of the two.
        if admin.execute("SELECT 1 FROM pg_settings WHERE name = 'scram_iterations'").fetchone():
            admin.execute("ALTER SYSTEM SET scram_iterations = 1")
            admin.execute("SET scram_iterations = 1")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(f"ALTER ROLE postgres PASSWORD '{password}'".encode())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller of pytest-xdist: start the server once, tell every worker where it is."""
    if not hasattr(node.config, "counterfoil_server"):
        try:
            node.config.counterfoil_server = dict(_start_server())
        except Exception as error:  # noqa: BLE001 - reported by each test that needs the server
            node.config.counterfoil_server = {"error": f"{type(error).__name__}: {error}"}
    node.workerinput["counterfoil_server"] = node.config.counterfoil_server


def pytest_configure() -> None:
    """A log line with a traceback costs a second if every local variable is drawn with it."""
    *steps, _ = structlog.get_config()["processors"]
    drawing = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*steps, drawing])


def pytest_collection_finish() -> None:
    """What is imported and collected stays: the garbage collector need not look at it again.

    What tests leave may wait a little: memory is cheaper than time here.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


def pytest_unconfigure() -> None:
    while _own_server:
        server, folder = _own_server.pop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """With COUNTERFOIL_CI_NO_SKIPS a skipped test is a failed one: CI has all it needs."""
    report = yield
    is_skip = report.skipped and not hasattr(report, "wasxfail")  # type: ignore[attr-defined] # wrappers are typed by what they yield
    if is_skip and os.environ.get("COUNTERFOIL_CI_NO_SKIPS"):
        report.outcome = "failed"  # type: ignore[attr-defined] # as above
        report.longrepr = f"skipped, which is forbidden here: {report.longrepr}"  # type: ignore[attr-defined] # as above
    return report


@pytest.fixture(scope="session")
def server_addresses(request: pytest.FixtureRequest) -> ServerAddresses:
    """Where the PostgreSQL of this run is."""
    given = getattr(request.config, "workerinput", {}).get("counterfoil_server")
    addresses = ServerAddresses(given) if given is not None else _start_server()
    if "error" in addresses:
        pytest.fail(f"the PostgreSQL of the tests did not start: {addresses['error']}")
    return addresses


@pytest.fixture(scope="session")
def clone_database(
    server_addresses: ServerAddresses,
) -> Iterator[Callable[[], str]]:
    """Makes a database like a freshly migrated one and returns its name."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    made: list[str] = []

    def clone() -> str:
        name = f"test_{worker}_{next(_numbers)}"
        with psycopg.connect(server_addresses.of("admin", "postgres"), autocommit=True) as admin:
            like = f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY'
            admin.execute(f'CREATE DATABASE "{name}" {like}'.encode())
        made.append(name)
        return name

    yield clone
    with psycopg.connect(server_addresses.of("admin", "postgres"), autocommit=True) as admin:
        for name in made:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="module")
def module_database(clone_database: Callable[[], str]) -> str:
    """Name of the database the tests of one module share."""
    return clone_database()


@pytest.fixture(scope="module")
def database_url(server_addresses: ServerAddresses, module_database: str) -> str:
    """The module's database as cf_app. Tests keep apart by using a tenant each."""
    return server_addresses.of("app", module_database)


@pytest.fixture(scope="module")
def admin_url(server_addresses: ServerAddresses, module_database: str) -> str:
    """The module's database as superuser: to tamper with, never to test the product with."""
    return server_addresses.of("admin", module_database)


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """The module's database, opened as the product opens it: its connections know their plans."""
    opened = await Database.open(DatabaseSettings(database_url, pool_size=8))
    yield opened
    await opened.close()


@pytest.fixture
def tenant_id(admin_url: str) -> int:
    """A tenant of this test's own."""
    return add_tenant(admin_url)


@pytest.fixture
def fresh_database_name(clone_database: Callable[[], str]) -> str:
    """Name of a database of this test's own: for whole-database checks and for tampering."""
    return clone_database()


@pytest.fixture
def fresh_database_url(server_addresses: ServerAddresses, fresh_database_name: str) -> str:
    """The test's own database as cf_app."""
    return server_addresses.of("app", fresh_database_name)


@pytest.fixture
def fresh_admin_url(server_addresses: ServerAddresses, fresh_database_name: str) -> str:
    """The test's own database as superuser."""
    return server_addresses.of("admin", fresh_database_name)


@pytest.fixture
async def fresh_database(fresh_database_url: str) -> AsyncIterator[Database]:
    """The test's own database, opened as the product opens it."""
    opened = await Database.open(DatabaseSettings(fresh_database_url, pool_size=8))
    yield opened
    await opened.close()


@pytest.fixture
def fresh_tenant_id(fresh_admin_url: str) -> int:
    """A tenant in this test's own database."""
    return add_tenant(fresh_admin_url)


def add_tenant(admin_url: str, *, base_currency: str = "EUR") -> int:
    """Set up a tenant and return its number."""
    public_id = new_id()
    with psycopg.connect(admin_url) as admin:
        row = admin.execute(
            "INSERT INTO tenant (public_id, name, base_currency)"
            " VALUES (%s, %s, %s) RETURNING tenant_id",
            [public_id, f"tenant-{public_id}", base_currency],
        ).fetchone()
    assert row is not None
    return int(row[0])
