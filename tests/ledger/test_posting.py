from core.database import Database
from ledger import post
from tests.ledger.builders import a_transfer


async def test_a_posting_moves_money_once(database: Database, tenant_id: int) -> None:
    posting = a_transfer("psp:one:clearing", "merchant:m1:payable", 100)

    async with database.unit_of_work(tenant_id) as tx:
        first = await post(tx, tenant_id, [posting])
    async with database.unit_of_work(tenant_id) as tx:
        second = await post(tx, tenant_id, [posting])

    assert [p.replayed for p in first + second] == [False, True]
    assert first[0].transaction_id == second[0].transaction_id
    async with database.unit_of_work(tenant_id) as tx:
        assert await tx.fetchval("SELECT count(*) FROM entry") == 2
