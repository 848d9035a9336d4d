"""ASGI as far as the endpoint speaks it, so that no web framework is needed here.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Self

Connection = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The head of a request: what authentication and context may look at.

    Header names are lower-case; a header that was sent twice holds both values, comma-separated.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    client: str | None

    @classmethod
    def of(cls, connection: Connection) -> Self:
        headers: dict[str, str] = {}
        for raw_name, raw_value in connection["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        client = connection.get("client")
        return cls(
            connection.get("method", "GET"),  # a WebSocket's upgrade is a GET
            connection["path"],
            connection.get("query_string", b""),
            headers,
            client[0] if client else None,
        )


class BodyTooLarge(Exception):
    """More bytes arrived than are allowed."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, bytes_max: int) -> bytes:
    """The whole body, counted as it streams in. Raises: BodyTooLarge, ClientGone."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def send_response(
    send: Send, status: int, content_type: str, body: bytes, headers: Mapping[str, str]
) -> None:
    """Send one complete response."""
    fields = {
        "content-type": content_type,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
