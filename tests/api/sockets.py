"""A client of graphql-transport-ws, over a real WebSocket."""

import itertools
import json
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.api.gateway import FULL, Json

SECONDS = 20.0
PROTOCOL = "graphql-transport-ws"


class Closed(Exception):
    """The server ended the socket with this code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


@dataclass
class Socket:
    """One connection. Whatever is not what was waited for fails the test."""

    wire: ClientConnection
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def send(self, message: object) -> None:
        self.wire.send(message if isinstance(message, str) else json.dumps(message))

    def receive(self) -> Json:
        """The next message. Raises: Closed."""
        try:
            message: Json = json.loads(self.wire.recv(timeout=SECONDS))
        except ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd else 1006) from None
        return message

    def init(self, secret: str | None = None, **payload: Any) -> None:
        """Say who it is; returns once that is accepted. Raises: Closed."""
        given = payload if secret is None else {"Authorization": f"Bearer {secret}", **payload}
        self.send({"type": "connection_init", "payload": given})
        assert self.receive() == {"type": "connection_ack"}

    def subscribe(self, document: str, **variables: Any) -> str:
        """Subscribe; returns the id."""
        id = str(next(self.numbers))
        payload = {"query": document, "variables": variables}
        self.send({"id": id, "type": "subscribe", "payload": payload})
        return id

    def next(self, id: str) -> Json:
        """The data of the next event of a subscription."""
        message = self.receive()
        assert message["type"] == "next", message
        assert message["id"] == id
        assert "errors" not in message["payload"], message
        data: Json = message["payload"]["data"]
        return data

    def refusal(self, document: str, **variables: Any) -> Json:
        """The one error a subscription is refused with."""
        id = self.subscribe(document, **variables)
        message = self.receive()
        assert message["type"] == "error", message
        assert message["id"] == id
        (error,) = message["payload"]
        assert error["message"]
        assert error["extensions"]["correlationId"]
        found: Json = error
        return found

    def ask(self, document: str, **variables: Any) -> Json:
        """What comes first: data, or `errors`; the subscription is ended."""
        id = self.subscribe(document, **variables)
        message = self.receive()
        assert message["id"] == id
        if message["type"] == "error":
            return {"errors": message["payload"]}
        self.send({"id": id, "type": "complete"})
        payload: Json = message["payload"]
        return payload


@contextmanager
def a_socket(
    base: str,
    path: str = FULL,
    headers: Mapping[str, str] | None = None,
    protocol: str | None = PROTOCOL,
) -> Iterator[Socket]:
    """Connected, and nothing said yet."""
    protocols = None if protocol is None else [Subprotocol(protocol)]
    url = base.replace("http", "ws", 1) + path
    with connect(
        url, subprotocols=protocols, additional_headers=dict(headers or {}), proxy=None
    ) as wire:
        yield Socket(wire)


@contextmanager
def a_deaf_socket(base: str, secret: str) -> Iterator[socket.socket]:
    """A client that asks and does not read, until the server does not listen to it any more."""
    address = urlsplit(base)
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect((address.hostname, address.port))
        wire.sendall(
            f"GET {FULL} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Authorization: Bearer {secret}\r\n"
            f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n".encode()
        )
        assert wire.recv(2048).startswith(b"HTTP/1.1 101 ")
        wire.sendall(_frame({"type": "connection_init"}))
        assert b"connection_ack" in wire.recv(2048)
        wire.setblocking(False)
        _ask_until_unheard(wire)
        yield wire


def _ask_until_unheard(wire: socket.socket) -> None:
    asked = f"subscription {{ {'x' * 20_000} }}"  # what is refused is quoted in the answer
    unheard = time.monotonic() + 3  # long after both buffers are full, if not before
    for number in itertools.count():
        rest = _frame({"id": str(number), "type": "subscribe", "payload": {"query": asked}})
        while rest:
            if time.monotonic() > unheard or not select.select([], [wire], [], 1)[1]:
                return
            rest = rest[wire.send(rest) :]


def _frame(message: Json) -> bytes:
    """A text frame, masked with zeros."""
    text = json.dumps(message).encode()
    length = bytes([0xFE]) + len(text).to_bytes(2) if len(text) > 125 else bytes([0x80 | len(text)])
    return b"\x81" + length + bytes(4) + text
