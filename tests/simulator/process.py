"""A real simulator process for tests, and a receiver for its webhooks."""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.loopback import TRUSTS_NOBODY
from tests.programs import Program
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)


class SimulatorProcess:
    """`python -m simulator` on a free port; the folder outlives the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: Program | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(signal.SIGTERM)

    def start(self) -> None:
        told = self.folder.with_name(f"{self.folder.name}-{next(_numbers)}.out")
        command = ("simulator", "--port", "0", "--data", str(self.folder))
        self._child = Program(command, os.environ, told)
        eventually(lambda: "\n" in told.read_text())
        self.url = told.read_text().split(",")[0].removeprefix("simulator on ")
        self.client = httpx.Client(
            base_url=self.url, trust_env=False, timeout=20, verify=TRUSTS_NOBODY
        )
        eventually(self._is_up)

    def end(self, how: signal.Signals) -> None:
        """SIGTERM, or SIGKILL as a crash."""
        if self._child is None:
            return
        self.client.close()
        self._child.send_signal(how)
        self._child.wait(20)
        self._child = None

    def crash_and_restart(self) -> None:
        self.end(signal.SIGKILL)
        self.start()

    def _is_up(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def merchant(self, webhook_url: str | None = None) -> "Merchant":
        """A fresh account."""
        name = f"merchant-{next(_numbers)}"
        account = Merchant(self, name, f"sk_{name}", f"whsec_{name}")
        account.register(webhook_url)
        return account

    def control(self, path: str, **fields: Any) -> Any:
        answer = self.client.post(path, json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind: str, **rule: Any) -> None:
        self.control("/_faults", seed=1, rules=[{"fault": kind, **rule}])


@dataclass(frozen=True, slots=True)
class Merchant:
    """One account at the simulator, and what its system would do."""

    simulator: SimulatorProcess
    name: str
    secret_key: str
    webhook_secret: str

    def register(self, webhook_url: str | None) -> None:
        self.simulator.control(
            "/_accounts",
            name=self.name,
            secret_key=self.secret_key,
            webhook_url=webhook_url,
            webhook_secret=self.webhook_secret,
        )

    def headers(self, key: str | None = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.secret_key}"}
        return headers if key is None else {**headers, "Idempotency-Key": key}

    def post(self, path: str, key: str | None = None, **body: Any) -> httpx.Response:
        return self.simulator.client.post(path, json=body, headers=self.headers(key))

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.simulator.client.get(path, params=query, headers=self.headers())

    def pay(self, token: str, reference: str = "op_1", **changes: Any) -> httpx.Response:
        """A payment of 10.00 EUR, its key made of the reference unless told."""
        body = {"amount": 1000, "currency": "EUR", "token": token, "reference": reference}
        key = changes.pop("key", f"key_{reference}")
        return self.post("/v1/payments", key, **{**body, **changes})

    def pay_and_lose_the_answer(self, token: str, reference: str = "op_1", **changes: Any) -> None:
        with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
            answer = self.pay(token, reference, **changes)
            raise AssertionError(f"an answer arrived: {answer.status_code}")

    def effects(self, **query: str) -> list[dict[str, Any]]:
        """The effects the log knows, in order."""
        answer = self.simulator.client.get(
            "/_log", params={"account": self.name, "limit": "1000", **query}
        )
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def kinds(self, **query: str) -> list[tuple[str, int]]:
        """Kind and amount of each effect."""
        return [(effect["kind"], effect["amount"]) for effect in self.effects(**query)]


@dataclass
class Received:
    """One webhook as it arrived."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A merchant's webhook address. `answers` are the statuses of the first deliveries."""

    answers: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, delivery: Received) -> int:
        with self.lock:
            self.received.append(delivery)
            return self.answers.pop(0) if self.answers else 204


@contextlib.contextmanager
def receiver(*answers: int) -> Iterator[Receiver]:
    """Listens on a free port while the block runs."""
    inbox = Receiver(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(inbox.take(Received(headers, body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        inbox.url = f"http://127.0.0.1:{server.server_port}/hook"
        try:
            yield inbox
        finally:
            server.shutdown()
            thread.join()
