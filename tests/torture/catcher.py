"""Stands where the gateway should be called back: keeps every webhook, delivers none."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True)
class Caught:
    """One webhook as the simulator signed it."""

    body: bytes
    signature: str

    @property
    def event(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed


@dataclass
class Catcher:
    """Listens on a free loopback port; each event is kept once, by its id."""

    caught: dict[str, Caught] = field(default_factory=dict)
    url: str = ""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields["content-length"]))
                caught = Caught(body, fields["simulator-signature"])
                self.caught.setdefault(caught.event["id"], caught)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def by_payment(self) -> dict[str, list[Caught]]:
        """The events of each of the provider's payments, in the order they happened."""
        found: dict[str, list[Caught]] = {}
        for caught in sorted(self.caught.values(), key=lambda each: each.event["sequence"]):
            subject = caught.event["data"]
            payment = subject["id"] if subject["object"] == "payment" else subject["payment"]
            found.setdefault(payment, []).append(caught)
        return found
