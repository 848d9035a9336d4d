"""docker-compose.yml without Docker: each service's command and health check, run on free ports."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import pytest
import yaml

from counterfoil.addresses import bound
from counterfoil.embedded_postgres import EmbeddedPostgres
from counterfoil.health_check import main as health_check
from counterfoil.layout import ROOT
from counterfoil.postgres_binaries import find_binaries
from tests.loopback import TRUSTS_NOBODY
from tests.programs import Program

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = sorted(name for name, service in SERVICES.items() if "build" in service)
HEALTHY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
STARTED_ELSEWHERE: Final = {"api", "simulator"}
"""Services whose start from nothing test_serving.py sees; here they are forked."""

Process: TypeAlias = Program | subprocess.Popen[bytes]
pytestmark = pytest.mark.timeout(240)


class Outside:
    """What the containers' names, ports and folders are on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with ExitStack() as stack:
            probes = [stack.enter_context(bound("127.0.0.1", 0)) for _ in range(3)]
            self.api, self.simulator, self.worker = (probe.getsockname()[1] for probe in probes)
        self.postgres = 0

    def translate(self, text: str, service: str) -> str:
        """A command, variable or check of a service as it reads here."""
        for inside, here in (
            ("postgres:5432", f"127.0.0.1:{self.postgres}"),
            ("http://simulator:8001", f"http://127.0.0.1:{self.simulator}"),
            ("http://127.0.0.1:8001", f"http://127.0.0.1:{self.simulator}"),
            ("http://api:8000", f"http://127.0.0.1:{self.api}"),
            ("http://127.0.0.1:8000", f"http://127.0.0.1:{self.api}"),
            ("http://127.0.0.1:8002", f"http://127.0.0.1:{self.worker}"),
            ("8002", str(self.worker)),
            ("--port=5432", f"--port={self.postgres}"),
        ):
            text = text.replace(inside, here)
        for inside, volume in volumes_of(service).items():
            text = text.replace(inside, str(self.volume(volume)))
        return text

    def volume(self, name: str) -> Path:
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    def command(self, service: str) -> tuple[str, ...]:
        """What follows `python -m`."""
        words = [self.translate(word, service) for word in SERVICES[service]["command"]]
        words = [str(self.simulator) if word == "8001" else word for word in words]
        words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]
        assert words[:2] == ["python", "-m"]
        return tuple(words[2:])

    def check(self, service: str) -> list[str]:
        kind, program, *words = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        programs = {
            "python": sys.executable,
            "pg_isready": str(find_binaries(None) / "pg_isready"),
        }
        return [programs[program], *(self.translate(word, service) for word in words)]

    def environment(self, service: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("COUNTERFOIL_") and name != "DATABASE_URL"
        }
        of_image = {
            "COUNTERFOIL_DATA_DIR": self.translate("/var/lib/counterfoil", service),
            "COUNTERFOIL_LOG_FORMAT": "json",
            "COUNTERFOIL_PORT": str(self.api),
            "COUNTERFOIL_GRAPHIQL": "off",  # its build takes the network; it has tests of its own
        }
        of_service: Mapping[str, str] = SERVICES[service].get("environment", {})
        return kept | of_image | {k: self.translate(v, service) for k, v in of_service.items()}


def volumes_of(service: str) -> dict[str, str]:
    """Folder in the container → name of the volume."""
    mounts = (mount.split(":") for mount in SERVICES[service].get("volumes", []))
    return {inside: volume for volume, inside, *_ in mounts}


@contextmanager
def running(outside: Outside, service: str) -> Iterator[Process]:
    """A long-running service that has become healthy; at the end it stops in order."""
    process = started(outside, service)
    try:
        await_healthy(outside, service, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        # Told to stop, some programs report success and some the signal they stopped for.
        assert process.wait(STOP_SECONDS) in {0, -signal.SIGTERM}, service


def started(outside: Outside, service: str) -> Process:
    words, environment = outside.command(service), outside.environment(service)
    if service in STARTED_ELSEWHERE:
        return Program(words, environment)
    return subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=environment)


def await_healthy(outside: Outside, service: str, process: Process) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not is_healthy(outside, service):
        assert process.poll() is None, f"{service} ended"
        assert time.monotonic() < deadline, f"{service} is not healthy"
        time.sleep(0.2)


def is_healthy(outside: Outside, service: str) -> bool:
    checked = subprocess.run(outside.check(service), cwd=ROOT, capture_output=True, check=False)
    return checked.returncode == 0


def run_once(outside: Outside, service: str) -> None:
    """A service that ends by itself. Twice, because every `up` runs it again."""
    for _ in range(2):
        assert started(outside, service).wait(HEALTHY_SECONDS) == 0


@contextmanager
def a_postgresql(outside: Outside, folder: Path) -> Iterator[None]:
    """In place of the image: a server whose superuser has the password of the secret."""
    secret = outside.translate(
        SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"], "postgres"
    )
    folder.mkdir(mode=0o700)
    (folder / "superuser-password").write_text(Path(secret).read_text())
    with EmbeddedPostgres(folder, find_binaries(None), durable=False) as server:
        server.create_database(SERVICES["postgres"]["environment"]["POSTGRES_DB"])
        outside.postgres = server.port
        for place in ("admin", "app"):
            path = outside.volume(f"{place}-secrets") / "database-url"
            url = path.read_text().replace("postgres:5432", f"127.0.0.1:{server.port}")
            path.chmod(0o600)
            path.write_text(url)
        assert is_healthy(outside, "postgres")
        yield
    assert not is_healthy(outside, "postgres")


def test_the_services_start_in_order_become_healthy_and_stop(tmp_path: Path) -> None:
    outside = Outside(tmp_path)
    run_once(outside, "secrets")

    with a_postgresql(outside, tmp_path / "postgres"), running(outside, "simulator"):
        run_once(outside, "migrate")
        assert (outside.volume("state") / "demo-key").read_text().startswith("cf_test_")
        with running(outside, "api"), running(outside, "worker"):
            assert is_healthy(outside, "simulator")
            figures = httpx.get(
                f"http://127.0.0.1:{outside.worker}/metrics", trust_env=False, verify=TRUSTS_NOBODY
            ).text
            assert 'counterfoil_operations_waiting{status="UNKNOWN"} 0.0' in figures
            assert "counterfoil_build_info{" in figures
        assert not is_healthy(outside, "api")
    assert not is_healthy(outside, "simulator")


def test_a_worker_whose_heart_stopped_is_not_healthy(tmp_path: Path) -> None:
    alive = tmp_path / "worker-alive"
    assert health_check("file", str(alive)) == 1

    alive.touch()
    assert health_check("file", str(alive)) == 0

    os.utime(alive, (time.time() - 31, time.time() - 31))
    assert health_check("file", str(alive)) == 1


def test_secrets_are_made_once_and_kept_apart(tmp_path: Path) -> None:
    outside = Outside(tmp_path)
    run_once(outside, "secrets")
    before = {path: path.read_text() for path in tmp_path.rglob("*-secrets/*")}
    run_once(outside, "secrets")

    assert {path: path.read_text() for path in tmp_path.rglob("*-secrets/*")} == before
    app = outside.volume("app-secrets")
    assert sorted(path.name for path in app.iterdir()) == ["database-url", "encryption-key"]
    assert (app / "database-url").read_text().startswith("postgresql://cf_app:")
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o400 for path in app.iterdir())


def test_only_postgresql_and_the_migration_see_the_secrets_of_the_admin() -> None:
    seeing = {name for name in SERVICES if "/run/counterfoil/admin" in volumes_of(name)}

    assert seeing == {"secrets", "postgres", "migrate"}


@pytest.mark.parametrize("service", OURS)
def test_our_containers_have_few_rights(service: str) -> None:
    definition = SERVICES[service]

    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in definition, "the image's own user"
    assert "\nUSER counterfoil\n" in (ROOT / "Dockerfile").read_text()


def test_every_lasting_service_has_a_health_check_and_every_other_is_awaited() -> None:
    awaited = {
        name
        for service in SERVICES.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    checked = {name for name, service in SERVICES.items() if "healthcheck" in service}

    assert awaited == {"secrets", "migrate"}
    assert checked == {*SERVICES} - awaited


def test_ports_are_published_to_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
