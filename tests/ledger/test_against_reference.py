"""The database and a pure reference are driven side by side and must agree on everything."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from core.database import Database, DatabaseSettings
from core.errors import Rejected
from core.identifiers import new_id
from ledger import AccountRef, Direction, Leg, OpenHold, Posting, SettleHold, post
from ledger.verify import verify_ledger
from tests.conftest import add_tenant
from tests.ledger.builders import a_posting, pending
from tests.ledger.reference import Books, apply

ACCOUNTS = st.sampled_from(
    [
        AccountRef("psp:one:clearing", "EUR"),
        AccountRef("bank:main", "EUR"),
        AccountRef("income:sales", "EUR"),
        AccountRef("merchant:m1:payable", "EUR"),
        AccountRef("merchant:m2:payable", "EUR"),
        AccountRef("merchant:m1:receivable", "EUR"),
        AccountRef("customer:c1:wallet", "EUR"),
    ]
)
AMOUNTS = st.one_of(
    st.integers(1, 50), st.integers(1, 1000), st.sampled_from([2**62, 2**63 - 1, 2**63 - 20])
)
SPILLS = st.sampled_from([None, None, AccountRef("suspense:one", "EUR")])


def legs_of(
    debit: AccountRef, credit: AccountRef, amount: int, spill: AccountRef | None
) -> list[Leg]:
    return [
        Leg(debit, Direction.DEBIT, amount, spill=spill),
        Leg(credit, Direction.CREDIT, amount),
    ]


class LedgerMachine(RuleBasedStateMachine):
    """Batches of transfers, holds and their settlements, repeated and reused keys."""

    holds = Bundle("holds")
    postings = Bundle("postings")
    database: Database
    runner: asyncio.Runner
    admin_url: str

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.tenant_id = add_tenant(self.admin_url)

    def send(self, *wanted: Posting) -> None:
        self.books, expected = apply(self.books, list(wanted))
        assert self.runner.run(self._send(wanted)) == expected

    async def _send(self, wanted: tuple[Posting, ...]) -> str:
        async with self.database.unit_of_work(self.tenant_id) as tx:
            try:
                answers = await post(tx, self.tenant_id, wanted)
            except Rejected as refused:
                return type(refused).__name__
        assert [answer.key for answer in answers] == [posting.key for posting in wanted]
        return "POSTED"

    @initialize()
    def some_money(self) -> None:
        for path in ("merchant:m1:payable", "customer:c1:wallet"):
            legs = legs_of(
                AccountRef("psp:one:clearing", "EUR"), AccountRef(path, "EUR"), 500, None
            )
            self.send(a_posting(*legs))

    @rule(target=postings, debit=ACCOUNTS, credit=ACCOUNTS, amount=AMOUNTS, spill=SPILLS)
    def transfer(
        self, debit: AccountRef, credit: AccountRef, amount: int, spill: AccountRef | None
    ) -> Posting:
        posting = a_posting(*legs_of(debit, credit, amount, spill))
        self.send(posting)
        return posting

    @rule(
        moves=st.lists(st.tuples(ACCOUNTS, ACCOUNTS, st.integers(1, 300), SPILLS), max_size=5),
        before=st.lists(postings, max_size=2),
    )
    def batch(self, moves: list[Any], before: list[Posting]) -> None:
        self.send(*before, *(a_posting(*legs_of(*move)) for move in moves))

    @rule(posting=postings)
    def repeat(self, posting: Posting) -> None:
        self.send(posting)

    @rule(posting=postings, amount=st.integers(1, 1000))
    def reuse_the_key(self, posting: Posting, amount: int) -> None:
        first, second = posting.legs
        legs = legs_of(first.account, second.account, amount, first.spill)
        self.send(a_posting(*legs, key=posting.key))

    @rule(target=holds, debit=ACCOUNTS, credit=ACCOUNTS, amount=st.integers(1, 300))
    def reserve(self, debit: AccountRef, credit: AccountRef, amount: int) -> Any:
        hold = OpenHold(new_id(), amount, "test")
        legs = [pending(leg) for leg in legs_of(debit, credit, amount, None)]
        self.send(a_posting(*legs, opens=hold))
        return multiple((hold, debit, credit))

    @rule(hold=holds, captured=st.integers(0, 200), released=st.integers(0, 100))
    def settle(
        self, hold: tuple[OpenHold, AccountRef, AccountRef], captured: int, released: int
    ) -> None:
        opened, debit, credit = hold
        if captured + released == 0:
            return
        legs = [pending(leg) for leg in legs_of(credit, debit, captured + released, None)]
        if captured:
            legs += legs_of(debit, credit, captured, None)
        self.send(a_posting(*legs, settles=SettleHold(opened.hold_id, captured, released)))

    @invariant()
    def the_database_agrees(self) -> None:
        self.runner.run(self._compare())

    async def _compare(self) -> None:
        async with self.database.unit_of_work(self.tenant_id) as tx:
            balances = await tx.fetch(
                "SELECT a.path, a.currency, b.debits_posted, b.credits_posted, b.debits_pending,"
                " b.credits_pending FROM account_balance AS b"
                " JOIN account AS a ON a.tenant_id = b.tenant_id AND a.id = b.account_id"
            )
            holds = await tx.fetch("SELECT id, amount - captured - released FROM hold")
        stored = {AccountRef(row[0], row[1]): list(row[2:]) for row in map(tuple, balances)}
        expected = self.books.accounts
        assert {ref: c for ref, c in stored.items() if any(c)} == {
            ref: c for ref, c in expected.items() if any(c)
        }
        assert {row[0]: row[1] for row in map(tuple, holds)} == self.books.holds

    def teardown(self) -> None:
        self.runner.run(self._verify())

    async def _verify(self) -> None:
        found = [f async for f in verify_ledger(self.database, self.tenant_id)]
        assert [f for f in found if not isinstance(f, int)] == []


@pytest.fixture
def machine(database_url: str, admin_url: str) -> Iterator[type[LedgerMachine]]:
    with asyncio.Runner() as runner:
        opened = runner.run(Database.open(DatabaseSettings(database_url, pool_size=2)))

        class Machine(LedgerMachine):
            pass

        Machine.database, Machine.runner, Machine.admin_url = opened, runner, admin_url
        yield Machine
        runner.run(opened.close())


def test_the_database_does_what_the_reference_does(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
