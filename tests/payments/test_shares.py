"""Shares of parts: decided once; whatever becomes of them, no account gives what it did not get."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.identifiers import new_id
from core.money import Money
from gateways.port import Outcome, OutcomeStatus, ProviderEvent
from payments import Difference, verify
from payments.amounts import (
    left_of,
    refunded_parts,
    shares_of_capture,
    shares_of_card,
    shares_of_part,
    shares_of_refund,
    shares_of_sale,
    sum_of,
    taken_parts,
)
from payments.commands import Split
from payments.model import (
    Aggregate,
    Attempt,
    Operation,
    OperationStatus,
    Origin,
    Payment,
    Refund,
    RefundStatus,
)
from payments.verify import compare
from tests.payments.test_projection import ACCOUNT, an_operation
from tests.payments.world import World, at

# ---- the rule by itself


def test_a_part_takes_in_proportion_to_what_is_left() -> None:
    whole = (9, 2, 5, 8)

    assert shares_of_part(2, whole, whole) == (1, 0, 0, 1)
    assert shares_of_part(15, (8, 2, 5, 7), whole) == (6, 1, 3, 5)
    assert shares_of_part(5, (2, 1, 2, 2), whole) == (2, 1, 1, 1)
    assert shares_of_part(16, (7, 1, 4, 7), whole) == (6, 1, 3, 6)


def test_beyond_all_that_is_left_a_part_goes_by_the_whole() -> None:
    assert shares_of_part(10, (2, 0, 1, 1), (9, 2, 5, 8)) == (4, 1, 2, 3)
    assert shares_of_part(3, (0, 0), (1, 2)) == (1, 2)


def test_parts_that_took_more_than_a_share_leave_nothing_of_it() -> None:
    assert left_of((5, 5), [(7, 1), (0, 2)]) == (0, 2)
    assert left_of((5, 5), []) == (5, 5)


OURS = ("capture", "refund")
ELSEWHERE = ("external capture", "external refund")
ENDS_OF_CAPTURES = {
    "succeed": OperationStatus.SUCCEEDED,
    "decline": OperationStatus.DECLINED,
    "reverse": OperationStatus.REVERSED,
}
ENDS_OF_REFUNDS = {"fail": RefundStatus.FAILED, "return": RefundStatus.RETURNED}
NAMES = (*OURS, *OURS, *ELSEWHERE, *ENDS_OF_CAPTURES, *ENDS_OF_REFUNDS)
ACTS = st.tuples(st.sampled_from(NAMES), st.integers(0, 10_000))


@dataclass
class Books:
    """A payment, and what it left on each account; the ledger in short."""

    aggregate: Aggregate
    has: list[int]
    beyond: bool = False
    """Somebody moved more than there was."""

    @property
    def whole(self) -> tuple[int, ...]:
        return self.aggregate.payment.shares

    def move(self, shares: Sequence[int], sign: int) -> None:
        self.has = [now + sign * share for now, share in zip(self.has, shares, strict=True)]

    def act(self, name: str, number: int) -> None:
        """One thing that may happen; `number` says how much, or to which part."""
        if name.endswith("capture"):
            self.capture(name, number)
        elif name.endswith("refund"):
            self.refund(name, number)
        elif name in ENDS_OF_CAPTURES:
            self.end_capture(name, number)
        else:
            self.end_refund(name, number)

    def size(self, name: str, number: int, limit: int) -> int:
        """Ours stay within what there is, and most of the others."""
        if name in OURS or number % 8:
            return 1 + number % limit if limit > 0 else 0
        size = 1 + number % (2 * sum(self.whole))
        self.beyond = self.beyond or size > limit
        return size

    def capture(self, name: str, number: int) -> None:
        gone = (OperationStatus.DECLINED, OperationStatus.REVERSED)
        taken = sum(o.amount for o in self.aggregate.operations if o.status not in gone)
        size = self.size(name, number, sum(self.whole) - taken)
        if not size:
            return
        shares = shares_of_capture(self.aggregate, size)
        assert sum(shares) == size
        assert min(shares) >= 0
        operation = self.operation("CAPTURE", size, shares)
        operations = (*self.aggregate.operations, operation)
        self.aggregate = replace(self.aggregate, operations=operations)

    def operation(self, kind: str, amount: int, shares: tuple[int, ...]) -> Operation:
        (attempt,) = self.aggregate.attempts
        return an_operation(
            kind,
            attempt_id=attempt.id,
            amount=amount,
            shares=shares,
            status=OperationStatus.UNKNOWN,
        )

    def end_capture(self, name: str, number: int) -> None:
        was = OperationStatus.SUCCEEDED if name == "reverse" else OperationStatus.UNKNOWN
        parts = [o for o in self.aggregate.operations if o.status is was]
        if not parts:
            return
        part = parts[number % len(parts)]
        posts = {"succeed": ("capture",), "reverse": ("capture_reversed",)}.get(name, ())
        ended = replace(part, status=ENDS_OF_CAPTURES[name], posted=(*part.posted, *posts))
        self.aggregate = self.aggregate.with_operation(ended)
        if posts:
            self.move(part.shares, 1 if name == "succeed" else -1)

    def refund(self, name: str, number: int) -> None:
        size = self.size(name, number, sum(self.has))
        if not size:
            return
        shares = shares_of_refund(self.aggregate, size)
        assert sum(shares) == size
        assert min(shares) >= 0
        if name == "refund":
            pairs = zip(shares, self.has, strict=True)
            assert all(share <= max(0, has) for share, has in pairs), "nobody is asked for more"
        made = a_refund(self.aggregate.payment, size, shares, credit=number % (size + 1))
        self.aggregate = replace(self.aggregate, refunds=(*self.aggregate.refunds, made))
        self.move(shares, -1)

    def end_refund(self, name: str, number: int) -> None:
        parts = [r for r in self.aggregate.refunds if r.status is RefundStatus.CREATED]
        if not parts:
            return
        part = parts[number % len(parts)]
        ended = replace(part, status=ENDS_OF_REFUNDS[name])
        refunds = tuple(ended if r is part else r for r in self.aggregate.refunds)
        self.aggregate = replace(self.aggregate, refunds=refunds)
        self.move(part.shares if name == "fail" else shares_of_card(part), 1)

    def check(self) -> None:
        """What holds after each act as long as nobody moved more than there was."""
        if self.beyond:
            return
        taken = sum_of(self.whole, taken_parts(self.aggregate))
        refunded = sum_of(self.whole, refunded_parts(self.aggregate))
        for parts in (taken, refunded):
            assert all(part <= share for part, share in zip(parts, self.whole, strict=True))
            assert parts == self.whole or sum(parts) < sum(self.whole)
        booked = sum_of(self.whole, taken_parts(self.aggregate, booked=True))
        assert self.has == [a - b for a, b in zip(booked, refunded, strict=True)]


def a_split_payment(weights: Sequence[int], **changes: Any) -> Payment:
    return Payment(
        id=new_id(),
        amount=sum(weights),
        currency="EUR",
        capture_mode="MANUAL",
        merchant_account="income:sales",
        attempt_limit=5,
        correlation_id="request",
        splits=tuple(
            {"path": f"merchant:m{n}:payable", "amount": w} for n, w in enumerate(weights)
        ),
        **changes,
    )


def a_refund(payment: Payment, amount: int, shares: tuple[int, ...], credit: int = 0) -> Refund:
    return Refund(
        id=new_id(),
        payment_id=payment.id,
        origin=Origin.OURS,
        amount=amount,
        currency="EUR",
        card_amount=amount - credit,
        store_credit_amount=credit,
        shares=shares,
        reason="OTHER",
        correlation_id="request",
    )


WEIGHTS = st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any)


def some_books(weights: Sequence[int], **changes: Any) -> Books:
    payment = a_split_payment(weights, **changes)
    attempt = Attempt(new_id(), payment.id, 1, ACCOUNT, routing={})
    return Books(Aggregate(payment, (attempt,)), [0] * len(weights))


@settings(max_examples=200)
@given(WEIGHTS, st.lists(ACTS, min_size=10, max_size=40))
def test_whatever_becomes_of_parts_no_account_is_asked_for_what_it_did_not_get(
    weights: list[int], acts: list[tuple[str, int]]
) -> None:
    books = some_books(weights)

    for name, number in acts:
        books.act(name, number)
        books.check()


@given(WEIGHTS, st.lists(ACTS, min_size=5, max_size=20), st.data())
def test_card_and_store_credit_are_parts_of_one_whole(
    weights: list[int], acts: list[tuple[str, int]], data: st.DataObject
) -> None:
    credit = data.draw(st.integers(0, sum(weights) - 1))
    books = some_books(weights, store_credit=credit)
    payment = books.aggregate.payment
    sale = books.operation("SALE", payment.provider_amount, shares_of_sale(payment))
    posted = ("sale", "store_credit_spend")
    sale = replace(sale, status=OperationStatus.SUCCEEDED, posted=posted)
    books.aggregate = replace(books.aggregate, operations=(sale,))
    books.has = list(weights)

    for name, number in acts:
        if name in {"refund", "external refund", "fail", "return"}:
            books.act(name, number)
            books.check()

    assert sum(sale.shares) == payment.provider_amount
    assert sum_of(weights, taken_parts(books.aggregate)) == tuple(weights)


def test_refunds_told_before_their_capture_take_of_what_it_will_bring() -> None:
    books = some_books([9, 2, 5, 8])
    books.capture("capture", 23)

    for _ in range(24):
        books.refund("external refund", 0)

    assert books.has == [-9, -2, -5, -8]


# ---- stories


SELLERS = ("anna", "ben", "cleo", "dan")
NINE_TWO_FIVE_EIGHT = tuple(
    Split(f"merchant:{seller}:payable", Money(units, "EUR"))
    for seller, units in zip(SELLERS, (9, 2, 5, 8), strict=True)
)


async def owed(world: World) -> tuple[int, ...]:
    """What each seller is owed, nothing of it reserved."""
    balances = [await world.balance(f"merchant:{seller}:payable") for seller in SELLERS]
    assert [pending for _, pending in balances] == [0, 0, 0, 0]
    return tuple(-posted for posted, _ in balances)


async def give_back(world: World, payment_id: UUID, refund_id: UUID) -> None:
    """The bank returns a refund."""
    operations = (await world.see(payment_id)).operations
    ref = next(o.provider_ref for o in operations if o.refund_id == refund_id)
    assert ref is not None
    made = world.simulator.control("/_dashboard/refund_failures", refund=ref)
    amount = Money(made["amount"], "EUR")
    returned = Outcome(OutcomeStatus.REVERSED, ref, amount)
    event = ProviderEvent(f"evt_{ref}", "refund.failed", at(), returned, "REFUND", None, ref)
    await world.callback(event)


async def test_what_is_left_can_be_refunded_whichever_refunds_were_returned(world: World) -> None:
    payment_id = await world.pay(amount=24, splits=NINE_TWO_FIVE_EIGHT)
    two, fifteen, five = [await world.refund(payment_id, part) for part in (2, 15, 5)]
    assert await owed(world) == (0, 0, 1, 1)

    await give_back(world, payment_id, two)
    await give_back(world, payment_id, fifteen)
    assert await owed(world) == (7, 1, 4, 7)
    await world.refund(payment_id, 16)
    await world.refund(payment_id, 3)

    assert await owed(world) == (0, 0, 0, 0)
    await world.check()
    await give_back(world, payment_id, five)
    assert await owed(world) == (2, 1, 1, 1)
    await world.refund(payment_id, 5)
    assert await owed(world) == (0, 0, 0, 0)
    await world.check()


async def test_a_refund_takes_from_each_what_the_captures_gave_it(world: World) -> None:
    """Of 2 at once, dan would get 1; but anna got both of 1 and 1."""
    payment_id = await world.authorize(24, splits=NINE_TWO_FIVE_EIGHT)
    await world.capture(payment_id, 1, final=False)
    await world.capture(payment_id, 1, final=True)
    assert await owed(world) == (2, 0, 0, 0)

    await world.refund(payment_id, 2)

    assert await owed(world) == (0, 0, 0, 0)
    await world.check()


async def test_each_capture_brings_what_was_decided_for_it(world: World) -> None:
    """5 alone would be 2/0/1/2; ben's share is not to be forgotten."""
    payment_id = await world.authorize(24, splits=NINE_TWO_FIVE_EIGHT)

    for part in (2, 15, 5):
        await world.capture(payment_id, part, final=part == 5)

    assert await owed(world) == (9, 2, 4, 7)
    await world.check()


async def test_more_refunded_elsewhere_than_is_left_is_shared_by_the_whole(world: World) -> None:
    payment_id = await world.pay(amount=24, splits=NINE_TWO_FIVE_EIGHT)
    await world.refund(payment_id, 20)
    assert await owed(world) == (2, 0, 1, 1)
    ref = (await world.operation(payment_id)).provider_ref
    amount = Outcome(OutcomeStatus.SUCCEEDED, "sr_x", Money(10, "EUR"))

    await world.callback(
        ProviderEvent("evt_x", "refund", at(), amount, "REFUND", None, "sr_x", payment_ref=ref)
    )

    assert await owed(world) == (0, 0, 0, 0)
    lacking = [await world.balance(f"merchant:{seller}:receivable") for seller in SELLERS]
    assert lacking == [(2, 0), (1, 0), (1, 0), (2, 0)]
    assert await differences(world) == []


async def differences(world: World) -> list[Difference]:
    found = [found async for found in verify(world.database, world.tenant_id)]
    return [each for each in found if isinstance(each, Difference)]


async def test_an_account_with_more_in_parts_than_its_share_is_found(
    world: World, admin_url: str
) -> None:
    payment_id = await world.pay(amount=24, splits=NINE_TWO_FIVE_EIGHT)
    refund_id = await world.refund(payment_id, 3)
    assert await differences(world) == []

    with psycopg.connect(admin_url) as admin:
        admin.execute("UPDATE refund SET shares = '{0,3,0,0}' WHERE id = %s", [refund_id])

    (found,) = await differences(world)
    assert (found.column, found.stored) == ("shares", (0, 3, 0, 0))


@pytest.mark.parametrize("shares", ["{3,0,0,1}", "{4,-1,0,0}", "{}"])
async def test_the_database_refuses_shares_that_are_not_the_amount(
    world: World, admin_url: str, shares: str
) -> None:
    payment_id = await world.pay(amount=24, splits=NINE_TWO_FIVE_EIGHT)
    refund_id = await world.refund(payment_id, 3)
    changes = [
        ("UPDATE refund SET shares = %s WHERE id = %s", refund_id),
        ("UPDATE provider_operation SET shares = %s WHERE payment_id = %s", payment_id),
    ]

    for sql, id in changes:
        with psycopg.connect(admin_url) as admin, pytest.raises(psycopg.errors.CheckViolation):
            admin.execute(sql.encode(), [shares, id])


@pytest.mark.parametrize("shares", [(1, 1), (2, 1, 1)])
def test_a_part_that_was_not_shared_out_whole_is_found(shares: tuple[int, ...]) -> None:
    payment = a_split_payment([5, 5], paid_by_store_credit=True)
    refund = a_refund(payment, 4, shares, credit=4)

    found = list(compare(Aggregate(payment, refunds=(refund,)), {}))

    assert "shares" in [each.column for each in found]
