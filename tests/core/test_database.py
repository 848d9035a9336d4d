import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from core.database import Database, DatabaseSettings, DatabaseUnavailable, Reader, Tx
from tests.conftest import add_tenant


async def block(tx: Tx, tenant_id: int, value: str) -> None:
    await tx.execute(
        "INSERT INTO block_list (tenant_id, kind, value, reason) VALUES ($1, 'COUNTRY', $2, 'x')",
        tenant_id,
        value,
    )


async def blocked(database: Database, tenant_id: int) -> list[str]:
    async with database.unit_of_work(tenant_id) as tx:
        return [row["value"] for row in await tx.fetch("SELECT value FROM block_list ORDER BY 1")]


async def test_a_unit_of_work_commits_at_its_end(database: Database, tenant_id: int) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        await block(tx, tenant_id, "AA")

    assert await blocked(database, tenant_id) == ["AA"]


async def test_a_unit_of_work_that_raises_writes_nothing(
    database: Database, tenant_id: int
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.unit_of_work(tenant_id) as tx:
            await block(tx, tenant_id, "AA")
            raise ZeroDivisionError

    assert await blocked(database, tenant_id) == []


async def test_a_cancelled_unit_of_work_writes_nothing_and_frees_its_connection(
    database_url: str, tenant_id: int
) -> None:
    one = await Database.open(DatabaseSettings(database_url, pool_size=1))
    entered = asyncio.Event()

    async def write_and_wait() -> None:
        async with one.unit_of_work(tenant_id) as tx:
            await block(tx, tenant_id, "AA")
            entered.set()
            await tx.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(write_and_wait())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await asyncio.wait_for(blocked(one, tenant_id), timeout=10) == []
    await one.close()


async def test_work_that_loses_a_deadlock_is_run_again(database: Database, tenant_id: int) -> None:
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def cross(tx: Tx, first: int, second: int) -> None:
        nonlocal runs
        runs += 1
        meet = runs <= 2
        await tx.execute("SELECT pg_advisory_xact_lock($1)", first)
        if meet:
            await both_hold_one.wait()
        await tx.execute("SELECT pg_advisory_xact_lock($1)", second)

    await asyncio.gather(
        database.run(tenant_id, lambda tx: cross(tx, 1, 2)),
        database.run(tenant_id, lambda tx: cross(tx, 2, 1)),
    )

    assert runs == 3


async def test_work_that_always_loses_is_given_up_after_five_more_runs(
    database: Database, tenant_id: int
) -> None:
    runs = 0

    async def lose(_tx: Tx) -> None:
        nonlocal runs
        runs += 1
        raise asyncpg.DeadlockDetectedError("lost again")

    async with asyncio.timeout(10):
        with pytest.raises(DatabaseUnavailable):
            await database.run(tenant_id, lose)

    assert runs == 1 + 5


async def test_an_exhausted_pool_is_unavailable(database_url: str, tenant_id: int) -> None:
    one = await Database.open(
        DatabaseSettings(database_url, pool_size=1, acquire_timeout_seconds=0.1)
    )

    async with one.unit_of_work(tenant_id):
        with pytest.raises(DatabaseUnavailable):
            async with one.unit_of_work(tenant_id):
                pytest.fail("there was a second connection")

    await one.close()


async def test_a_lost_connection_is_unavailable_and_the_pool_recovers(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    admin = await asyncpg.connect(admin_url)

    with pytest.raises(DatabaseUnavailable):
        async with database.unit_of_work(tenant_id) as tx:
            backend = await tx.fetchval("SELECT pg_backend_pid()")
            await admin.execute("SELECT pg_terminate_backend($1)", backend)
            await tx.execute("SELECT pg_sleep(5)")

    assert await blocked(database, tenant_id) == []
    await admin.close()


async def test_reading_while_the_database_is_away_or_blocked_is_unavailable(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    admin = await asyncpg.connect(admin_url)
    sleep = text("SELECT pg_backend_pid(), pg_sleep(:seconds)")

    with pytest.raises(DatabaseUnavailable):
        async with database.reading(tenant_id) as connection:
            backend = (await connection.fetch(sleep, seconds=0))[0][0]
            await admin.execute("SELECT pg_terminate_backend($1)", backend)
            await connection.fetch(sleep, seconds=5)
    async with admin.transaction():
        await admin.execute("LOCK TABLE block_list IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailable):
            async with database.reading(tenant_id) as connection:
                await connection.fetch(text("SET LOCAL lock_timeout = '50ms'"))
                await connection.fetch(text("SELECT 1 FROM block_list"))
    async with database.reading(tenant_id) as connection:
        await connection.fetch(sleep, seconds=0)
    await admin.close()


async def test_reading_goes_on_at_once_when_the_server_was_started_anew(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    admin = await asyncpg.connect(admin_url)
    mine = text("SELECT pg_backend_pid(), pg_sleep(0.05)")

    async def backend() -> object:
        async with database.reading(tenant_id) as reader:
            return (await reader.fetch(mine))[0][0]

    idle = await asyncio.gather(backend(), backend())
    for each in idle:
        await admin.execute("SELECT pg_terminate_backend($1, 5000)", each)

    assert not {await backend() for _ in range(4)} & set(idle)
    await admin.close()


async def test_a_reader_cancelled_at_any_moment_leaves_no_snapshot_open(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    admin = await asyncpg.connect(admin_url)
    left_open = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'counterfoil-read'
          AND state LIKE 'idle in transaction%'"""

    async def read() -> None:
        async with database.reading(tenant_id) as reader:
            await reader.fetch(text("SELECT 1"))

    await read()
    for steps in range(20):
        reading = asyncio.create_task(read())
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
        assert await admin.fetchval(left_open) == 0, steps
    await admin.close()


async def test_a_reading_session_sees_its_tenant_and_cannot_write(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    stranger = add_tenant(admin_url)
    async with database.unit_of_work(tenant_id) as tx:
        await block(tx, tenant_id, "AA")

    async def count(reader: Reader) -> object:
        return (await reader.fetch(text("SELECT count(*) FROM block_list")))[0][0]

    async with database.reading(stranger) as reader:
        assert await count(reader) == 0
    async with database.reading(tenant_id) as reader:
        assert await count(reader) == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reader.fetch(text("DELETE FROM block_list"))
    async with database.reading(stranger) as reader:
        assert await count(reader) == 0


async def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(
    database: Database, tenant_id: int
) -> None:
    blocked_now = text("SELECT count(*) FROM block_list")

    async with database.reading(tenant_id) as reader:
        before = (await reader.fetch(blocked_now))[0][0]
        async with database.unit_of_work(tenant_id) as tx:
            await block(tx, tenant_id, "BB")
        after = (await reader.fetch(blocked_now))[0][0]

    assert (before, after) == (0, 0)
    async with database.reading(tenant_id) as reader:
        assert (await reader.fetch(blocked_now))[0][0] == 1


async def test_a_reader_that_is_cancelled_gives_no_connection_back_that_is_busy(
    database: Database, tenant_id: int
) -> None:
    async def read(seconds: float) -> None:
        async with database.reading(tenant_id) as reader:
            await reader.fetch(text("SELECT pg_sleep(:seconds)"), seconds=seconds)

    for _ in range(12):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await read(5)
    async with asyncio.TaskGroup() as readers:
        for _ in range(12):
            readers.create_task(read(0))


async def test_json_columns_speak_python(database: Database, tenant_id: int) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        value = await tx.fetchval("SELECT $1::JSONB", {"a": [1, "ä", None]})

    assert value == {"a": [1, "ä", None]}


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid"])
async def test_an_unreachable_database_is_unavailable(host: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        await Database.open(DatabaseSettings(f"postgresql://cf_app@{host}/none"))
