"""docs/runbooks/restore.md, done: a backup holds all, and open work goes on from it."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from core.database import Database, DatabaseSettings
from counterfoil.postgres_binaries import find_binaries
from counterfoil.verification import findings_of
from tests.conftest import ServerAddresses
from tests.payments.world import World

RESTORED = "counterfoil_restored"


@pytest.fixture
def restored_name(server_addresses: ServerAddresses, module_database: str) -> Iterator[str]:
    """Name of an empty database on the same server, as `createdb` makes it."""
    name = f"{RESTORED}_{module_database}"
    with psycopg.connect(server_addresses.of("admin", "postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
        yield name
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def run(program: str, *arguments: str) -> None:
    command = [str(find_binaries(None) / program), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


async def test_a_restored_backup_verifies_and_what_was_open_is_finished_without_a_second_charge(
    world: World,
    admin_url: str,
    restored_name: str,
    server_addresses: ServerAddresses,
    tmp_path: Path,
) -> None:
    await world.refund(await world.pay(), 300)
    await world.capture(await world.authorize(), 400)
    lost = await world.pay("tok_timeout_after")
    effects = world.effects()
    dump = tmp_path / "counterfoil.dump"

    run("pg_dump", "--format=custom", f"--file={dump}", admin_url)
    admin = server_addresses.of("admin", restored_name)
    run("pg_restore", "--exit-on-error", f"--dbname={admin}", str(dump))

    app = server_addresses.of("app", restored_name)
    database = await Database.open(DatabaseSettings(app, pool_size=4))
    there = replace(world, database=database, services=replace(world.services, database=database))
    assert [found async for found in findings_of(database, world.tenant_id)] == []
    assert (await there.see(lost)).payment.status == "PROCESSING"
    await there.later(lost)
    assert (await there.see(lost)).payment.status == "CAPTURED"
    assert world.effects() == effects
    await there.check()
    await database.close()
