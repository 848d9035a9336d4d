"""`make torture`: the scenarios at `SCALE` of their full size, and a table of what they found.

Without SCALE in the environment nothing here is collected: the ordinary suite stays quick.
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import ServerAddresses
from tests.torture.fleet import ROOT, Fleet
from tests.torture.results import RESULTS

collect_ignore_glob = [] if "SCALE" in os.environ else ["test_*.py"]

Launch = Callable[..., Fleet]


def scaled(full: int, least: int = 1) -> int:
    """So many at this SCALE."""
    return max(least, round(full * float(os.environ.get("SCALE") or "1")))


@pytest.fixture(scope="session")
def launch(
    server_addresses: ServerAddresses,
    clone_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Launch:
    """A fleet on a database of its own."""

    def make(
        *,
        apis: int = 2,
        workers: int = 1,
        root: Path = ROOT,
        extra: Mapping[str, str] | None = None,
    ) -> Fleet:
        name = clone_database()
        app, admin = server_addresses.of("app", name), server_addresses.of("admin", name)
        folder = tmp_path_factory.mktemp(name)
        return Fleet(app, admin, folder, apis=apis, workers=workers, root=root, extra=extra or {})

    return make


@asynccontextmanager
async def recorded(name: str, found: list[str]) -> AsyncIterator[None]:
    """Say that a scenario begins, and record how it ends. `found` gets what to show."""
    RESULTS.say(f"{name} …")
    started = time.monotonic()
    try:
        yield
    except BaseException as error:
        RESULTS.record(
            name,
            str(error)[:400] or type(error).__name__,
            time.monotonic() - started,
            passed=False,
        )
        raise
    RESULTS.record(name, "; ".join(found), time.monotonic() - started, passed=True)


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary() -> Iterator[None]:
    """The table, last of all."""
    yield
    if RESULTS.rows:
        RESULTS.print_table()
