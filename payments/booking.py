"""From recipe names to the books: what a change posts, in one call of the ledger."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

import ledger
from core.database import Tx
from core.errors import Rejected
from core.money import Money
from ledger import AccountRef, Direction, HoldState, Layer, Leg, Posting
from payments import recipes
from payments.amounts import left_of, shares_of_card
from payments.discrepancies import Discrepancy, insert
from payments.due import release_is_due, succeeded_void
from payments.errors import InsufficientFunds
from payments.model import (
    Aggregate,
    Operation,
    Payment,
    Refund,
    opening_of,
)
from payments.recipes import Cause, HoldPart, Part, Share, Split

_log = structlog.get_logger()
_NEEDS_HOLD: Final = frozenset({"capture", "void"})
_AS_ASKED: Final = "another amount is no success, and is never shared out"


@dataclass(frozen=True, slots=True)
class Bookings:
    """What one change of a payment posts: recipes of its operations, and of its own.

    `own` are recipes without a provider; `refund` is the one they are about.
    """

    tenant_id: int
    actor: str
    correlation_id: str
    at: datetime
    before: Aggregate
    after: Aggregate
    postings: Sequence[tuple[UUID, str]]
    own: Sequence[str] = ()
    refund: Refund | None = None


async def post(tx: Tx, change: Bookings) -> None:
    """Post everything the change demands. Raises: InsufficientFunds (a reservation of ours)."""
    if not change.postings and not change.own:
        return
    holds = await _holds(tx, change)
    books = [
        _Books(change.after, change.at, change.actor, change.correlation_id, holds, operation_id)
        for operation_id in dict.fromkeys(id for id, _ in change.postings)
    ]
    wanted = [
        posting
        for book in books
        for operation_id, name in change.postings
        if operation_id == book.operation_id
        for posting in book.write(name, _fee_before(change, operation_id))
    ]
    wanted.extend(_own(change))
    try:
        await ledger.post(tx, change.tenant_id, wanted)
    except Rejected as refused:
        if not all(posting.external_fact for posting in wanted):
            raise _as_ours(refused, change.after.payment) from refused
        await _to_suspense(tx, change, wanted, refused)


def _as_ours(refused: Rejected, payment: Payment) -> Rejected:
    if not isinstance(refused, ledger.InsufficientFunds):
        return refused
    available = Money(int(str(refused.facts.get("available", 0))), payment.currency)
    return InsufficientFunds(str(refused.facts.get("account")), available)


async def _to_suspense(
    tx: Tx, change: Bookings, wanted: Sequence[Posting], refused: Rejected
) -> None:
    """The books refuse what a provider did: it happened all the same, so it goes to suspense.

    What it does to the provider's account is posted; a person finds out where the rest belongs.
    """
    _log.critical("booking.refused", reason=str(refused), payment=str(change.after.payment.id))
    facts = [fact for posting in wanted if (fact := _suspended(posting)) is not None]
    await ledger.post(tx, change.tenant_id, facts)
    note = f"the books refused it, its money is in suspense: {refused.code}"
    for operation_id in dict.fromkeys(p.operation_id for p in wanted):
        found = Discrepancy(
            "MISSING_IN_LEDGER",
            str(operation_id),
            note,
            payment_id=change.after.payment.id,
            operation_id=operation_id,
        )
        await insert(tx, change.tenant_id, found)


def _suspended(posting: Posting) -> Posting | None:
    """The posting with every leg but those of the provider's own accounts sent to suspense.

    None if it moves nothing at the provider.
    """
    kept = [leg for leg in posting.legs if leg.layer is Layer.POSTED and _is_providers(leg.account)]
    if not kept:
        return None
    rest = sum(_signed(leg) for leg in kept)
    legs = list(kept)
    if rest:
        account = AccountRef("suspense:refused", kept[0].account.currency)
        direction = Direction.CREDIT if rest > 0 else Direction.DEBIT
        legs.append(Leg(account, direction, abs(rest)))
    return replace(
        posting,
        key=f"{posting.key}:suspense",
        recipe="suspense@1",
        legs=tuple(legs),
        opens=None,
        settles=None,
    )


def _signed(leg: Leg) -> int:
    return leg.minor_units if leg.direction is Direction.DEBIT else -leg.minor_units


def _is_providers(account: AccountRef) -> bool:
    return account.path.startswith(("psp:", "suspense:", "expense:psp_fee:"))


async def _holds(tx: Tx, change: Bookings) -> dict[UUID, HoldState]:
    """The authorization holds that captures and voids of this change settle, locked."""
    wanted = {
        opening.id
        for operation_id, name in change.postings
        if name in _NEEDS_HOLD
        and (opening := _opening(change.after, change.after.operation(operation_id)))
    }
    return await ledger.hold_state(tx, change.tenant_id, wanted) if wanted else {}


def _opening(aggregate: Aggregate, operation: Operation) -> Operation | None:
    return opening_of(aggregate.steps_beside(operation))


def _fee_before(change: Bookings, operation_id: UUID) -> int | None:
    known = (o for o in change.before.operations if o.id == operation_id)
    return next((o.fee for o in known), None)


def split_of(payment: Payment) -> Split:
    """How the whole price is shared out: the splits, and the rest to the merchant account."""
    named = (AccountRef(split["path"], payment.currency) for split in payment.splits)
    # The merchant's share is not there when the splits leave nothing.
    pairs = zip((*named, _merchant(payment)), payment.shares, strict=False)
    return tuple(Share(account, weight) for account, weight in pairs)


def accounts_of(payment: Payment) -> list[AccountRef]:
    """Every account the payment names."""
    named = [share.account for share in split_of(payment)]
    if payment.store_credit_account is not None:
        named.append(_wallet(payment))
    return [*named, _merchant(payment)]


def _merchant(payment: Payment) -> AccountRef:
    return AccountRef(payment.merchant_account, payment.currency)


def _wallet(payment: Payment) -> AccountRef:
    assert payment.store_credit_account is not None
    return AccountRef(payment.store_credit_account, payment.currency)


@dataclass(frozen=True, slots=True)
class _Books:
    """What is posted for one operation."""

    aggregate: Aggregate
    at: datetime
    actor: str
    correlation_id: str
    holds: dict[UUID, HoldState]
    operation_id: UUID

    def write(self, name: str, fee_before: int | None) -> Iterable[Posting]:
        """The postings of one recipe."""
        if name.startswith("psp_fee_correction"):
            return [self._fee_correction(name, fee_before or 0)]
        return _RECIPES[name](self)

    @property
    def operation(self) -> Operation:
        return self.aggregate.operation(self.operation_id)

    @property
    def payment(self) -> Payment:
        return self.aggregate.payment

    @property
    def split(self) -> Split:
        return split_of(self.payment)

    @property
    def moved(self) -> int:
        """What the provider moved."""
        moved = self.operation.moved_amount
        return self.operation.amount if moved is None else moved

    @property
    def part(self) -> Part:
        """What was decided when it was made."""
        assert self.moved == self.operation.amount, _AS_ASKED
        return Part(self.operation.shares)

    def cause(self, *, external: bool = True) -> Cause:
        operation = self.operation
        return Cause(
            provider=provider_name(self.aggregate, operation),
            correlation_id=self.correlation_id,
            effective_at=self.at,
            created_by=self.actor,
            operation_id=operation.id,
            payment_id=operation.payment_id,
            refund_id=operation.refund_id,
            provider_account_id=operation.provider_account_id,
            provider_ref=operation.provider_ref,
            is_external=external,
        )

    def money(self, minor_units: int) -> Money:
        return self.payment.money(minor_units)

    def refund(self) -> Refund:
        refund = self.aggregate.refund_of(self.operation)
        assert refund is not None, "a refund operation carries out a refund"
        return refund

    def hold(self) -> HoldState | None:
        opening = _opening(self.aggregate, self.operation)
        return self.holds.get(opening.id) if opening else None

    def _settle(self, hold: HoldState, part: HoldPart) -> None:
        """Further postings of this change find what this one leaves."""
        self.holds[hold.hold_id] = replace(
            hold, captured=hold.captured + part.captured, released=hold.released + part.released
        )

    # ---- charges

    def authorise(self) -> Iterable[Posting]:
        amount = self.money(self.moved)
        merchant = _merchant(self.payment)
        return [recipes.authorise(self.cause(), merchant, amount, self.operation.id)]

    def sale(self) -> Iterable[Posting]:
        return [recipes.sale(self.cause(), self.split, self.part)]

    def capture(self) -> Iterable[Posting]:
        hold, merchant = self.hold(), _merchant(self.payment)
        settled = None
        if hold is not None and hold.remaining:
            captured = min(self.moved, hold.remaining)
            void = succeeded_void(self.aggregate, self.operation)
            due = void is None and release_is_due(self.aggregate, self.operation)
            settled = HoldPart(hold.hold_id, captured, hold.remaining - captured if due else 0)
            self._settle(hold, settled)
        return [
            recipes.capture(self.cause(), self.split, self.part, merchant=merchant, hold=settled)
        ]

    def void(self) -> Iterable[Posting]:
        hold = self.hold()
        if hold is None or not hold.remaining:
            return []
        part = HoldPart(hold.hold_id, 0, hold.remaining)
        self._settle(hold, part)
        return [recipes.void(self.cause(), _merchant(self.payment), part)]

    def capture_reversed(self) -> Iterable[Posting]:
        return recipes.capture_reversed(self.cause(), self.split, self.part)

    def psp_fee(self) -> Iterable[Posting]:
        return [recipes.psp_fee(self.cause(), self.money(self.operation.fee or 0))]

    def _fee_correction(self, name: str, fee_before: int) -> Posting:
        number = int(name.partition(":")[2])
        actual = self.money(self.operation.fee or 0)
        return recipes.psp_fee_correction(self.cause(), self.money(fee_before), actual, number)

    def orphan_capture(self) -> Iterable[Posting]:
        return [recipes.orphan_capture(self.cause(), self.money(self.moved))]

    def orphan_returned(self) -> Iterable[Posting]:
        return [recipes.orphan_returned(self.cause(), self.money(self.moved))]

    def wrong_amount(self) -> Iterable[Posting]:
        return [recipes.wrong_amount(self.cause(), self.money(self.moved))]

    def wrong_refund(self) -> Iterable[Posting]:
        return [recipes.wrong_refund(self.cause(), self.money(self.moved))]

    # ---- store credit beside a card

    def store_credit_reserve(self) -> Iterable[Posting]:
        payment, cause = self.payment, self.cause(external=False)
        amount = self.money(payment.store_credit)
        wallet, merchant = _wallet(payment), _merchant(payment)
        return [recipes.store_credit_reserve(cause, wallet, merchant, amount, self.operation.id)]

    def store_credit_spend(self) -> Iterable[Posting]:
        payment = self.payment
        part = Part(left_of(payment.shares, [self.operation.shares]))
        wallet, merchant = _wallet(payment), _merchant(payment)
        return [
            recipes.store_credit_spend(
                self.cause(), wallet, merchant, self.split, part, self.operation.id
            )
        ]

    def store_credit_release(self) -> Iterable[Posting]:
        payment = self.payment
        amount = self.money(payment.store_credit)
        wallet, merchant = _wallet(payment), _merchant(payment)
        return [
            recipes.store_credit_release(self.cause(), wallet, merchant, amount, self.operation.id)
        ]

    # ---- refunds; one that goes back two ways reserves all and settles each way by itself

    def refund_request(self) -> Iterable[Posting]:
        cause, part = self.cause(external=False), self._reserved()
        return [recipes.refund_request(cause, self.split, part, self.operation.id)]

    def refund_release(self) -> Iterable[Posting]:
        return [
            recipes.refund_release(self.cause(), self.split, self._reserved(), self.operation.id)
        ]

    def refund_paid(self) -> Iterable[Posting]:
        refund, cause, split = self.refund(), self.cause(), self.split
        card = self._card_part()
        if not refund.store_credit_amount:
            return [recipes.refund(cause, split, card, hold_id=self.operation.id)]
        credit = Part(left_of(refund.shares, [card.shares]))
        return [
            *self.refund_release(),
            recipes.refund(cause, split, card, hold_id=None),
            recipes.store_credit_refund(cause, _wallet(self.payment), split, credit),
        ]

    def refund_returned(self) -> Iterable[Posting]:
        return [recipes.refund_returned(self.cause(), self.split, self._card_part())]

    def refund_external(self) -> Iterable[Posting]:
        return recipes.refund_external(self.cause(), self.split, self._card_part())

    def _card_part(self) -> Part:
        assert self.moved == self.operation.amount, _AS_ASKED
        return Part(shares_of_card(self.refund()))

    def _reserved(self) -> Part:
        return Part(self.refund().shares)


_RECIPES: Final[dict[str, Callable[[_Books], Iterable[Posting]]]] = {
    "authorise": _Books.authorise,
    "sale": _Books.sale,
    "capture": _Books.capture,
    "void": _Books.void,
    "capture_reversed": _Books.capture_reversed,
    "psp_fee": _Books.psp_fee,
    "orphan_capture": _Books.orphan_capture,
    "orphan_returned": _Books.orphan_returned,
    "wrong_amount": _Books.wrong_amount,
    "wrong_refund": _Books.wrong_refund,
    "store_credit_reserve": _Books.store_credit_reserve,
    "store_credit_spend": _Books.store_credit_spend,
    "store_credit_release": _Books.store_credit_release,
    "refund_request": _Books.refund_request,
    "refund_release": _Books.refund_release,
    "refund": _Books.refund_paid,
    "refund_returned": _Books.refund_returned,
    "refund_external": _Books.refund_external,
}


def provider_name(aggregate: Aggregate, operation: Operation) -> str:
    """Short name of the account an operation was sent to, from the routing decision."""
    attempt = aggregate.attempt_of(operation)
    account_id = str(operation.provider_account_id)
    return next(
        str(line["name"])
        for line in attempt.routing["candidates"]
        if line["account_id"] == account_id
    )


# ---- without a provider


def _own(change: Bookings) -> Iterable[Posting]:
    for name in change.own:
        if name == "store_credit_sale":
            yield _store_credit_sale(change)
        else:
            yield _store_credit_refund(change)


def _own_cause(change: Bookings, subject: UUID, refund_id: UUID | None) -> Cause:
    """`subject` stands where the operation would, so that the key is unique."""
    return Cause(
        provider="",
        correlation_id=change.correlation_id,
        effective_at=change.at,
        created_by=change.actor,
        operation_id=subject,
        payment_id=change.after.payment.id,
        refund_id=refund_id,
        is_external=False,
    )


def _store_credit_sale(change: Bookings) -> Posting:
    """The whole price from store credit at once: nothing has to be reserved first."""
    payment = change.after.payment
    shares = [(share.account, share.weight) for share in split_of(payment) if share.weight]
    credits = [Leg(account, Direction.CREDIT, units) for account, units in shares]
    return Posting(
        key=f"store_credit_sale@1:{payment.id}",
        recipe="store_credit_sale@1",
        legs=(Leg(_wallet(payment), Direction.DEBIT, payment.amount), *credits),
        correlation_id=change.correlation_id,
        effective_at=change.at,
        created_by=change.actor,
        payment_id=payment.id,
    )


def _store_credit_refund(change: Bookings) -> Posting:
    payment, refund = change.after.payment, change.refund
    assert refund is not None, "a refund to store credit is a refund"
    part = Part(refund.shares)
    cause = _own_cause(change, refund.id, refund.id)
    posting = recipes.store_credit_refund(cause, _wallet(payment), split_of(payment), part)
    return replace(posting, operation_id=None)
