"""A whole gateway of real processes: API processes, workers and the simulator on one database.

Everything is reached over HTTP, as a shop and a provider would; the only inside knowledge is the
database, for the oracle. Processes listen on free loopback ports and end with the fleet.
"""

import asyncio
import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from core.crypto import Vault
from core.database import Database, DatabaseSettings
from core.identifiers import encode
from counterfoil.bootstrap import (
    ensure_simulator_accounts,
    ensure_tenant,
    register_at_simulator,
)
from gateways.accounts import ProviderAccount
from tenants import SCOPES, issue

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


def free_port() -> int:
    """A loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    """Call `start`, use `graphql` and `simulator`, ask the oracle, leave."""

    app_url: str
    admin_url: str
    folder: Path
    apis: int = 1
    workers: int = 1
    root: Path = ROOT
    extra: Mapping[str, str] = field(default_factory=dict)
    simulator_url: str = ""
    key: str = ""
    tenant_id: int = 0
    accounts: list[ProviderAccount] = field(default_factory=list)
    api_processes: list[Process] = field(default_factory=list)
    worker_processes: list[Process] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _encryption_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    async def start(self, *, tenant: str = "torture") -> Self:
        simulator_port = free_port()
        self.simulator_url = f"http://127.0.0.1:{simulator_port}"
        self._run(
            "simulator",
            [
                sys.executable,
                "-m",
                "simulator",
                "--port",
                str(simulator_port),
                "--data",
                str(self.folder / "simulator"),
            ],
            {},
        )
        ports = [free_port() for _ in range(self.apis)]
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        await _answers(f"{self.simulator_url}/healthz")
        await self._set_up(tenant)
        for port in ports:
            self.api_processes.append(
                self._run(
                    f"api-{port}",
                    [sys.executable, "-m", "counterfoil", "serve", "--no-worker"],
                    {**self.environment, "COUNTERFOIL_PORT": str(port)},
                )
            )
        for number in range(self.workers):
            self.worker_processes.append(
                self._run(
                    f"worker-{number}",
                    [sys.executable, "-m", "counterfoil", "work"],
                    self.environment,
                )
            )
        for url in self.urls:
            await _answers(f"{url}/readyz")
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "COUNTERFOIL_DATABASE_URL": self.app_url,
            "COUNTERFOIL_MIGRATION_DATABASE_URL": self.admin_url,
            "COUNTERFOIL_DATA_DIR": str(self.folder / "data"),
            "COUNTERFOIL_ENCRYPTION_KEY": base64.b64encode(self._encryption_key).decode(),
            "COUNTERFOIL_DEMO": "off",
            "COUNTERFOIL_GRAPHIQL": "off",
            "COUNTERFOIL_LEASE_SECONDS": "5",
            "COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS": "3",
            "COUNTERFOIL_LOG_FORMAT": "json",
            "COUNTERFOIL_LOG_LEVEL": "warning",
            **self.extra,
        }

    async def database(self) -> Database:
        return await Database.open(DatabaseSettings(self.app_url, pool_size=4))

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    async def register_webhooks(self) -> None:
        """Tell the simulator to call back the first API process."""
        await register_at_simulator(self.accounts, self.simulator_url, self.urls[0])

    def _run(self, name: str, command: list[str], environment: Mapping[str, str]) -> Process:
        process = Process(name, command, environment, self.folder / f"{name}.log", self.root)
        process.start()
        self._stack.callback(process.stop)
        return process

    async def _set_up(self, tenant: str) -> None:
        database = await self.database()
        try:
            self.tenant_id = await ensure_tenant(database, self.admin_url, tenant)
            async with database.unit_of_work(self.tenant_id) as tx:
                issued = await issue(
                    tx,
                    self.tenant_id,
                    name="torture",
                    scopes=SCOPES,
                    actor="test",
                    correlation_id="torture",
                )
            self.key = issued.secret
            self.accounts = await ensure_simulator_accounts(
                database, Vault(self._encryption_key), self.tenant_id, self.simulator_url
            )
        finally:
            await database.close()
        await self.register_webhooks()


async def _answers(url: str) -> None:
    """Wait until a URL says 200."""
    await eventually(lambda: _is_up(url), START_SECONDS, f"{url} did not answer")


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


async def eventually(
    condition: Callable[[], Any], seconds: float, what: str, *, pause_seconds: float = 0.1
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
            raise AssertionError(f"{what} within {seconds} s")
        await asyncio.sleep(pause_seconds)


def provider_id(account: ProviderAccount) -> str:
    """The public id of a provider account: also its name at the simulator."""
    return encode("prv", account.id)
