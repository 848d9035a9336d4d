"""Stops a child of ours when we are killed: `watch(pid)` starts `python watchdog.py PID`.

The supervisor holds the other end of standard input. However it ends, the kernel closes that end,
and the read here returns. Runs alone, in a session of its own, with the standard library only.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

FAST_SHUTDOWN_SECONDS = 20.0
POLL_SECONDS = 0.2


def watch(pid: int) -> subprocess.Popen[bytes]:
    """Start a watchdog for a child; `dismiss` it when the child has ended."""
    return subprocess.Popen(  # noqa: S603 - our own arguments
        [sys.executable, "-I", "-S", __file__, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """A signal that would stop us waits until the block ends.

    Between the start of a child and the line that remembers it, nobody could end it any more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is disturbed by signals
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for signal_number in came[:1]:
            signal.raise_signal(signal_number)


def dismiss(watchdog: subprocess.Popen[bytes]) -> None:
    """End the watchdog of a child that has ended."""
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    watchdog.wait()


class Server:
    """A process that is certainly the one meant, even if its number is given to another."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None

    def send(self, number: signal.Signals) -> None:
        if self.handle is not None and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(self.handle, number)
        else:
            os.kill(self.pid, number)

    def has_ended(self, wait_seconds: float) -> bool:
        if self.handle is not None:
            return bool(select.select([self.handle], [], [], wait_seconds)[0])
        time.sleep(wait_seconds)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False


def wait_for_either(server: Server) -> bool:
    """Block until the supervisor is gone (True) or the server has ended (False)."""
    while True:
        if select.select([0], [], [], POLL_SECONDS)[0] and not os.read(0, 64):
            return True
        if server.has_ended(0):
            return False


def main(pid: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        server = Server(pid)
        if not wait_for_either(server):
            return
        server.send(signal.SIGINT)
        deadline = time.monotonic() + FAST_SHUTDOWN_SECONDS
        while time.monotonic() < deadline:
            if server.has_ended(POLL_SECONDS):
                return
        server.send(signal.SIGQUIT)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
