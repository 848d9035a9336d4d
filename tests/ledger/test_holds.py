import pytest

from core.database import Database
from core.identifiers import new_id
from ledger import (
    HoldExceeded,
    HoldMissing,
    InsufficientFunds,
    KeyReused,
    OpenHold,
    SettleHold,
    hold_state,
)
from tests.ledger.builders import (
    BANK,
    CLEARING,
    PAYABLE,
    a_hold,
    a_posting,
    a_settlement,
    a_transfer,
    credit,
    debit,
    pending,
    totals,
    write,
)


async def test_money_that_is_held_is_not_available(database: Database, tenant_id: int) -> None:
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 100))
    hold = OpenHold(new_id(), 80, "refund")
    legs = pending(debit(PAYABLE, 80)), pending(credit(CLEARING, 80))
    await write(database, tenant_id, a_posting(*legs, opens=hold))

    with pytest.raises(InsufficientFunds) as refused:
        await write(database, tenant_id, a_transfer(PAYABLE, BANK, 21))

    assert refused.value.facts["available"] == 20
    await write(database, tenant_id, a_transfer(PAYABLE, BANK, 20))


async def test_money_that_is_only_announced_is_not_available(
    database: Database, tenant_id: int
) -> None:
    await write(database, tenant_id, a_hold(100)[1])

    with pytest.raises(InsufficientFunds):
        await write(database, tenant_id, a_transfer(PAYABLE, BANK, 1))


async def test_a_hold_is_captured_in_parts_and_the_rest_released(
    database: Database, tenant_id: int
) -> None:
    hold, opening = a_hold(100)
    await write(database, tenant_id, opening)

    await write(database, tenant_id, a_settlement(hold, 30))
    await write(database, tenant_id, a_settlement(hold, 30))
    await write(database, tenant_id, a_settlement(hold, 10, released=30))

    assert await totals(database, tenant_id, PAYABLE) == (0, 70, 0, 0)
    assert await totals(database, tenant_id, CLEARING) == (70, 0, 0, 0)
    async with database.unit_of_work(tenant_id) as tx:
        (state,) = (await hold_state(tx, tenant_id, [hold.hold_id, new_id()])).values()
        status = await tx.fetchval("SELECT status FROM hold")
    assert (state.captured, state.released, state.remaining, status) == (70, 30, 0, "SETTLED")


async def test_a_hold_opened_and_settled_in_one_call(database: Database, tenant_id: int) -> None:
    hold, opening = a_hold(100)

    with pytest.raises(HoldMissing):
        await write(database, tenant_id, a_settlement(hold, 100), opening)
    await write(database, tenant_id, opening, a_settlement(hold, 60), a_settlement(hold, 0, 40))

    assert await totals(database, tenant_id, PAYABLE) == (0, 60, 0, 0)


@pytest.mark.parametrize(("captured", "released"), [(101, 0), (0, 101), (51, 50)])
async def test_no_more_than_the_hold_can_be_settled(
    database: Database, tenant_id: int, captured: int, released: int
) -> None:
    hold, opening = a_hold(100)
    other = a_hold(100)[1]
    await write(database, tenant_id, opening, other)

    with pytest.raises(HoldExceeded):
        await write(database, tenant_id, a_settlement(hold, captured, released))


async def test_the_parts_of_one_call_cannot_exceed_the_hold(
    database: Database, tenant_id: int
) -> None:
    hold, opening = a_hold(100)
    await write(database, tenant_id, opening, a_hold(100)[1])

    with pytest.raises(HoldExceeded):
        await write(database, tenant_id, a_settlement(hold, 60), a_settlement(hold, 41))


async def test_a_hold_must_exist(database: Database, tenant_id: int) -> None:
    await write(database, tenant_id, a_hold(100)[1])

    with pytest.raises(HoldMissing):
        await write(database, tenant_id, a_settlement(a_hold(100)[0], 10))


async def test_a_hold_is_opened_once(database: Database, tenant_id: int) -> None:
    hold, opening = a_hold(100)
    await write(database, tenant_id, opening)
    again = a_posting(*opening.legs, opens=hold)

    with pytest.raises(KeyReused):
        await write(database, tenant_id, again)


async def test_a_hold_is_undone_on_the_accounts_it_was_made_on(
    database: Database, tenant_id: int
) -> None:
    hold, opening = a_hold(100)
    await write(database, tenant_id, opening)
    legs = pending(debit("merchant:m2:payable", 10)), pending(credit(CLEARING, 10))

    with pytest.raises(HoldExceeded):
        await write(database, tenant_id, a_posting(*legs, settles=SettleHold(hold.hold_id, 0, 10)))
