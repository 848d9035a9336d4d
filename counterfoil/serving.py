"""The processes: the server with or without the worker, the worker alone, the simulator beside.

Everything is put up in order and taken down in reverse, also when we are told to stop half way.
"""

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from core.errors import Unavailable
from core.telemetry import configure_logging
from counterfoil.addresses import AddressTaken, bound
from counterfoil.greeting import greeting
from counterfoil.health_check import answers
from counterfoil.layout import ROOT
from counterfoil.settings import Settings
from counterfoil.slow_clients import ImpatientProtocol, ImpatientSocket
from counterfoil.startup import prepared
from counterfoil.traces import traced
from counterfoil.watchdog import dismiss, undisturbed, watch

if TYPE_CHECKING:
    from starlette.applications import Starlette

SIMULATOR_START_SECONDS: Final = 30.0
SIMULATOR_STOP_SECONDS: Final = 3.0
HEARTBEAT_SECONDS: Final = 5.0

log = structlog.get_logger("counterfoil.serving")


class SimulatorFailed(Unavailable):
    """The provider simulator does not start."""

    code = "SIMULATOR_FAILED"


def build_application(settings: Settings, *, with_worker: bool) -> "Starlette":
    """Where the process meets the product: the ASGI application, whose lifespan opens the rest."""
    from counterfoil.app import create_app  # noqa: PLC0415 - after settings are known to be right

    return create_app(settings, with_worker=with_worker)


async def do_background_work(settings: Settings, stop: asyncio.Event) -> None:
    """Where the process meets the worker: returns when `stop` is set and running work has ended."""
    from counterfoil.worker import work  # noqa: PLC0415 - as above

    await work(settings, stop)


def serve(settings: Settings, *, with_worker: bool) -> None:
    """Serve until SIGINT or SIGTERM; then let running work end, for `shutdown_seconds` at most."""
    configure_logging(settings.log_format, settings.log_level)
    with stop_by_signal(), ExitStack() as stack:
        # First of all, so that a taken port costs no start of a database.
        listener = stack.enter_context(bound(settings.host, settings.port))
        simulator_is_up: Callable[[], None] | None = None
        if wants_demo(settings):
            # It comes up beside the database and our imports, not after them.
            settings, simulator_is_up = stack.enter_context(with_simulator(settings))
        settings = stack.enter_context(prepared(settings))
        stack.enter_context(traced(settings))
        server = _Server(uvicorn_config(settings, with_worker=with_worker), settings)
        if simulator_is_up is not None:
            simulator_is_up()
            set_up_demo(settings)
        server.run(sockets=[listener])
        if not server.started:
            raise SystemExit(3)


def work(settings: Settings) -> None:
    """Do background work until SIGINT or SIGTERM."""
    configure_logging(settings.log_format, settings.log_level)
    with stop_by_signal(), prepared(settings) as completed, traced(settings):
        asyncio.run(_work_until_told(completed))


def set_up_demo(settings: Settings) -> None:
    """The demo tenant, its key and its two providers; says where the key is."""
    from counterfoil.bootstrap import set_up  # noqa: PLC0415 - only for the demo

    asyncio.run(set_up(settings))


def uvicorn_config(settings: Settings, *, with_worker: bool) -> uvicorn.Config:
    """How requests come in. Slow clients and endless shutdowns are limited here."""
    return uvicorn.Config(
        build_application(settings, with_worker=with_worker),
        http=ImpatientProtocol,
        loop="uvloop",
        ws=ImpatientSocket,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[item.strip() for item in settings.trusted_proxies.split(",")],
        timeout_keep_alive=5,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
        ws_max_size=settings.request_bytes_max,
        # What comes in one read is unpacked at once: a thousand times as much, for a stranger too.
        ws_per_message_deflate=False,
    )


class _Server(uvicorn.Server):
    """Says that it serves when it does, and not before."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What was made until here stays: looking at it again would stop everybody for 0.1 s.
        gc.collect()
        gc.freeze()
        log.info("serving", url=self._settings.public_url)
        if self._settings.demo == "on" and self._settings.log_format == "console":
            print(greeting(self._settings), flush=True)  # noqa: T201 - for a person, beside the log


class _Stopped(SystemExit):
    """We were told to stop; everything is taken down on the way out."""


@contextmanager
def stop_by_signal() -> Iterator[None]:
    """SIGTERM and SIGINT end the block in order and the process with status 0."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Once is enough: a second signal must not interrupt the taking down.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with suppress(_Stopped):
        yield


def wants_demo(settings: Settings) -> bool:
    """Whether the demo tenant is set up: asked for, or nothing but the embedded database."""
    return settings.demo == "on" or (settings.demo == "auto" and settings.database_url is None)


@contextmanager
def with_simulator(settings: Settings) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """Settings with the URL of a simulator, the operator's or one started here, and its wait.

    The second of the two returns once it answers. Raises: AddressTaken; SimulatorFailed.
    """
    if settings.simulator_url:
        yield settings, lambda: None
        return
    port = _simulator_port(settings)
    folder = settings.data_dir / "simulator"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "simulator", "--port", str(port), "--data", str(folder)]
    with ExitStack() as stack:
        with undisturbed():
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, start_new_session=True, cwd=ROOT
            )
            stack.callback(dismiss, watch(process.pid))
            stack.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        found = settings.model_copy(update={"simulator_port": port, "simulator_url": url})
        yield found, lambda: _await_simulator(process, port, folder / "port")


def _simulator_port(settings: Settings) -> int:
    """The port asked for, else that of last time, else the usual one, else any free one.

    Raises: AddressTaken. A simulator that is just ending may hold its port a little longer.
    """
    if "simulator_port" in settings.model_fields_set:
        return _free_port(settings.simulator_port, settings.port, SIMULATOR_STOP_SECONDS)
    with suppress(FileNotFoundError, ValueError, AddressTaken):
        remembered = int((settings.data_dir / "simulator" / "port").read_text())
        return _free_port(remembered, settings.port, SIMULATOR_STOP_SECONDS)
    with suppress(AddressTaken):
        return _free_port(settings.simulator_port, settings.port, 0)
    return _free_port(0, settings.port, 0)


def _free_port(port: int, not_port: int, patience_seconds: float) -> int:
    deadline = time.monotonic() + patience_seconds
    while port != not_port:
        try:
            with bound("127.0.0.1", port) as probe:
                return int(probe.getsockname()[1])
        except AddressTaken:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)
    raise AddressTaken(address=f"127.0.0.1:{port}", remedy="set COUNTERFOIL_SIMULATOR_PORT")


def _await_simulator(process: subprocess.Popen[bytes], port: int, remembered: Path) -> None:
    """Until it answers; only then its port is kept for next time. Raises: SimulatorFailed."""
    deadline = time.monotonic() + SIMULATOR_START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        # An open port is not enough: it is there before the simulator has read its books.
        if answers(f"http://127.0.0.1:{port}/healthz"):
            remembered.write_text(str(port))
            return
        time.sleep(0.05)
    raise SimulatorFailed(status=process.returncode, port=port)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SIMULATOR_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _work_until_told(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        heart = tasks.create_task(_beat(settings.data_dir / "worker-alive"))
        try:
            await do_background_work(settings, stop)
        finally:
            heart.cancel()


async def _beat(path: Path) -> None:
    """Touch a file while the event loop runs: the worker's health check looks at its age."""
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    while True:
        await asyncio.to_thread(path.touch)
        await asyncio.sleep(HEARTBEAT_SECONDS)
