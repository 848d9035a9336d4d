"""What each event of a payment does to the books. Pure: values in, postings out.

A recipe has a name and a version; the version changes when the entries of the same event would
differ, so that old transactions keep meaning what they say. The guide with worked examples is
docs/accounting.md; the tests compare both.

`split` is how the whole price is shared out. What a part of it (a capture, a refund) takes of each
share was decided when the part was made (payments.amounts).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from core.money import Money
from ledger import (
    AccountRef,
    Direction,
    Layer,
    Leg,
    OpenHold,
    Posting,
    SettleHold,
    chart,
)

_DEBIT: Final = Direction.DEBIT
_CREDIT: Final = Direction.CREDIT
_PENDING: Final = Layer.PENDING

NAMES: Final = frozenset(
    "authorise sale capture capture_reversed capture_reversed_charge void refund refund_request"
    " refund_release refund_returned refund_external refund_external_charge psp_fee"
    " psp_fee_correction store_credit_grant store_credit_sale store_credit_reserve"
    " store_credit_spend store_credit_release store_credit_refund wrong_amount wrong_refund"
    " orphan_capture orphan_returned adopt suspense".split()
)
"""Every recipe of payments, without its version."""

OPERATORS_MAY_POST: Final = frozenset({"store_credit_grant"})
"""Recipes that are a decision of the operator, not a consequence of a payment."""


@dataclass(frozen=True, slots=True)
class Share:
    """One account's part of the price, in minor units of the whole."""

    account: AccountRef
    weight: int


Split = tuple[Share, ...]
"""How the whole price is shared out; the weights sum to the price."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the whole takes of each share: minor units, in the order of the split."""

    shares: tuple[int, ...]

    @property
    def minor_units(self) -> int:
        """The part's amount."""
        return sum(self.shares)


@dataclass(frozen=True, slots=True)
class HoldPart:
    """What a posting does to an open hold: `captured` is used, `released` is given back."""

    hold_id: UUID
    captured: int
    released: int = 0


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is posted; goes onto the transaction.

    `provider` is the short name of the provider account, part of ledger paths. With an
    `operation_id` the transaction's key is `{recipe}:{operation_id}`; without one it is
    `{recipe}:{provider_account_id}:{provider_ref}`. `is_external`: a provider says so.
    """

    provider: str
    correlation_id: str
    effective_at: datetime
    created_by: str
    operation_id: UUID | None = None
    payment_id: UUID | None = None
    refund_id: UUID | None = None
    provider_account_id: UUID | None = None
    provider_ref: str | None = None
    is_external: bool = True


def authorise(cause: Cause, merchant: AccountRef, amount: Money, hold_id: UUID) -> Posting:
    """The provider holds the shopper's money for us: announced, not ours yet."""
    legs = _pending(chart.clearing(cause.provider, amount.currency), merchant, amount.minor_units)
    opens = OpenHold(hold_id, amount.minor_units, "authorization")
    return _posting(cause, "authorise@1", legs, opens=opens)


def sale(cause: Cause, split: Split, part: Part) -> Posting:
    """Charged in one step: like a capture that nothing was held for."""
    return _posting(cause, "sale@1", _taken(cause, split, part))


def capture(
    cause: Cause, split: Split, part: Part, *, merchant: AccountRef, hold: HoldPart | None
) -> Posting:
    """Money that was authorized is taken, all or a part of it.

    A final capture also releases the rest of the hold. `hold` is None when the hold is gone.
    """
    legs = _taken(cause, split, part)
    if hold is None:
        return _posting(cause, "capture@1", legs)
    undone = _undone_authorization(cause, merchant, hold)
    return _posting(cause, "capture@1", [*undone, *legs], settles=_settle(hold))


def void(cause: Cause, merchant: AccountRef, hold: HoldPart) -> Posting:
    """What is left of an authorization is given back to the shopper."""
    assert hold.captured == 0, "a void captures nothing"
    legs = _undone_authorization(cause, merchant, hold)
    return _posting(cause, "void@1", legs, settles=_settle(hold))


def refund_request(cause: Cause, split: Split, part: Part, hold_id: UUID) -> Posting:
    """A refund we are about to send: every share of it is reserved, all or nothing."""
    legs = _reserved(cause, split, part)
    opens = OpenHold(hold_id, part.minor_units, "refund")
    return _posting(cause, "refund_request@1", legs, opens=opens)


def refund(cause: Cause, split: Split, part: Part, *, hold_id: UUID | None) -> Posting:
    """The refund went through: what was reserved is paid.

    With `hold_id` None nothing is reserved (any more); what an account lacks then spills, because
    what a provider did cannot be refused.
    """
    legs = _given_back(cause, split, part)
    if hold_id is None:
        spilling = [_spilling(leg, cause.provider) for leg in legs]
        return _posting(cause, "refund@1", spilling)
    undone = _mirrored(_reserved(cause, split, part))
    settles = SettleHold(hold_id, captured=part.minor_units, released=0)
    return _posting(cause, "refund@1", [*undone, *legs], settles=settles)


def refund_release(cause: Cause, split: Split, part: Part, hold_id: UUID) -> Posting:
    """The refund failed or was cancelled: what was reserved is free again."""
    legs = _mirrored(_reserved(cause, split, part))
    settles = SettleHold(hold_id, captured=0, released=part.minor_units)
    return _posting(cause, "refund_release@1", legs, settles=settles)


def refund_returned(cause: Cause, split: Split, part: Part) -> Posting:
    """A refund came back after it had succeeded: the money is ours again."""
    return _posting(cause, "refund_returned@1", _taken(cause, split, part))


def refund_external(cause: Cause, split: Split, part: Part) -> tuple[Posting, Posting]:
    """A refund made in the provider's dashboard: first the fact, then who bears it."""
    return _withdrawn(cause, "refund_external", split, part)


def capture_reversed(cause: Cause, split: Split, part: Part) -> tuple[Posting, Posting]:
    """A capture that had succeeded failed later: first the fact, then who bears it."""
    return _withdrawn(cause, "capture_reversed", split, part)


def psp_fee(cause: Cause, fee: Money) -> Posting:
    """What the provider keeps for its service."""
    expense = chart.psp_fee(cause.provider, fee.currency)
    clearing = chart.clearing(cause.provider, fee.currency)
    return _posting(cause, "psp_fee@1", _moved(expense, clearing, fee.minor_units))


def psp_fee_correction(cause: Cause, posted: Money, actual: Money, number: int) -> Posting:
    """A later source tells another fee. `number` counts the corrections of this operation."""
    difference = (actual - posted).minor_units
    assert difference != 0, "an unchanged fee needs no correction"
    expense = chart.psp_fee(cause.provider, actual.currency)
    clearing = chart.clearing(cause.provider, actual.currency)
    debit, credit = (expense, clearing) if difference > 0 else (clearing, expense)
    legs = _moved(debit, credit, abs(difference))
    return _posting(cause, "psp_fee_correction@1", legs, suffix=f":{number}")


def store_credit_grant(
    cause: Cause, wallet: AccountRef, amount: Money, *, funded_by: AccountRef | None = None
) -> Posting:
    """The operator gives a customer store credit; goodwill unless another account pays for it."""
    funding = funded_by or chart.store_credit_expense(amount.currency)
    return _posting(cause, "store_credit_grant@1", _moved(funding, wallet, amount.minor_units))


def store_credit_reserve(
    cause: Cause, wallet: AccountRef, merchant: AccountRef, amount: Money, hold_id: UUID
) -> Posting:
    """Store credit is set aside before the card is charged."""
    legs = _pending(wallet, merchant, amount.minor_units)
    opens = OpenHold(hold_id, amount.minor_units, "store credit")
    return _posting(cause, "store_credit_reserve@1", legs, opens=opens)


def store_credit_spend(  # noqa: PLR0917 - the words of one sentence
    cause: Cause, wallet: AccountRef, merchant: AccountRef, split: Split, part: Part, hold_id: UUID
) -> Posting:
    """The reserved store credit pays its part of the price."""
    undone = _mirrored(_pending(wallet, merchant, part.minor_units))
    credits = _legs(_CREDIT, split, part)
    legs = [*undone, Leg(wallet, _DEBIT, part.minor_units), *credits]
    settles = SettleHold(hold_id, captured=part.minor_units, released=0)
    return _posting(cause, "store_credit_spend@1", legs, settles=settles)


def store_credit_release(
    cause: Cause, wallet: AccountRef, merchant: AccountRef, amount: Money, hold_id: UUID
) -> Posting:
    """The card was refused: the customer has the store credit back."""
    legs = _mirrored(_pending(wallet, merchant, amount.minor_units))
    settles = SettleHold(hold_id, captured=0, released=amount.minor_units)
    return _posting(cause, "store_credit_release@1", legs, settles=settles)


def store_credit_refund(cause: Cause, wallet: AccountRef, split: Split, part: Part) -> Posting:
    """A refund of what was paid with store credit goes back to the wallet."""
    legs = [*_legs(_DEBIT, split, part), Leg(wallet, _CREDIT, part.minor_units)]
    return _posting(cause, "store_credit_refund@1", legs)


def wrong_amount(cause: Cause, actual: Money) -> Posting:
    """The provider moved another amount than we asked for: kept in suspense for a person."""
    return _to_suspense(cause, "wrong_amount@1", actual)


def wrong_refund(cause: Cause, actual: Money) -> Posting:
    """The provider gave back another amount than we asked for: kept in suspense for a person."""
    return _from_suspense(cause, "wrong_refund@1", actual)


def orphan_capture(cause: Cause, amount: Money) -> Posting:
    """Money arrived for a payment that had ended: kept in suspense."""
    return _to_suspense(cause, "orphan_capture@1", amount)


def adopt(cause: Cause, split: Split, part: Part) -> Posting:
    """Money in suspense turns out to be the payment's after all."""
    suspense = chart.suspense(cause.provider, _currency(split))
    legs = [Leg(suspense, _DEBIT, part.minor_units), *_legs(_CREDIT, split, part)]
    return _posting(cause, "adopt@1", legs)


def orphan_returned(cause: Cause, amount: Money) -> Posting:
    """Money in suspense went back to the shopper."""
    return _from_suspense(cause, "orphan_returned@1", amount)


def _legs(direction: Direction, split: Split, part: Part, layer: Layer = Layer.POSTED) -> list[Leg]:
    return [
        Leg(share.account, direction, minor_units, layer)
        for share, minor_units in zip(split, part.shares, strict=True)
        if minor_units
    ]


def _taken(cause: Cause, split: Split, part: Part) -> list[Leg]:
    clearing = chart.clearing(cause.provider, _currency(split))
    credits = _legs(_CREDIT, split, part)
    return [Leg(clearing, _DEBIT, part.minor_units), *credits]


def _given_back(cause: Cause, split: Split, part: Part) -> list[Leg]:
    clearing = chart.clearing(cause.provider, _currency(split))
    debits = _legs(_DEBIT, split, part)
    return [*debits, Leg(clearing, _CREDIT, part.minor_units)]


def _reserved(cause: Cause, split: Split, part: Part) -> list[Leg]:
    clearing = chart.clearing(cause.provider, _currency(split))
    debits = _legs(_DEBIT, split, part, _PENDING)
    return [*debits, Leg(clearing, _CREDIT, part.minor_units, _PENDING)]


def _withdrawn(cause: Cause, name: str, split: Split, part: Part) -> tuple[Posting, Posting]:
    """A provider took money back. The fact cannot be refused, so it moves no merchant's account;
    the consequence takes what a merchant has and lets the rest spill.
    """
    suspense = chart.suspense(cause.provider, _currency(split))
    clearing = chart.clearing(cause.provider, _currency(split))
    fact = _posting(cause, f"{name}@1", _moved(suspense, clearing, part.minor_units))
    debits = _legs(_DEBIT, split, part)
    borne = [_spilling(leg, cause.provider) for leg in debits]
    legs = [*borne, Leg(suspense, _CREDIT, part.minor_units)]
    return fact, _posting(cause, f"{name}_charge@1", legs)


def _spilling(leg: Leg, source: str) -> Leg:
    if leg.direction is _CREDIT:
        return leg
    spill = chart.spill_account(leg.account, source)
    return Leg(leg.account, leg.direction, leg.minor_units, spill=spill)


def _undone_authorization(cause: Cause, merchant: AccountRef, hold: HoldPart) -> list[Leg]:
    clearing = chart.clearing(cause.provider, merchant.currency)
    return _mirrored(_pending(clearing, merchant, hold.captured + hold.released))


def _to_suspense(cause: Cause, recipe: str, amount: Money) -> Posting:
    clearing = chart.clearing(cause.provider, amount.currency)
    suspense = chart.suspense(cause.provider, amount.currency)
    return _posting(cause, recipe, _moved(clearing, suspense, amount.minor_units))


def _from_suspense(cause: Cause, recipe: str, amount: Money) -> Posting:
    clearing = chart.clearing(cause.provider, amount.currency)
    suspense = chart.suspense(cause.provider, amount.currency)
    return _posting(cause, recipe, _moved(suspense, clearing, amount.minor_units))


def _moved(
    debit: AccountRef, credit: AccountRef, minor_units: int, layer: Layer = Layer.POSTED
) -> list[Leg]:
    return [Leg(debit, _DEBIT, minor_units, layer), Leg(credit, _CREDIT, minor_units, layer)]


def _pending(debit: AccountRef, credit: AccountRef, minor_units: int) -> list[Leg]:
    return _moved(debit, credit, minor_units, _PENDING)


def _mirrored(legs: Iterable[Leg]) -> list[Leg]:
    return [Leg(leg.account, leg.direction.opposite, leg.minor_units, leg.layer) for leg in legs]


def _settle(hold: HoldPart) -> SettleHold:
    return SettleHold(hold.hold_id, hold.captured, hold.released)


def _currency(split: Split) -> str:
    (currency,) = {share.account.currency for share in split}
    return currency


def _posting(
    cause: Cause,
    recipe: str,
    legs: Sequence[Leg],
    *,
    opens: OpenHold | None = None,
    settles: SettleHold | None = None,
    suffix: str = "",
) -> Posting:
    assert recipe.partition("@")[0] in NAMES, recipe
    subject = cause.operation_id or f"{cause.provider_account_id}:{cause.provider_ref}"
    assert cause.operation_id or (cause.provider_account_id and cause.provider_ref)
    return Posting(
        key=f"{recipe}:{subject}{suffix}",
        recipe=recipe,
        legs=tuple(legs),
        correlation_id=cause.correlation_id,
        effective_at=cause.effective_at,
        created_by=cause.created_by,
        opens=opens,
        settles=settles,
        payment_id=cause.payment_id,
        refund_id=cause.refund_id,
        operation_id=cause.operation_id,
        provider_account_id=cause.provider_account_id,
        provider_ref=cause.provider_ref,
        external_fact=cause.is_external,
    )
