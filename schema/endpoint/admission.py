"""Load is shed before work starts: so many requests run at once, a few wait a moment.

Whoever waits longer than he may is told to come back and nothing was begun. When the queue has not
been empty for a while, waiting would only move the delay, so newcomers wait a tenth as long.

Source: B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015 (controlled delay).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from core.errors import Unavailable

_STANDING_QUEUE: Final = 0.1
"""What is left of the patience once the queue stands."""


class Overloaded(Unavailable):
    """Too much is going on right now; nothing was begun. Try again."""

    code = "OVERLOADED"


@dataclass(slots=True)
class Place:
    """The right to run."""

    task: asyncio.Task[Any] | None = None

    def keep_until_done(self, task: asyncio.Task[Any]) -> None:
        """The work outlives its request, and so does its place."""
        self.task = task


@dataclass(slots=True)
class Admission:
    """The places of one process; shared by all its endpoints."""

    places: int = 100
    waiting_max: int = 100
    waiting_seconds: float = 0.5
    running: int = 0
    waiting: int = 0
    _free: asyncio.Semaphore = field(init=False)
    _queue_was_empty: float = 0.0

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.places)

    def check(self) -> None:
        """Before a body is read or the database asked. Raises: Overloaded."""
        if self._free.locked() and self.waiting >= self.waiting_max:
            raise Overloaded

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Run in a place, waiting for it if need be. Raises: Overloaded."""
        await self._enter()
        place = Place()
        try:
            yield place
        finally:
            if place.task is None:
                self._leave()
            else:
                place.task.add_done_callback(lambda _task: self._leave())

    async def _enter(self) -> None:
        self.check()
        now = asyncio.get_running_loop().time()
        if not self.waiting:
            self._queue_was_empty = now
        stands = now - self._queue_was_empty > self.waiting_seconds
        self.waiting += 1
        try:
            async with asyncio.timeout(self.waiting_seconds * (_STANDING_QUEUE if stands else 1)):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded from None
        finally:
            self.waiting -= 1
        self.running += 1

    def _leave(self) -> None:
        self.running -= 1
        self._free.release()
