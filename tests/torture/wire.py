"""HTTP/1.1 over kept connections, as lean as it gets: the client must not be what is measured.

One request at a time on a connection, as many connections as callers. It knows what it needs to
of HTTP: a status line, headers, a Content-Length.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

IDLE_SECONDS_MAX = 3.0
"""A connection that was idle for longer may be closed by the server any moment."""
ANSWER_SECONDS = 60.0


class NoAnswer(Exception):
    """The connection was refused, or ended before the answer came: the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float


@dataclass
class Wire:
    """Connections to one server, opened as needed and kept."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    in_flight: int = 0
    """Requests written whose answer has not come."""
    _idle: list[_Connection] = field(default_factory=list)

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send once, never again by itself. Raises: NoAnswer."""
        host = urlsplit(self.url).netloc
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in {**self.headers, **(headers or {})}.items()]
        request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        connection = await self._connect()
        self.in_flight += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection.writer.write(request)
                answer, keep = await _read(connection.reader)
        except (OSError, EOFError, TimeoutError) as error:
            connection.writer.close()
            raise NoAnswer(repr(error)) from error
        except BaseException:
            connection.writer.close()
            raise
        finally:
            self.in_flight -= 1
        if keep:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.writer.close()
        return answer

    def close(self) -> None:
        while self._idle:
            self._idle.pop().writer.close()

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            fresh = time.monotonic() - connection.idle_since < IDLE_SECONDS_MAX
            if fresh and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        parts = urlsplit(self.url)
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError as error:
            raise NoAnswer(repr(error)) from error
        return _Connection(reader, writer, time.monotonic())


async def _read(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(fields["content-length"]))
    keep = fields.get("connection") != "close"
    return Answer(int(status_line.split(" ", 2)[1]), body), keep


async def at_once(parallel: int, count: int, act: Callable[[int], Awaitable[None]]) -> None:
    """Run `act(0 … count-1)`, so many at a time, started in order. The first failure ends all."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await act(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(parallel, count)):
            tasks.create_task(caller())
