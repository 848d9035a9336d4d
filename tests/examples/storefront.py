"""The example shop's server as a process, and a gateway whose answers get lost on the way to it."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from counterfoil.graphiql_build import find_node
from examples.storefront.run import ROOT, SERVER, server_environment
from tests.api.gateway import Shop
from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Storefront:
    """A running server of the example."""

    origin: str
    tenant: Shop
    log: Path


def an_origin() -> str:
    return f"http://127.0.0.1:{free_port()}"


@contextmanager
def a_storefront(
    tenant: Shop,
    folder: Path,
    origin: str,
    *,
    gateway: str = "",
    command: Sequence[str] = (),
) -> Iterator[Storefront]:
    """The server, until the block ends; `gateway` is where it believes the gateway to be."""
    settings = {
        "SHOP_ORIGIN": origin,
        "SHOP_SERVER_KEY": tenant.key,
        "COUNTERFOIL_URL": gateway or tenant.gateway.base,
    }
    node, _ = find_node()
    log = folder / "shop.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command or (str(node), "--enable-source-maps", str(SERVER)),
            cwd=ROOT,
            env=server_environment(settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        greeting = [process.stdout.readline() for _ in range(2)]
        assert origin in greeting[1], log.read_text()
        yield Storefront(origin, tenant, log)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextmanager
def a_leaky_way(tenant: Shop, word: str) -> Iterator[tuple[str, list[bytes]]]:
    """Leads to the gateway; loses its first answer to what contains `word`. Also: what was sent."""
    sent: list[bytes] = []

    class Forward(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = tenant.gateway.client.post(
                self.path,
                content=body,
                headers={name: self.headers[name] for name in ("authorization", "content-type")},
            )
            is_lost = word.encode() in body and not sent
            sent.extend([body] if word.encode() in body else [])
            if is_lost:
                self.close_connection = True
            else:
                self._pass_on(answer)

        def _pass_on(self, answer: httpx.Response) -> None:
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
