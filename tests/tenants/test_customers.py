import psycopg
import pytest

from core.database import Database
from tenants import CustomerToken, find_customer, issue_customer_token
from tests.conftest import add_tenant


async def a_token(
    database: Database, tenant_id: int, customer: str = "c-1", seconds: int = 900
) -> CustomerToken:
    async with database.unit_of_work(tenant_id) as tx:
        return await issue_customer_token(
            tx, tenant_id, customer, seconds=seconds, actor="key:test"
        )


def pass_time(admin_url: str, tenant_id: int) -> None:
    """Every token the tenant has so far is expired."""
    with psycopg.connect(admin_url) as admin:
        admin.execute(
            "UPDATE customer_token SET expires_at = clock_timestamp() WHERE tenant_id = %s",
            [tenant_id],
        )


async def rows(database: Database, tenant_id: int) -> int:
    async with database.unit_of_work(tenant_id) as tx:
        found: int = await tx.fetchval("SELECT count(*) FROM customer_token")
        return found


async def test_a_token_names_its_customer_until_it_expires(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    made = await a_token(database, tenant_id, "customer 7")

    found = await find_customer(database, made.token)
    pass_time(admin_url, tenant_id)

    assert found is not None
    assert (found.tenant_id, found.customer_id, found.live) == (tenant_id, "customer 7", False)
    assert await find_customer(database, made.token) is None


@pytest.mark.parametrize("guess", ["", "cf_cus_", "cf_cus_guess", "cf_test_x", "cf_cus_" * 60])
async def test_a_guess_names_nobody(database: Database, guess: str) -> None:
    assert await find_customer(database, guess) is None


async def test_the_database_keeps_no_token(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    made = await a_token(database, tenant_id)

    with psycopg.connect(admin_url) as admin:
        stored = admin.execute("SELECT row_to_json(c)::TEXT FROM customer_token AS c").fetchall()

    assert not [row for row in stored if made.token in row[0]]


async def test_new_tokens_take_the_expired_ones_away(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    neighbour = add_tenant(admin_url)
    for _ in range(5):
        await a_token(database, tenant_id)
    await a_token(database, neighbour)
    pass_time(admin_url, tenant_id)
    pass_time(admin_url, neighbour)

    valid = [await a_token(database, tenant_id) for _ in range(2)]

    assert await rows(database, tenant_id) == 2
    assert await rows(database, neighbour) == 1
    assert all([await find_customer(database, each.token) for each in valid])
