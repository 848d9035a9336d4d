"""Our programs in processes of their own, forked from one that has imported them already.

To import everything takes a processor two seconds at each start, to fork a hundredth of one. That
`python -m …` starts from nothing too is seen where the start is the matter, in
tests/counterfoil/test_serving.py; and tests/docs/test_tutorial.py types what a reader types.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final

# Imported and loaded by the programs when they run; here so that each process finds it there.
import anyio._backends._asyncio  # noqa: F401
import httpcore  # noqa: F401
import strawberry.federation.schema_directives  # noqa: F401

from core.certificates import usual_authorities
from counterfoil import (  # noqa: F401
    app,
    bootstrap,
    commands,
    migrate,
    serving,
    startup,
    verification,
    worker,
)
from counterfoil.layout import ROOT
from schema.build import build
from simulator import server  # noqa: F401

FORKS: Final = multiprocessing.get_context("forkserver")
"""The one server of a process; whoever forks from it finds the whole product imported."""

FORKS.set_forkserver_preload([__name__])
usual_authorities()
build()


class Program:
    """`python -m …` as it would be from the project's folder; used like a `subprocess.Popen`."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        out: Path | None = None,
        err: Path | None = None,
    ) -> None:
        """What it writes goes to files; without one it joins what this process writes."""
        given = {"stdout": out, "stderr": err}
        streams = {name: path for name, path in given.items() if path is not None}
        for path in streams.values():
            path.write_bytes(b"")
        self._process: ForkServerProcess = FORKS.Process(
            target=_run, args=(arguments, dict(environment), streams)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The status it ended with, a signal negative; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Until it has ended. Raises: TimeoutExpired."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise TimeoutExpired(self._process.name, timeout)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Tell it; nothing if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: tuple[str, ...], environment: dict[str, str], streams: dict[str, Path]) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for name, path in streams.items():
        written = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(written, getattr(sys, name).fileno())
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
