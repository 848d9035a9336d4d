"""The build: keyed by its sources, one at a time, its failure a state, our secrets kept from it."""

import asyncio
import os
from datetime import datetime
from pathlib import Path

import pytest

from counterfoil.graphiql_build import (
    RETRY_AFTER_SECONDS,
    Building,
    Failed,
    PageBuild,
    Ready,
    build_environment,
    only_builder,
    remove_old_builds,
    source_key,
)

ROOT = Path(__file__).parents[2]


class HandClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        raise AssertionError("the build measures durations only")

    def monotonic(self) -> float:
        return self.seconds


def some_sources(folder: Path, *, lock: str = "{}") -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.jsx").write_text("export {};\n")
    (folder / "package.json").write_text('{"name": "page", "version": "0.0.0"}\n')
    (folder / "package-lock.json").write_text(lock)
    return folder


def test_the_key_changes_with_any_source_but_not_with_what_a_build_leaves(tmp_path: Path) -> None:
    sources = some_sources(tmp_path / "graphiql")
    before = source_key(sources)

    for folder in ("node_modules", "dist"):
        (sources / folder).mkdir()
        (sources / folder / "left.js").write_text("left")
    unchanged = source_key(sources)
    (sources / "package-lock.json").write_text('{"lockfileVersion": 3}')

    assert unchanged == before
    assert source_key(sources) != before


def test_a_build_in_the_cache_is_ready_without_node_or_network(tmp_path: Path) -> None:
    sources = some_sources(tmp_path / "graphiql")
    built = tmp_path / "data" / "graphiql" / source_key(sources)
    built.mkdir(parents=True)

    build = PageBuild(data_dir=tmp_path / "data", sources=sources)

    assert build.state == Ready(built)


@pytest.mark.timeout(120)
async def test_a_build_that_fails_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    sources = some_sources(tmp_path / "graphiql", lock="not a lock")
    clock = HandClock()
    build = PageBuild(data_dir=tmp_path / "data", sources=sources, clock=clock)

    work = asyncio.create_task(build.run())
    await until_failed(build)
    first = build.state
    build.ask_retry()
    await asyncio.sleep(0)
    too_soon = build.state
    clock.seconds += RETRY_AFTER_SECONDS
    build.ask_retry()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    retried = build.state
    await cancelled(work)

    assert isinstance(first, Failed)
    assert "npm ci ended with status" in first.reason
    assert "npm error" in first.output
    assert too_soon == first
    assert retried == Building()
    assert list((tmp_path / "data" / "graphiql").glob("work-*")) == []


async def test_one_build_at_a_time_and_the_lock_is_freed(tmp_path: Path) -> None:
    inside = 0
    most = 0

    async def builder() -> None:
        nonlocal inside, most
        async with only_builder(tmp_path / "lock"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(builder() for _ in range(3)))

    assert most == 1
    assert inside == 0


def test_the_build_gets_none_of_our_secrets() -> None:
    outer = {
        "PATH": "/usr/bin",
        "HOME": "/home/somebody",
        "HTTPS_PROXY": "http://proxy.example",
        "npm_config_registry": "https://registry.example",
        "COUNTERFOIL_ENCRYPTION_KEY": "secret",
        "DATABASE_URL": "postgresql://secret",
        "STRIPE_SECRET_KEY": "sk_secret",
    }

    environment = build_environment(outer, Path("/wheel/bin/node"), Path("/cache"))

    assert "secret" not in " ".join(environment.values())
    assert environment["PATH"] == "/wheel/bin:/usr/bin"
    assert environment["HTTPS_PROXY"] == "http://proxy.example"
    assert environment["npm_config_registry"] == "https://registry.example"
    assert environment["npm_config_ignore_scripts"] == "true"


def test_only_the_newest_builds_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number:032x}").mkdir()
        os.utime(tmp_path / f"{number:032x}", (number, number))
    (tmp_path / "npm-cache").mkdir()

    remove_old_builds(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{2:032x}",
        f"{3:032x}",
        f"{4:032x}",
        "npm-cache",
    ]


def test_the_lock_names_no_registry() -> None:
    lock = (ROOT / "graphiql" / "package-lock.json").read_text()

    assert '"resolved"' not in lock
    assert lock.count('"integrity"') > 50


async def until_failed(build: PageBuild) -> None:
    while not isinstance(build.state, Failed):  # noqa: ASYNC110 - the state is all a page sees
        await asyncio.sleep(0.05)


async def cancelled(work: asyncio.Task[None]) -> None:
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
