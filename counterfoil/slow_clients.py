"""Ends connections of clients that dribble, or do not read: uvicorn itself waits for ever."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class ImpatientProtocol(HttpToolsProtocol):
    """Gives the headers of a request 5 s from its first byte or the connection, its body 10 s."""

    header_seconds: ClassVar[float] = 5.0
    body_seconds: ClassVar[float] = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the parent
        super().connection_made(transport)
        self._give(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._give(None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._give(self.header_seconds)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._give(self.body_seconds)

    def on_message_complete(self) -> None:
        self._give(None)
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._give(None)
        super().handle_websocket_upgrade()

    def _give(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        end: Any = self.transport.abort
        self._deadline = None if seconds is None else self.loop.call_later(seconds, end)


class ImpatientSocket(WebSocketsSansIOProtocol):
    """Cuts a WebSocket whose client does not take what it is sent for 10 s.

    Until then whoever sends waits, and what waits is one message for each of them. Closing would
    not do: the frame that says so would wait behind the rest.
    """

    taking_seconds: ClassVar[float] = 10.0
    _end: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
