"""A whole gateway of real processes: API processes, workers and the simulator on one database.

Everything is reached over HTTP, as a shop and a provider would; the only inside knowledge is the
database, for the oracle. Processes listen on free loopback ports and end with the fleet.
"""

import asyncio
import base64
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from core.crypto import Vault
from core.database import Database, DatabaseSettings
from tests.loopback import TRUSTS_NOBODY
from tests.ports import free_port
from tests.torture.wire import Wire

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180.0
LEASE_SECONDS = 5
CALL_BUDGET_SECONDS = 3


@dataclass
class Process:
    """One child process. `kill` is SIGKILL; `stop` asks first."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    root: Path = ROOT
    child: subprocess.Popen[bytes] | None = None

    def start(self, **changes: str) -> None:
        assert not self.running
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command,
                cwd=self.root,
                env={**os.environ, **self.environment, **changes},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    @property
    def status(self) -> int | None:
        """How it ended; negative for a signal."""
        return None if self.child is None else self.child.poll()

    def kill(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait(10)

    def stop(self) -> None:
        if self.child is None:
            return
        self.child.terminate()
        try:
            self.child.wait(25)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class Fleet:
    """Enter it, open shops on it, leave it. `root` is the tree the gateway is run from."""

    app_url: str
    admin_url: str
    folder: Path
    apis: int = 1
    workers: int = 1
    root: Path = ROOT
    extra: Mapping[str, str] = field(default_factory=dict)
    simulator_url: str = ""
    apis_running: list[Process] = field(default_factory=list)
    workers_running: list[Process] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _encryption_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _simulator: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        try:
            return await self._start()
        except BaseException:
            self._stack.close()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for wire in self.wires:
            wire.close()
        if self._simulator is not None:
            await self._simulator.aclose()
        self._stack.close()

    async def _start(self) -> Self:
        port = free_port()
        self.simulator_url = f"http://127.0.0.1:{port}"
        data = str(self.folder / "simulator")
        command = [sys.executable, "-m", "simulator", "--port", str(port), "--data", data]
        # The provider stays as it is, whatever is planted in the gateway's tree.
        self._run("simulator", command, {}, ROOT)
        self._simulator = httpx.AsyncClient(
            base_url=self.simulator_url, trust_env=False, timeout=60, verify=TRUSTS_NOBODY
        )
        for _ in range(self.apis):
            port = free_port()
            self.wires.append(Wire(f"http://127.0.0.1:{port}"))
            self.apis_running.append(
                self._run(
                    f"api-{port}",
                    [sys.executable, "-m", "counterfoil", "serve", "--no-worker"],
                    {**self.environment, "COUNTERFOIL_PORT": str(port)},
                    self.root,
                )
            )
        for number in range(self.workers):
            command = [sys.executable, "-m", "counterfoil", "work"]
            self.workers_running.append(
                self._run(f"worker-{number}", command, self.environment, self.root)
            )
        await self._answers(f"{self.simulator_url}/healthz")
        await self.ready()
        return self

    async def ready(self) -> None:
        """Wait until every API process answers."""
        for wire in self.wires:
            await self._answers(f"{wire.url}/readyz")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "COUNTERFOIL_DATABASE_URL": self.app_url,
            "COUNTERFOIL_MIGRATION_DATABASE_URL": self.admin_url,
            "COUNTERFOIL_DATA_DIR": str(self.folder / "data"),
            "COUNTERFOIL_ENCRYPTION_KEY": base64.b64encode(self._encryption_key).decode(),
            "COUNTERFOIL_DEMO": "off",
            "COUNTERFOIL_GRAPHIQL": "off",
            "COUNTERFOIL_LEASE_SECONDS": str(LEASE_SECONDS),
            "COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS": str(CALL_BUDGET_SECONDS),
            "COUNTERFOIL_LOG_FORMAT": "json",
            "COUNTERFOIL_LOG_LEVEL": "warning",
            # What a process bears is looked for here, not what one key may have of it.
            "COUNTERFOIL_KEY_COST_PER_MINUTE": "0",
            **self.extra,
        }

    @property
    def vault(self) -> Vault:
        return Vault(self._encryption_key)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """The database as the product sees it."""
        database = await Database.open(DatabaseSettings(self.app_url, pool_size=4))
        try:
            yield database
        finally:
            await database.close()

    async def tell_simulator(self, path: str, **fields: Any) -> Any:
        """POST to the simulator's control side."""
        assert self._simulator is not None
        answer = await self._simulator.post(path, json=fields)
        assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def ask_simulator(self, path: str, **query: Any) -> Any:
        """GET from the simulator's control side."""
        assert self._simulator is not None
        answer = await self._simulator.get(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def calm(self) -> None:
        """Every process runs, none is to die, and the simulator is on its best behaviour."""
        for process in (*self.apis_running, *self.workers_running):
            if not process.running:
                process.start()
        await self.ready()
        await self.calm_simulator()

    async def calm_simulator(self) -> None:
        """No faults, no delay, webhooks at once and in order."""
        await self.end_faults()
        await self.tell_simulator("/_config", latency_ms=0)
        await self.tell_simulator("/_webhooks", pause=False)

    async def end_faults(self) -> None:
        assert self._simulator is not None
        (await self._simulator.delete("/_faults")).raise_for_status()

    def logs(self) -> str:
        """The end of what every process wrote: for the message of a failure."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted(self.folder.glob("*.log"))
            if path.stat().st_size
        )

    def _run(
        self, name: str, command: list[str], environment: Mapping[str, str], root: Path
    ) -> Process:
        process = Process(name, command, environment, self.folder / f"{name}.log", root)
        process.start()
        self._stack.callback(process.stop)
        return process

    async def _answers(self, url: str) -> None:
        """Wait until a URL says 200."""
        await eventually(
            lambda: is_up(url), START_SECONDS, lambda: f"{url} did not answer\n{self.logs()}"
        )


async def is_up(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2, verify=TRUSTS_NOBODY) as client:
            return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


async def eventually(
    condition: Callable[[], Any],
    seconds: float,
    what: Callable[[], str],
    *,
    pause_seconds: float = 0.1,
) -> Any:
    """Ask again and again until the answer is true; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if hasattr(answer, "__await__"):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what()} (within {seconds:g} s)")
        await asyncio.sleep(pause_seconds)
