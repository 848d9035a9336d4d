"""One WebSocket as Strawberry's protocol handler wants it: JSON in, JSON out, one close.

Source: https://github.com/graphql/graphql-over-http, https://github.com/enisdenjo/graphql-ws
(PROTOCOL.md, graphql-transport-ws)
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, Final

from strawberry.http.async_base_view import AsyncWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected

from schema.endpoint.answer import write_json
from schema.endpoint.asgi import Receive, Send
from schema.endpoint.ports import Limits
from schema.endpoint.problems import HttpProblem
from schema.endpoint.request import load_json

PROTOCOL: Final = "graphql-transport-ws"
_ID_LENGTH_MAX: Final = 128
_SAY_WHAT: Final = {"query": str, "documentId": str, "id": str, "doc_id": str, "extensions": dict}
"""Any of these says what is subscribed to."""

BAD_REQUEST: Final = 4400
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
BAD_PROTOCOL: Final = 4406
INTERNAL_ERROR: Final = 1011
TOO_LARGE: Final = 1009
TRY_AGAIN_LATER: Final = 1013


class Messages(AsyncWebSocketAdapter):
    """The messages of one accepted socket. What is no message of the protocol ends it (4400)."""

    def __init__(self, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self.is_closed = False

    async def iter_json(
        self,
        *,
        ignore_parsing_errors: bool = False,  # noqa: ARG002 - the handler's own name; never asked
    ) -> AsyncGenerator[object, None]:
        """Messages as they come, until the socket is closed by either side."""
        while not self.is_closed:
            received = await self._receive()
            if received["type"] == "websocket.disconnect":
                self.is_closed = True
                return
            message = await self._read(received)
            if message is not None:
                yield message

    async def _read(self, received: Mapping[str, Any]) -> dict[str, Any] | None:
        text = received.get("text")
        if text is None:
            await self.close(BAD_REQUEST, "Send text.")
            return None
        raw = text.encode("utf-8", "surrogatepass")
        if len(raw) > self._limits.body_bytes:
            await self.close(TOO_LARGE, f"At most {self._limits.body_bytes} bytes.")
            return None
        try:
            message = load_json(raw, "The message", self._limits)
        except HttpProblem:
            message = None
        if not _is_message(message):
            await self.close(BAD_REQUEST, f"This is no message of {PROTOCOL}.")
            return None
        if message.get("payload") is None:
            message.pop("payload", None)
        return dict(message)

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send one message, waiting until the client takes it. Raises: WebSocketDisconnected."""
        if self.is_closed:
            raise WebSocketDisconnected
        await self._pass({"type": "websocket.send", "text": write_json(message).decode()})

    async def close(self, code: int, reason: str) -> None:
        """End the socket; only the first reason counts."""
        if self.is_closed:
            return
        self.is_closed = True
        with suppress(WebSocketDisconnected):
            await self._pass({"type": "websocket.close", "code": code, "reason": reason})

    async def _pass(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError:  # what ASGI says for a client that is gone
            self.is_closed = True
            raise WebSocketDisconnected from None


def _is_message(message: Any) -> bool:
    """Whether it has the members of its type in the right types."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    if message["type"] not in {"subscribe", "complete"}:
        return True
    id = message.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= _ID_LENGTH_MAX:
        return False
    if message["type"] == "complete":
        return True
    payload = message.get("payload")
    return isinstance(payload, dict) and any(
        isinstance(payload.get(name), kind) for name, kind in _SAY_WHAT.items()
    )
