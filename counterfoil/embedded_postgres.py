"""A PostgreSQL server of our own: created, started, watched, restarted and stopped with us.

    supervisor ──child──▶ postgres          ended by us, or restarted when it ends by itself
        └──pipe──▶ watchdog ──SIGINT──▶ postgres      when the supervisor is killed

All of it lives in one folder. A lock on the folder says who supervises; whoever comes second uses
the running server. A server is ours if its data directory is ours: process numbers and ports
belong to others as soon as we look away.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

import psycopg
import structlog

from core.errors import Unavailable
from counterfoil.postgres_binaries import major_version
from counterfoil.unprivileged import Identity, choose_identity
from counterfoil.watchdog import dismiss, undisturbed, watch

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 5.0  # then without a last checkpoint, which only makes the next start longer
LOG_BYTES_MAX: Final = 10_000_000
SOCKET_PATH_BYTES_MAX: Final = 100  # 103 on macOS, 107 on Linux
APP_ROLE: Final = "cf_app"
_PERSISTENT_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FAST_AND_FORGETFUL: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

log = structlog.get_logger("counterfoil.postgres")


class PostgresFailed(Unavailable):
    """The embedded PostgreSQL does not start."""

    code = "POSTGRES_FAILED"

    def __str__(self) -> str:
        facts = "\n".join(f"{name}: {value}" for name, value in self.facts.items())
        return f"{self.message}\n{facts}"


class EmbeddedPostgres:
    """One server in one folder. `start` it, use its URLs, `stop` it.

    `durable=False` is for tests: nothing is forced to disk, a power cut loses everything.
    """

    def __init__(self, folder: Path, binaries: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.cluster = self.folder / "cluster"
        self.port = 0
        self._binaries = binaries
        self._durable = durable
        self._identity = Identity()
        self._lock: IO[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None

    def start(self) -> Self:
        """Start the server, or join the one another process supervises in this folder.

        Raises: PostgresFailed, CannotDropRoot.
        """
        self._open_folder()
        if not self._take_lock():
            self._join()
            return self
        try:
            self._prepare_cluster()
            self._launch()
        except BaseException:
            self.stop()
            raise
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        return self

    def stop(self) -> None:
        """Stop the server if it is ours; twice does no harm."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
        if self._server is not None:
            _end(self._server)
        self._dismiss_watchdog()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_supervised_here(self) -> bool:
        return self._supervisor is not None

    @property
    def server_pid(self) -> int | None:
        """The process number of the server, if it is supervised here."""
        return self._server.pid if self._server is not None else None

    @property
    def app_password(self) -> str:
        return self._secret("app-password")

    def admin_url(self, database: str = "counterfoil") -> str:
        """For migrations: the superuser."""
        return self._url("postgres", self._secret("superuser-password"), database)

    def app_url(self, database: str = "counterfoil") -> str:
        """For the program: the login role with the fewest rights."""
        return self._url(APP_ROLE, self.app_password, database)

    def create_database(self, name: str = "counterfoil", *, template: str = "template1") -> None:
        """Create a database unless it exists."""
        with (
            suppress(psycopg.errors.DuplicateDatabase),
            psycopg.connect(self.admin_url("postgres"), autocommit=True) as connection,
        ):
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())

    def _url(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    # The folder

    def _open_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self.folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self.folder))
        except OSError as error:
            raise PostgresFailed(
                reason=f"cannot write {error.filename}: {error.strerror}",
                remedy="set COUNTERFOIL_DATA_DIR to a folder of your own",
            ) from error

    def _take_lock(self) -> bool:
        lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _join(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(FileNotFoundError, ValueError):
                self.port = int((self.folder / "port").read_text())
                if self._answers():
                    return
            time.sleep(0.1)
        raise PostgresFailed(reason=f"another process holds {self.folder} but its server is silent")

    def _secret(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="ascii").strip()

    def _make_secret(self, name: str) -> None:
        path = self.folder / name
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))

    # Creating

    def _prepare_cluster(self) -> None:
        self._identity = choose_identity(self.folder, self._binaries / "postgres")
        self._end_leftovers()
        if not self.cluster.exists():
            self._create_cluster()
        self._check_version()

    def _create_cluster(self) -> None:
        """Make the data directory beside its place and move it there when it is complete."""
        unfinished = self.folder / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._make_secret("superuser-password")
        self._make_secret("app-password")
        self._own_everything()
        initdb = [
            *self._identity.prefix,
            str(self._binaries / "initdb"),
            f"--pgdata={unfinished}",
            "--username=postgres",
            f"--pwfile={self.folder / 'superuser-password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
            *(() if self._durable else ("--no-sync",)),
        ]
        made = subprocess.run(  # noqa: S603 - our own arguments
            initdb,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            **self._identity.popen_arguments,
        )
        if made.returncode != 0:
            raise PostgresFailed(initdb=made.stderr.strip())
        unfinished.rename(self.cluster)

    def _own_everything(self) -> None:
        """As root: what was just created belongs to whom the server runs as."""
        if self._identity.owner:
            for path in self.folder.iterdir():
                os.chown(path, self._identity.owner, self._identity.owner)

    def _check_version(self) -> None:
        created_by = (self.cluster / "PG_VERSION").read_text().strip()
        found = major_version(self._binaries)
        if created_by != str(found):
            raise PostgresFailed(
                reason=f"{self.cluster} was created by PostgreSQL {created_by}, "
                f"{self._binaries} is {found}",
                remedy="set COUNTERFOIL_PG_BIN to the older version, or move its data with "
                "pg_dump, or set COUNTERFOIL_DATA_DIR to another folder",
            )

    # Leftovers of a supervisor that was killed

    def _end_leftovers(self) -> None:
        """End a server nobody supervises and remove its stale pid file.

        PostgreSQL itself takes any living process with the number in the file for its server. We
        hold the lock and know every process in the data directory, so the file can be judged.
        """
        pid_file = self.cluster / "postmaster.pid"
        deadline = time.monotonic() + START_SECONDS
        while pid_file.exists() and (left := list(_processes_in(self.cluster))):
            if time.monotonic() > deadline:
                raise PostgresFailed(reason=f"an old server does not end: processes {left}")
            postmaster = _first_number(pid_file)
            if postmaster in left:
                with suppress(ProcessLookupError):
                    os.kill(postmaster, signal.SIGINT)
            time.sleep(0.1)
        if _can_see_processes():
            pid_file.unlink(missing_ok=True)

    # Running

    def _launch(self) -> None:
        """Start the server and wait until it answers. Raises: PostgresFailed."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.port = self._choose_port()
            log_start = self._spawn()
            if self._wait_until_ready(deadline):
                (self.folder / "port").write_text(str(self.port))
                return
            said = self._log_since(log_start)
            if self._stopping.is_set() or not _may_pass(said) or time.monotonic() > deadline:
                raise PostgresFailed(log=self.folder / "server.log", said=said[-2000:])
            self._stopping.wait(0.2)

    def _spawn(self) -> int:
        log_path = self.folder / "server.log"
        if log_path.exists() and log_path.stat().st_size > LOG_BYTES_MAX:
            log_path.replace(log_path.with_suffix(".log.old"))
        with log_path.open("ab") as output, undisturbed():
            log_start = output.tell()
            # A session of its own: Ctrl-C is for us, who first let running work end.
            self._server = subprocess.Popen(  # noqa: S603 - our own arguments
                [*self._identity.prefix, *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=_environment(),
                **self._identity.popen_arguments,
            )
            self._dismiss_watchdog()
            self._watchdog = watch(self._server.pid)
        return log_start

    def _command(self) -> list[str]:
        socket_folder = self.folder / "socket"
        fits = len(os.fsencode(socket_folder / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES_MAX
        if fits:
            socket_folder.mkdir(mode=0o700, exist_ok=True)
            self._own_everything()
        settings = {
            **_PERSISTENT_SETTINGS,
            **({} if self._durable else _FAST_AND_FORGETFUL),
            "port": str(self.port),
            "unix_socket_directories": str(socket_folder) if fits else "",
        }
        command = [str(self._binaries / "postgres"), "-D", str(self.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _wait_until_ready(self, deadline: float) -> bool:
        """True when it answers; False when it ended or the time is over."""
        assert self._server is not None
        while self._server.poll() is None and not self._stopping.is_set():
            if self._answers():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return False

    def _answers(self) -> bool:
        """Whether the server on our port is the one of our data directory."""
        with suppress(psycopg.OperationalError, FileNotFoundError):
            with psycopg.connect(self.admin_url("postgres"), connect_timeout=2) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
            return row is not None and Path(row[0]).samefile(self.cluster)
        return False

    def _choose_port(self) -> int:
        """The port of last time if nobody has taken it, else a free one."""
        remembered = self.port
        if not remembered:
            with suppress(FileNotFoundError, ValueError):
                remembered = int((self.folder / "port").read_text())
        for port in (remembered, 0):
            with socket.socket() as probe, suppress(OSError, OverflowError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
        raise PostgresFailed(reason="no port is free on 127.0.0.1")

    def _log_since(self, start: int) -> str:
        with (self.folder / "server.log").open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def _supervise(self) -> None:
        """Until we stop: restart a server that ended by itself, replace a lost watchdog."""
        while not self._stopping.wait(0.1):
            assert self._server is not None
            assert self._watchdog is not None
            if self._server.poll() is None:
                if self._watchdog.poll() is not None:
                    self._dismiss_watchdog()
                    self._watchdog = watch(self._server.pid)
                continue
            log.warning("postgres_ended", status=self._server.returncode, action="restarting")
            try:
                self._end_leftovers()
                self._launch()
            except PostgresFailed as error:
                log.critical("postgres_failed", reason=str(error))
                self._stopping.wait(5)
            else:
                log.info("postgres_restarted", port=self.port)

    def _dismiss_watchdog(self) -> None:
        """The watchdog of a server that has ended leaves by itself once its pipe is closed."""
        if self._watchdog is not None:
            dismiss(self._watchdog)
            self._watchdog = None


def _may_pass(said: str) -> bool:
    """Whether what the server said before it ended is a matter of time or of another port."""
    return any(
        sign in said
        for sign in (
            "Address already in use",
            "could not create any TCP/IP sockets",
            "pre-existing shared memory block",
            "already exists",
        )
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask politely, then less politely. Every stage is safe for the data."""
    for number, seconds in (
        (signal.SIGINT, STOP_SECONDS),
        (signal.SIGQUIT, 2.0),
        (signal.SIGKILL, None),
    ):
        if server.poll() is None:
            server.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=seconds)


def _environment() -> dict[str, str]:
    """What the server needs of our environment: nothing that could point it elsewhere."""
    kept = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}


def _first_number(file: Path) -> int:
    try:
        return int(file.read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return -1


def _can_see_processes() -> bool:
    return Path("/proc/self/cwd").exists()


def _processes_in(folder: Path) -> Iterator[int]:
    """The processes whose working directory is the folder: a server and its children."""
    wanted = str(folder.resolve())
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink() == Path(wanted):
                yield int(entry.name)
