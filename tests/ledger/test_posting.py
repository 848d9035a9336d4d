import asyncpg
import pytest

from core.database import Database
from core.errors import Rejected
from core.identifiers import new_id
from core.money import BadAmount
from ledger import (
    AccountFrozen,
    AccountRef,
    AmountOutOfRange,
    Direction,
    InsufficientFunds,
    KeyReused,
    Leg,
    NotReversible,
    OpenHold,
    PendingLegsMismatch,
    Posted,
    Posting,
    SettleHold,
    Unbalanced,
    UnknownAccount,
    open_accounts,
    post,
    reversal_of,
)
from tests.ledger.builders import (
    AT,
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

MOST = 2**63 - 1


async def test_a_posting_moves_money_once(database: Database, tenant_id: int) -> None:
    posting = a_transfer(CLEARING, PAYABLE, 100)

    (first,) = await write(database, tenant_id, posting)
    (second,) = await write(database, tenant_id, posting)

    assert (first.replayed, second.replayed) == (False, True)
    assert first.transaction_id == second.transaction_id
    assert await totals(database, tenant_id, PAYABLE) == (0, 100, 0, 0)


async def test_the_same_key_twice_in_one_call_is_posted_once(
    database: Database, tenant_id: int
) -> None:
    posting = a_transfer(CLEARING, PAYABLE, 100)

    first, second = await write(database, tenant_id, posting, posting)

    assert (first.replayed, second.replayed) == (False, True)
    assert await totals(database, tenant_id, PAYABLE) == (0, 100, 0, 0)


@pytest.mark.parametrize(
    "other",
    [
        a_transfer(CLEARING, PAYABLE, 101, key="one"),
        a_transfer(CLEARING, "merchant:m2:payable", 100, key="one"),
        a_transfer(BANK, CLEARING, 100, key="one"),
        a_transfer(CLEARING, PAYABLE, 100, key="one", recipe="other@1"),
        a_posting(debit(CLEARING, 100), debit(BANK, 1), credit(PAYABLE, 101), key="one"),
        a_posting(debit(CLEARING, 100, "USD"), credit(PAYABLE, 100, "USD"), key="one"),
    ],
)
async def test_a_key_cannot_be_used_for_other_money(
    database: Database, tenant_id: int, other: Posting
) -> None:
    one = a_transfer(CLEARING, PAYABLE, 100, key="one")
    await write(database, tenant_id, one)

    with pytest.raises(KeyReused):
        await write(database, tenant_id, other)
    with pytest.raises(KeyReused):
        await write(database, tenant_id, other, one)

    assert await totals(database, tenant_id, PAYABLE) == (0, 100, 0, 0)


async def test_what_is_not_money_may_differ_in_a_replay(database: Database, tenant_id: int) -> None:
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 5, key="fee:1"))

    (posted,) = await write(
        database,
        tenant_id,
        a_transfer(CLEARING, PAYABLE, 5, key="fee:1", correlation_id="b", description="later"),
    )

    assert posted.replayed


async def test_one_call_writes_all_or_nothing(database: Database, tenant_id: int) -> None:
    good = a_transfer(CLEARING, PAYABLE, 10)
    bad = a_transfer(PAYABLE, BANK, 11)

    async with database.unit_of_work(tenant_id) as tx:
        with pytest.raises(InsufficientFunds) as refused:
            await post(tx, tenant_id, [good, bad])

    assert refused.value.facts == {
        "key": bad.key,
        "account": PAYABLE,
        "currency": "EUR",
        "available": 10,
    }
    assert await totals(database, tenant_id, CLEARING) == (0, 0, 0, 0)


async def test_postings_of_one_call_are_judged_in_order(database: Database, tenant_id: int) -> None:
    earned, spent = a_transfer(CLEARING, PAYABLE, 10), a_transfer(PAYABLE, BANK, 10)

    with pytest.raises(InsufficientFunds):
        await write(database, tenant_id, spent, earned)
    await write(database, tenant_id, earned, spent)

    assert await totals(database, tenant_id, PAYABLE) == (10, 10, 0, 0)


async def test_what_an_account_lacks_spills(database: Database, tenant_id: int) -> None:
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 30))
    receivable = AccountRef("merchant:m1:receivable", "EUR")
    posting = a_posting(debit(PAYABLE, 100, spill=receivable), credit(CLEARING, 100))

    (first,) = await write(database, tenant_id, posting)
    (second,) = await write(database, tenant_id, posting)

    assert await totals(database, tenant_id, PAYABLE) == (30, 30, 0, 0)
    assert await totals(database, tenant_id, "merchant:m1:receivable") == (70, 0, 0, 0)
    assert (first.transaction_id, second.replayed) == (second.transaction_id, True)


@pytest.mark.parametrize(("available", "taken"), [(0, 0), (100, 100), (1000, 100)])
async def test_a_spill_takes_no_more_than_there_is(
    database: Database, tenant_id: int, available: int, taken: int
) -> None:
    if available:
        await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, available))
    spill = AccountRef("suspense:one", "EUR")

    await write(
        database, tenant_id, a_posting(debit(PAYABLE, 100, spill=spill), credit(CLEARING, 100))
    )

    assert (await totals(database, tenant_id, PAYABLE))[0] == taken
    assert (await totals(database, tenant_id, "suspense:one"))[0] == 100 - taken


@pytest.mark.parametrize(
    "path",
    [
        "psp:one:clearings",
        "xpsp:one:clearing",
        "psp::clearing",
        "psp:a:b:clearing",
        "psp:one:clearing\n",
        "income:else",
        "merchant:*:payable",
        "",
        "customer:a@b.example:wallet",
    ],
)
async def test_a_path_outside_the_chart_is_refused(
    database: Database, tenant_id: int, path: str
) -> None:
    with pytest.raises(UnknownAccount) as refused:
        await write(database, tenant_id, a_transfer(path, PAYABLE, 1))

    assert refused.value.facts["account"] == path
    async with database.unit_of_work(tenant_id) as tx:
        with pytest.raises(UnknownAccount):
            await open_accounts(tx, tenant_id, [AccountRef(path, "EUR")])


async def test_opening_an_account_twice_changes_nothing(database: Database, tenant_id: int) -> None:
    ref = AccountRef(PAYABLE, "EUR")
    async with database.unit_of_work(tenant_id) as tx:
        await open_accounts(tx, tenant_id, [ref, ref, AccountRef(PAYABLE, "USD")])
        await open_accounts(tx, tenant_id, [ref])
        assert await tx.fetchval("SELECT count(*) FROM account") == 2
        assert await tx.fetchval("SELECT count(*) FROM account_balance") == 2


async def test_a_frozen_account_takes_only_external_facts(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 10))
    admin = await asyncpg.connect(admin_url)
    await admin.execute(
        "UPDATE account SET state = 'FROZEN' WHERE tenant_id = $1 AND path = $2",
        tenant_id,
        PAYABLE,
    )
    await admin.close()

    with pytest.raises(AccountFrozen):
        await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 1))
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 1, external_fact=True))

    assert await totals(database, tenant_id, PAYABLE) == (0, 11, 0, 0)


@pytest.mark.parametrize("first", [MOST, MOST - 1])
async def test_a_total_that_leaves_64_bits_is_refused(
    database: Database, tenant_id: int, first: int
) -> None:
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, first))

    with pytest.raises(AmountOutOfRange):
        await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 2))
    with pytest.raises(AmountOutOfRange):
        await write(
            database,
            tenant_id,
            a_transfer(CLEARING, "income:sales", MOST),
            a_transfer(CLEARING, "income:sales", MOST),
        )


@pytest.mark.parametrize("amount", [0, -1, MOST + 1, True, 1.0, "1", None])
def test_an_amount_is_a_positive_whole_number(amount: object) -> None:
    with pytest.raises(BadAmount):
        Leg(AccountRef(BANK, "EUR"), Direction.DEBIT, amount)  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize(
    "legs",
    [
        [],
        [debit(BANK, 1)],
        [debit(BANK, 2), credit(CLEARING, 1)],
        [debit(BANK, 1), credit(CLEARING, 1, "USD")],
        [debit(BANK, 1), pending(credit(CLEARING, 1))],
        [debit(BANK, 1), debit(CLEARING, 1)],
    ],
)
def test_legs_must_balance_in_each_currency_and_layer(legs: list[Leg]) -> None:
    with pytest.raises(Unbalanced):
        a_posting(*legs)


def test_pending_legs_must_be_the_hold() -> None:
    legs = pending(debit(CLEARING, 10)), pending(credit(PAYABLE, 10))

    for wrong in (
        {},
        {"opens": OpenHold(new_id(), 9, "")},
        {"settles": SettleHold(new_id(), 5, 6)},
        {"opens": OpenHold(new_id(), 10, ""), "settles": SettleHold(new_id(), 0, 0)},
    ):
        with pytest.raises(PendingLegsMismatch):
            a_posting(*legs, **wrong)


async def reversing(database: Database, tenant_id: int, posted: Posted, **more: str) -> Posted:
    async with database.unit_of_work(tenant_id) as tx:
        posting = await reversal_of(
            tx,
            tenant_id,
            posted.transaction_id,
            effective_at=AT,
            correlation_id="test",
            created_by="tests",
            reason="wrong merchant",
        )
        if more:
            posting = a_posting(*posting.legs, reverses=posting.reverses, **more)
        return (await post(tx, tenant_id, [posting]))[0]


async def test_a_reversal_mirrors_the_posted_legs_once(database: Database, tenant_id: int) -> None:
    hold, opening = a_hold(100)
    _, captured = await write(database, tenant_id, opening, a_settlement(hold, 60, 40))

    first = await reversing(database, tenant_id, captured)
    second = await reversing(database, tenant_id, captured)

    assert (first.replayed, second.replayed) == (False, True)
    assert await totals(database, tenant_id, PAYABLE) == (60, 60, 0, 0)
    with pytest.raises(NotReversible):
        await reversing(database, tenant_id, captured, key="another key")
    with pytest.raises(NotReversible):
        await reversing(database, tenant_id, first)


async def test_a_reversal_obeys_the_floor(database: Database, tenant_id: int) -> None:
    earned, _ = await write(
        database, tenant_id, a_transfer(CLEARING, PAYABLE, 10), a_transfer(PAYABLE, BANK, 1)
    )

    with pytest.raises(InsufficientFunds):
        await reversing(database, tenant_id, earned)


async def test_what_cannot_be_found_cannot_be_reversed(database: Database, tenant_id: int) -> None:
    (held,) = await write(database, tenant_id, a_hold(10)[1])

    for unknown in (held, Posted("", new_id(), replayed=False)):
        with pytest.raises(NotReversible):
            await reversing(database, tenant_id, unknown)
    with pytest.raises(NotReversible):
        await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 1, reverses=new_id()))


async def test_another_tenant_cannot_be_posted_to(database: Database, tenant_id: int) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await post(tx, tenant_id + 1, [a_transfer(CLEARING, PAYABLE, 1)])


async def test_entries_know_the_totals_right_after_them(database: Database, tenant_id: int) -> None:
    await write(
        database,
        tenant_id,
        a_transfer(CLEARING, PAYABLE, 10),
        a_transfer(PAYABLE, BANK, 4),
        a_hold(7)[1],
    )

    async with database.unit_of_work(tenant_id) as tx:
        rows = await tx.fetch(
            "SELECT e.seq, e.debits_posted_after, e.credits_posted_after, e.credits_pending_after"
            "  FROM entry AS e JOIN account AS a ON a.id = e.account_id"
            " WHERE a.path = $1 ORDER BY e.seq",
            PAYABLE,
        )

    assert [tuple(row) for row in rows] == [(1, 0, 10, 0), (2, 4, 10, 0), (3, 4, 10, 7)]


async def test_time_rises_with_seq_even_if_the_clock_goes_back(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    await write(database, tenant_id, a_transfer(CLEARING, PAYABLE, 10))
    admin = await asyncpg.connect(admin_url)
    await admin.execute(
        "UPDATE account_balance SET last_recorded_at = last_recorded_at + INTERVAL '1 year'"
        " WHERE tenant_id = $1",
        tenant_id,
    )
    later = await admin.fetchval(
        "SELECT max(last_recorded_at) FROM account_balance WHERE tenant_id = $1", tenant_id
    )
    await admin.close()

    await write(database, tenant_id, a_transfer(CLEARING, BANK, 10))

    async with database.unit_of_work(tenant_id) as tx:
        assert await tx.fetchval("SELECT max(recorded_at) FROM entry") > later


async def test_an_instant_is_found_by_the_key_alone(database: Database, tenant_id: int) -> None:
    for _ in range(9):
        await write(database, tenant_id, a_transfer(CLEARING, "income:sales", 1))

    async with database.unit_of_work(tenant_id) as tx:
        rows = await tx.fetch(
            "SELECT e.seq, e.recorded_at, ledger_seq_at($1, e.account_id, e.recorded_at, FALSE),"
            " ledger_seq_at($1, e.account_id, e.recorded_at, TRUE),"
            " ledger_seq_at($1, e.account_id, e.recorded_at + INTERVAL '1 microsecond', TRUE),"
            " ledger_seq_at($1, e.account_id, '-infinity', FALSE),"
            " ledger_seq_at($1, e.account_id, 'infinity', FALSE)"
            "  FROM entry AS e JOIN account AS a ON a.id = e.account_id WHERE a.path = $2",
            tenant_id,
            CLEARING,
        )

    assert len(rows) == 9
    for seq, _at, up_to, before, just_after, never, always in rows:
        assert (up_to, before, just_after, never, always) == (seq, seq - 1, seq, 0, 9)


def test_every_refusal_is_the_callers_fault() -> None:
    assert issubclass(InsufficientFunds, Rejected)
    assert InsufficientFunds.code == "INSUFFICIENT_FUNDS"
