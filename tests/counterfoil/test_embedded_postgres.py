"""The embedded PostgreSQL ends with its supervisor, and otherwise does not end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from counterfoil import unprivileged
from counterfoil.embedded_postgres import EmbeddedPostgres, PostgresFailed
from counterfoil.postgres_binaries import PostgresNotFound, find_binaries, major_version
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
BINARIES = find_binaries(None)
SUPERVISOR = """
import sys
from pathlib import Path
from counterfoil.embedded_postgres import EmbeddedPostgres
from counterfoil.postgres_binaries import find_binaries
server = EmbeddedPostgres(Path(sys.argv[1]), find_binaries(None), durable=False).start()
print(server.server_pid, server.port, flush=True)
sys.stdin.read()
server.stop()
"""


def a_server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, BINARIES, durable=False)


@pytest.fixture(scope="module")
def first_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "pg"
    with a_server(folder):
        pass
    (folder / "port").unlink()
    return folder


@pytest.fixture
def made(first_made: Path, tmp_path: Path) -> Path:
    """The folder of a server that was made and stopped. Making it takes longer than a test."""
    subprocess.run(["cp", "-a", first_made, tmp_path / "pg"], check=True)
    return tmp_path / "pg"


@contextmanager
def a_supervising_process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that supervises a server, and the server's process number."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin, process.stdout:
        server_pid = int(process.stdout.readline().split()[0])
        yield process, server_pid
        process.kill()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet collected does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z"


def watchdogs_of(server_pid: int) -> list[int]:
    wanted = f"watchdog.py\0{server_pid}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill_and_await_the_next(server: EmbeddedPostgres) -> None:
    killed = server.server_pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: server.server_pid != killed and _answers(server))


def answer(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(server.admin_url("postgres")) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_second_start_finds_the_data_of_the_first(tmp_path: Path) -> None:
    with a_server(tmp_path / "pg") as first:
        first.create_database()
        port = first.port
        with psycopg.connect(first.admin_url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    with a_server(tmp_path / "pg") as second, psycopg.connect(second.admin_url()) as connection:
        row = connection.execute("SELECT number FROM kept").fetchone()

    assert row == (7,)
    assert second.port == port


def test_a_stopped_server_leaves_no_process(made: Path) -> None:
    with a_server(made) as server:
        pid = server.server_pid
        assert pid is not None
        assert watchdogs_of(pid)

    assert not is_running(pid)
    assert not watchdogs_of(pid)


def test_a_killed_server_is_restarted(made: Path) -> None:
    with a_server(made) as server:
        kill_and_await_the_next(server)

        assert watchdogs_of(server.server_pid or 0)


def test_a_server_killed_again_and_again_keeps_what_was_committed(made: Path) -> None:
    with EmbeddedPostgres(made, BINARIES) as server:
        for number in range(3):
            with psycopg.connect(server.admin_url("postgres")) as connection:
                connection.execute(b"CREATE TABLE kept_%d ()" % number)
            kill_and_await_the_next(server)

        kept = answer(server, "SELECT count(*) FROM pg_class WHERE relname LIKE 'kept_%'")

    assert kept == 3


def test_a_killed_supervisor_takes_the_server_with_it(made: Path) -> None:
    with a_supervising_process(made) as (supervisor, server_pid):
        assert is_running(server_pid)

        supervisor.send_signal(signal.SIGKILL)

        eventually(lambda: not is_running(server_pid))


def test_a_killed_watchdog_is_replaced(made: Path) -> None:
    with a_server(made) as server:
        pid = server.server_pid
        assert pid is not None
        (watchdog,) = watchdogs_of(pid)

        os.kill(watchdog, signal.SIGKILL)

        eventually(lambda: bool(watchdogs_of(pid)) and watchdogs_of(pid) != [watchdog])


def test_a_server_nobody_supervises_is_ended_by_the_next_start(made: Path) -> None:
    with a_supervising_process(made) as (supervisor, orphan):
        # The watchdog first and both at once: nobody is left to stop the server.
        supervisor.send_signal(signal.SIGSTOP)
        for watchdog in watchdogs_of(orphan):
            os.kill(watchdog, signal.SIGKILL)
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
        assert is_running(orphan)

        with a_server(made) as server:
            assert _answers(server)
            assert not is_running(orphan)


def test_a_stale_pid_file_that_names_a_living_process_does_not_confuse(made: Path) -> None:
    with a_server(made):
        pass
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        pid_file = made / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{pid_file.parent}\n0\n5432\n\n127.0.0.1\n\n")

        with a_server(made) as server:
            assert _answers(server)

        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_port_taken_meanwhile_is_replaced(made: Path) -> None:
    with a_server(made) as first:
        port = first.port

    with socket.create_server(("127.0.0.1", port)), a_server(made) as second:
        assert second.port != port
        assert _answers(second)


def test_another_server_on_the_remembered_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    with a_server(tmp_path / "one") as one:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "port").write_text(str(one.port))

        with a_server(tmp_path / "two") as two:
            assert two.port != one.port
            assert Path(str(answer(two, "SHOW data_directory"))) == tmp_path / "two" / "cluster"


def test_two_servers_run_side_by_side(tmp_path: Path) -> None:
    with a_server(tmp_path / "one") as one, a_server(tmp_path / "two") as two:
        assert one.port != two.port
        assert _answers(one)
        assert _answers(two)


def test_whoever_comes_second_uses_the_running_server_and_leaves_it_running(made: Path) -> None:
    with a_server(made) as first:
        with a_server(made) as second:
            assert not second.is_supervised_here
            assert second.port == first.port
            assert _answers(second)

        assert _answers(first)


def test_data_is_durable_and_checked_by_default(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", BINARIES) as server:
        for setting in ("fsync", "full_page_writes", "data_checksums", "synchronous_commit"):
            assert answer(server, f"SHOW {setting}") == "on", setting


def test_only_who_knows_the_password_gets_in(tmp_path: Path) -> None:
    with a_server(tmp_path / "pg") as server:
        stored = answer(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
        wrong = (
            server.admin_url("postgres")
            .replace(":", ":x", 2)
            .replace("postgresql:x", "postgresql:")
        )
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        listening = answer(server, "SHOW listen_addresses")

    assert str(stored).startswith("SCRAM-SHA-256$")
    assert listening == "127.0.0.1"
    for name in ("superuser-password", "app-password"):
        assert stat.S_IMODE((tmp_path / "pg" / name).stat().st_mode) == 0o600


def test_the_server_has_no_rights_of_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with a_server(tmp_path / "pg") as server:
        status = Path(f"/proc/{server.server_pid}/status").read_text()

    assert "CapEff:\t0000000000000000" in status


def _ways_to_run() -> list[unprivileged.Identity]:
    if os.geteuid() != 0:
        return [unprivileged.Identity()]
    return list(unprivileged._identities())


@pytest.mark.parametrize(
    "identity", _ways_to_run(), ids=lambda way: "-".join(way.prefix[:1]) or "setuid"
)
def test_every_way_of_not_being_root_serves(
    identity: unprivileged.Identity, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The temporary folders of pytest are closed to others; this one is not, for plain setuid.
    folder = Path(f"/var/tmp/counterfoil-{os.getpid()}-{time.monotonic_ns()}")
    folder.mkdir(mode=0o755)
    try:
        works = _way_works(identity, folder)
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)

    assert works


def _way_works(identity: unprivileged.Identity, folder: Path) -> bool:
    identity.own(folder)
    server = a_server(folder / "pg")
    server._open_folder()
    identity.own(server.folder)
    if not unprivileged._works(identity, server.folder, BINARIES / "postgres"):
        # A project under a closed folder: plain setuid cannot reach the programs, and says so.
        return bool(identity.popen_arguments)
    server._identity = identity
    try:
        server._create_cluster()
        server._launch()
        return _answers(server)
    finally:
        server.stop()


def test_a_folder_of_another_postgresql_version_is_refused(made: Path) -> None:
    (made / "cluster" / "PG_VERSION").write_text("12\n")

    with pytest.raises(PostgresFailed, match=r"created by PostgreSQL 12.*\n.*COUNTERFOIL_PG_BIN"):
        a_server(made).start()


def test_an_unfinished_cluster_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "pg" / "cluster.unfinished").mkdir(parents=True)
    (tmp_path / "pg" / "cluster.unfinished" / "PG_VERSION").write_text("16\n")

    with a_server(tmp_path / "pg") as server:
        assert _answers(server)


def test_a_server_that_cannot_start_says_why(made: Path) -> None:
    with (made / "cluster" / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = nonsense\n")

    with pytest.raises(PostgresFailed, match="shared_buffers"):
        a_server(made).start()


def test_a_folder_named_by_the_operator_is_not_silently_replaced(tmp_path: Path) -> None:
    with pytest.raises(PostgresNotFound, match="COUNTERFOIL_PG_BIN"):
        find_binaries(tmp_path)


def test_the_binaries_found_are_new_enough() -> None:
    version = major_version(find_binaries(None))

    assert version is not None
    assert version >= 15


def _answers(server: EmbeddedPostgres) -> bool:
    try:
        return answer(server, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False
