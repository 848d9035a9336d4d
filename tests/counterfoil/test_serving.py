"""Processes as an operator sees them: started, stopped, killed, started again, side by side."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from counterfoil.addresses import AddressTaken
from counterfoil.health_check import answers
from counterfoil.layout import ROOT
from counterfoil.serving import SimulatorFailed, _free_port, with_simulator
from counterfoil.settings import Settings
from counterfoil.watchdog import undisturbed
from tests.loopback import TRUSTS_NOBODY
from tests.ports import free_port
from tests.programs import Program

START_SECONDS = 90.0
STOP_SECONDS = 20.0
pytestmark = pytest.mark.timeout(240)


def environment(data_dir: Path, port: int, **more: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COUNTERFOIL_") and name != "DATABASE_URL"
    }
    return inherited | {
        "COUNTERFOIL_DATA_DIR": str(data_dir),
        "COUNTERFOIL_PORT": str(port),
        "COUNTERFOIL_GRAPHIQL": "off",
        **more,
    }


def from_nothing(data_dir: Path, port: int) -> subprocess.Popen[bytes]:
    """As it starts for an operator."""
    return subprocess.Popen(
        [sys.executable, "-m", "counterfoil", "serve"],
        cwd=ROOT,
        env=environment(data_dir, port),
    )


def forked(data_dir: Path, port: int) -> Program:
    """The same, with everything imported already."""
    return Program(("counterfoil", "serve"), environment(data_dir, port))


Process = TypeVar("Process", Program, subprocess.Popen[bytes])


@contextmanager
def a_server(start: Callable[[Path, int], Process], data_dir: Path, port: int) -> Iterator[Process]:
    """A serving process that is ready."""
    process = start(data_dir, port)
    try:
        _await_ready(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _await_ready(process: Program | subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(f"http://127.0.0.1:{port}/readyz"):
        assert process.poll() is None, "it ended before it was ready"
        assert time.monotonic() < deadline, "it was not ready in time"
        time.sleep(0.02)


def processes_of(data_dir: Path) -> list[str]:
    """Command lines of processes that work in a data folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(data_dir) in command:
            found.append(command)
    return found


def await_no_processes(data_dir: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while left := processes_of(data_dir):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_first_start_makes_all_and_a_second_start_finds_it(tmp_path: Path) -> None:
    port = free_port()
    with a_server(from_nothing, tmp_path, port) as first:
        key = (tmp_path / "demo-key").read_text()
        first.send_signal(signal.SIGTERM)
        assert first.wait(STOP_SECONDS) == 0
    assert processes_of(tmp_path) == []

    with a_server(from_nothing, tmp_path, port):
        assert (tmp_path / "demo-key").read_text() == key

    for name in ("demo-key", "encryption-key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_killed_server_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    port = free_port()
    with a_server(forked, tmp_path, port) as killed:
        killed.kill()
        killed.wait(STOP_SECONDS)

    with a_server(forked, tmp_path, port):
        pass

    await_no_processes(tmp_path)


def test_two_servers_run_side_by_side(tmp_path: Path) -> None:
    with (
        a_server(forked, tmp_path / "one", free_port()),
        a_server(forked, tmp_path / "two", free_port()),
    ):
        ports = {(tmp_path / name / "simulator" / "port").read_text() for name in ("one", "two")}

    assert len(ports) == 2


def test_a_taken_port_is_told_at_once_and_starts_no_database(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "counterfoil", "serve"],
            cwd=ROOT,
            env=environment(tmp_path, port),
            capture_output=True,
            text=True,
            check=False,
        )

    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "COUNTERFOIL_PORT" in ended.stderr
    assert not (tmp_path / "postgres").exists()


def test_a_stop_half_way_through_the_start_leaves_nothing(tmp_path: Path) -> None:
    process = from_nothing(tmp_path, free_port())
    deadline = time.monotonic() + START_SECONDS
    while not (tmp_path / "postgres" / "cluster").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)

    assert process.wait(STOP_SECONDS) == 0
    assert processes_of(tmp_path) == []


class Stopped(Exception):
    """What a signal does in the test below."""


def stop(*_: object) -> None:
    raise Stopped


def test_a_signal_between_the_start_of_a_child_and_remembering_it_waits() -> None:
    remembered = False
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Stopped), undisturbed():
            signal.raise_signal(signal.SIGTERM)
            remembered = True
    finally:
        signal.signal(signal.SIGTERM, before)

    assert remembered


def test_the_simulator_lives_as_long_as_who_started_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, port=free_port())
    with with_simulator(settings) as (running, is_up):
        is_up()
        first_url = running.simulator_url
        assert httpx.get(f"{first_url}/healthz", trust_env=False, verify=TRUSTS_NOBODY).is_success
    assert processes_of(tmp_path) == []

    with with_simulator(settings) as (running, _):
        assert running.simulator_url == first_url


def test_a_second_start_in_the_same_folder_fails_and_leaves_the_port_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, port=free_port())
    kept = tmp_path / "simulator" / "port"
    with with_simulator(settings) as (_, is_up):
        is_up()
        port = kept.read_text()
        with with_simulator(settings) as (_, is_second_up), pytest.raises(SimulatorFailed):
            is_second_up()

    assert kept.read_text() == port


def test_a_running_simulator_is_used(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, simulator_url="http://127.0.0.1:9")

    with with_simulator(settings) as (running, is_up):
        is_up()
        assert running.simulator_url == "http://127.0.0.1:9"
        assert processes_of(tmp_path) == []


def test_a_port_somebody_asked_for_is_not_exchanged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressTaken):
        _free_port(taken.getsockname()[1], 1, 0.2)


def test_the_simulator_does_not_take_the_port_of_the_server() -> None:
    port = free_port()

    with pytest.raises(AddressTaken):
        _free_port(port, port, 0)
