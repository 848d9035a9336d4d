"""Running it: one uvicorn process whose protocol can drop a connection on demand."""

import socket
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.app import DROP, create_app
from simulator.books import Books, alone_in

_KEEP_ALIVE_SECONDS: Final = 30
_GRACE_SECONDS: Final = 2
_BACKLOG: Final = 2048


class DroppableProtocol(HttpToolsProtocol):
    """Hands the application a way to end the connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[DROP] = self.transport.abort  # type: ignore[typeddict-unknown-key]  # ours


def serve(host: str, port: int, folder: Path, public_url: str | None) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one; the line printed names it.

    Raises: OSError when the address is taken; FolderInUse.
    """
    with alone_in(folder):
        listener = _listen(host, port)
        bound = listener.getsockname()[1]
        url = public_url or f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{bound}"  # noqa: S104 - compared, not bound
        config = uvicorn.Config(
            create_app(Books(folder), url),
            http=DroppableProtocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        print(f"simulator on {url}, books in {folder}", flush=True)  # noqa: T201 - a program's output
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)  # who reads the printed line may connect at once
    return listener
