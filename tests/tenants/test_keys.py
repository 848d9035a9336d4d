from datetime import timedelta

import asyncpg
import psycopg
import pytest

from core.clock import SystemClock
from core.database import Database, DatabaseSettings
from core.identifiers import new_id
from tenants import (
    KeyNotFound,
    PublishableKeyWithScope,
    UnknownScope,
    authenticate,
    issue,
    revoke,
    rotate,
)
from tenants.keys import IssuedKey
from tests.conftest import add_tenant

ACT = {"actor": "test", "correlation_id": "cor_test"}


async def a_key(database: Database, tenant_id: int, **changes: object) -> IssuedKey:
    wanted: dict[str, object] = {"name": "shop", "scopes": ["PAYMENTS_READ"], **ACT, **changes}
    async with database.unit_of_work(tenant_id) as tx:
        return await issue(tx, tenant_id, **wanted)  # type: ignore[arg-type] # builder


async def test_a_key_proves_its_tenant_and_its_scopes(database: Database, tenant_id: int) -> None:
    key = await a_key(database, tenant_id, scopes=["PAYMENTS_READ", "LEDGER_READ"])

    principal = await authenticate(database, key.secret)

    assert principal is not None
    assert principal.tenant_id == tenant_id
    assert principal.scopes == {"PAYMENTS_READ", "LEDGER_READ"}
    assert not principal.live


async def test_the_use_of_a_key_is_noted_once_a_minute(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    key = await a_key(database, tenant_id)

    async def last_used() -> object:
        async with database.unit_of_work(tenant_id) as tx:
            return await tx.fetchval("SELECT last_used_at FROM api_key WHERE id = $1", key.id)

    assert await last_used() is None
    await authenticate(database, key.secret)
    first = await last_used()
    await authenticate(database, key.secret)

    assert first is not None
    assert await last_used() == first
    with psycopg.connect(admin_url) as admin:
        admin.execute("UPDATE api_key SET last_used_at = last_used_at - INTERVAL '2 minutes'")
    await authenticate(database, key.secret)
    later = await last_used()
    assert later is not None
    assert later >= first  # type: ignore[operator] # two instants


@pytest.mark.parametrize("guess", ["", "cf_", "cf_test_guess", "x" * 300, "cf_\x00", "cf_\ud800"])
async def test_a_guess_proves_nothing(database: Database, guess: str) -> None:
    assert await authenticate(database, guess) is None


async def test_the_database_keeps_no_key(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    key = await a_key(database, tenant_id)

    with psycopg.connect(admin_url) as admin:
        rows = admin.execute("SELECT row_to_json(k)::TEXT FROM api_key AS k").fetchall()
        lines = admin.execute("SELECT row_to_json(a)::TEXT FROM audit_log AS a").fetchall()

    assert not [row for row in rows + lines if key.secret in row[0]]


async def test_an_expired_key_is_refused(database: Database, tenant_id: int) -> None:
    now = SystemClock().now()
    expired = await a_key(database, tenant_id, expires_at=now - timedelta(seconds=1))
    lasting = await a_key(database, tenant_id, expires_at=now + timedelta(hours=1))

    assert await authenticate(database, expired.secret) is None
    assert await authenticate(database, lasting.secret) is not None


async def test_a_revoked_key_is_refused(database: Database, tenant_id: int) -> None:
    key = await a_key(database, tenant_id)

    async with database.unit_of_work(tenant_id) as tx:
        await revoke(tx, tenant_id, key.id, **ACT)

    assert await authenticate(database, key.secret) is None


async def test_a_rotated_key_works_until_its_grace_ends(database: Database, tenant_id: int) -> None:
    old = await a_key(database, tenant_id)

    async with database.unit_of_work(tenant_id) as tx:
        new = await rotate(tx, tenant_id, old.id, grace=timedelta(hours=1), **ACT)
    assert await authenticate(database, old.secret) is not None
    async with database.unit_of_work(tenant_id) as tx:
        newest = await rotate(tx, tenant_id, new.id, grace=timedelta(0), **ACT)

    assert await authenticate(database, new.secret) is None
    assert await authenticate(database, newest.secret) is not None


async def test_another_tenant_cannot_revoke_a_key(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    key = await a_key(database, tenant_id)
    stranger = add_tenant(admin_url)

    with pytest.raises(KeyNotFound):
        async with database.unit_of_work(stranger) as tx:
            await revoke(tx, tenant_id, key.id, **ACT)

    assert await authenticate(database, key.secret) is not None


async def test_a_scope_that_does_not_exist_is_refused(database: Database, tenant_id: int) -> None:
    with pytest.raises(UnknownScope):
        await a_key(database, tenant_id, scopes=["EVERYTHING"])


async def test_making_a_key_leaves_an_audit_line(database: Database, tenant_id: int) -> None:
    await a_key(database, tenant_id)

    async with database.unit_of_work(tenant_id) as tx:
        lines = await tx.fetch("SELECT actor, action, correlation_id FROM audit_log")

    assert [tuple(line) for line in lines] == [("test", "key.issue", "cor_test")]


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"])
async def test_the_audit_log_cannot_be_changed(
    database: Database, tenant_id: int, statement: str, admin_url: str
) -> None:
    await a_key(database, tenant_id)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.unit_of_work(tenant_id) as tx:
            await tx.execute(statement)
    with psycopg.connect(admin_url) as admin, pytest.raises(psycopg.Error, match="append-only"):
        admin.execute(statement.encode())


async def test_without_a_tenant_no_row_is_visible(database: Database, tenant_id: int) -> None:
    await a_key(database, tenant_id)

    async with database.unit_of_work(None) as tx:
        tables = await tx.fetch(
            """SELECT c.oid::regclass::TEXT AS name FROM pg_class AS c
                WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
                  AND has_table_privilege(c.oid, 'SELECT') AND c.relname <> 'alembic_version'"""
        )
        seen = {
            table["name"]: await tx.fetchval(f"SELECT count(*) FROM {table['name']}")
            for table in tables
        }

    assert len(seen) >= 10
    without_rows_of_a_tenant = {"account_type", "currency"}  # the same for everybody
    assert {n for n, count in seen.items() if count} <= without_rows_of_a_tenant


async def test_a_row_of_another_tenant_cannot_be_written(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    stranger = add_tenant(admin_url)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.unit_of_work(stranger) as tx:
            await tx.execute(
                """INSERT INTO block_list (tenant_id, kind, value, reason)
                   VALUES ($1, 'CUSTOMER', $2, 'test')""",
                tenant_id,
                str(new_id()),
            )


async def test_tenants_on_one_connection_never_see_each_other(
    database_url: str, admin_url: str
) -> None:
    first, second = add_tenant(admin_url), add_tenant(admin_url)
    one = await Database.open(DatabaseSettings(database_url, pool_size=2))
    await a_key(one, first)
    await a_key(one, second)

    leaks = 0
    for _ in range(500):
        for tenant in (first, second):
            async with one.unit_of_work(tenant) as tx:
                rows = await tx.fetch("SELECT tenant_id FROM api_key")
            leaks += [row["tenant_id"] for row in rows] != [tenant]
    await one.close()

    assert leaks == 0


async def test_the_product_runs_without_special_rights(database: Database) -> None:
    async with database.unit_of_work(None) as tx:
        role = await tx.fetchrow(
            """SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb
                 FROM pg_roles WHERE rolname = current_user"""
        )
        owned = await tx.fetchval(
            "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"
        )

    assert role is not None
    assert not any(role.values())
    assert owned == 0


async def test_a_publishable_key_has_no_scope_and_stays_one_when_it_is_replaced(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    with pytest.raises(PublishableKeyWithScope):
        await a_key(database, tenant_id, publishable=True)
    first = await a_key(database, tenant_id, scopes=[], publishable=True)

    async with database.unit_of_work(tenant_id) as tx:
        second = await rotate(tx, tenant_id, first.id, grace=timedelta(hours=1), **ACT)

    for key in (first, second):
        principal = await authenticate(database, key.secret)
        assert key.secret.startswith("cf_pub_test_")
        assert principal is not None
        assert principal.publishable
        assert principal.scopes == set()
    with psycopg.connect(admin_url) as admin, pytest.raises(psycopg.errors.CheckViolation):
        admin.execute("UPDATE api_key SET scopes = '{ADMIN}' WHERE id = %s", [first.id])
