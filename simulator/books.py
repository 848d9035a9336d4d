"""The simulator's books: SQLite, written by one thread, many units of work per commit.

A unit of work is a function of the connection. Units queued meanwhile share one commit (group
commit), each inside its own savepoint, and nobody gets an answer before the commit is on disk:
`synchronous=FULL`, so an effect that was answered survives `kill -9` and a power cut alike.
"""

import asyncio
import fcntl
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self, TypeVar

Result = TypeVar("Result")
Tx = sqlite3.Connection
"""The connection inside an open unit of work."""

BATCH_MAX: Final = 128
_SCHEMA: Final = Path(__file__).with_name("schema.sql")


class FolderInUse(Exception):
    """Another simulator is already using this data folder."""


class _Unit:
    """One queued unit of work and the future of whoever waits for it."""

    def __init__(
        self,
        work: Callable[[Tx], object],
        future: "asyncio.Future[object]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._work = work
        self._future = future
        self._loop = loop
        self._result: object = None
        self._error: Exception | None = None

    def run(self, tx: Tx) -> None:
        """Do the work; whatever it raises is undone and kept for the one who waits."""
        tx.execute("SAVEPOINT unit")
        try:
            self._result = self._work(tx)
        except Exception as error:  # noqa: BLE001 - handed to the waiting coroutine, not swallowed
            tx.execute("ROLLBACK TO unit")
            self._error = error
        tx.execute("RELEASE unit")

    def fail(self, error: Exception) -> None:
        """The commit itself failed: nothing of the batch is true."""
        self._error = error

    def conclude(self) -> None:
        """Tell the waiting coroutine, on its own loop. Called after the commit."""
        self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if self._future.done():  # the one who waited has gone; the books are right all the same
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._result)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else keeps books in the folder while the block runs. Raises: FolderInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "simulator.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUse(str(folder)) from error
        yield


class Books:
    """Open with `async with`; `run` is the only way in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="simulator-books")

    async def __aenter__(self) -> Self:
        self._connection = _connect(self._folder / "simulator.sqlite3")
        self._thread.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    async def run(self, work: Callable[[Tx], Result]) -> Result:
        """Do `work` in the next batch; returns after its commit. Raises what `work` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._queue.put(_Unit(work, future, loop))
        return await future  # type: ignore[return-value]  # the future carries work's own result

    def _write(self) -> None:
        """The writer thread: take what is queued, commit once, then tell everybody."""
        while (first := self._queue.get()) is not None:
            batch, stopping = self._gather(first)
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for unit in batch:
                    unit.run(self._connection)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                for unit in batch:
                    unit.fail(error)
            for unit in batch:
                unit.conclude()
            if stopping:
                return

    def _gather(self, first: _Unit) -> tuple[list[_Unit], bool]:
        """`first` and what else is waiting, and whether the end was among it."""
        batch = [first]
        while len(batch) < BATCH_MAX:
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                return batch, True
            batch.append(unit)
        return batch, False


def _connect(file: Path) -> sqlite3.Connection:
    """Open or create the file; only the writer thread uses the connection afterwards."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(_SCHEMA.read_text())
    return connection
