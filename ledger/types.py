"""The words of the ledger: a posting asks for a transaction, its legs become entries.

Books are kept from the operator's point of view. A leg has a direction and a positive amount; a
sign never says which side it is on.
"""

import enum
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from core.money import MINOR_UNITS_MAX, BadAmount, exponent_of
from ledger.errors import PendingLegsMismatch, Unbalanced

POSTINGS_MAX: Final = 512
"""Most transactions one call posts."""

LEGS_MAX: Final = 64
"""Most legs of one transaction."""


class Direction(enum.StrEnum):
    """The side of the account a leg is written on."""

    DEBIT = "D"
    CREDIT = "C"

    @property
    def opposite(self) -> "Direction":
        return Direction.CREDIT if self is Direction.DEBIT else Direction.DEBIT


class Layer(enum.StrEnum):
    """Posted money is ours or owed; pending money is only announced or reserved."""

    POSTED = "POSTED"
    PENDING = "PENDING"


class AccountKind(enum.StrEnum):
    """Class of an account. Assets and expenses grow by debits, the rest by credits."""

    ASSET = "ASSET"
    LIABILITY = "LIABILITY"
    EQUITY = "EQUITY"
    INCOME = "INCOME"
    EXPENSE = "EXPENSE"


@dataclass(frozen=True, slots=True, order=True)
class AccountRef:
    """An account by its path in the chart; opened when first posted to. Raises: UnknownCurrency."""

    path: str
    currency: str

    def __post_init__(self) -> None:
        exponent_of(self.currency)

    def __str__(self) -> str:
        return f"{self.path}/{self.currency}"


@dataclass(frozen=True, slots=True)
class Leg:
    """One debit or credit of `minor_units` > 0.

    With `spill`, at most what is available is taken from `account` and the rest from `spill`; how
    much is decided when it is posted. Raises: BadAmount.
    """

    account: AccountRef
    direction: Direction
    minor_units: int
    layer: Layer = Layer.POSTED
    spill: AccountRef | None = None

    def __post_init__(self) -> None:
        units = self.minor_units
        if isinstance(units, bool) or not isinstance(units, int):
            raise BadAmount(amount=repr(units), currency=self.account.currency)
        if not 0 < units <= MINOR_UNITS_MAX:
            raise BadAmount(amount=str(units), currency=self.account.currency)
        assert self.spill is None or self.spill.currency == self.account.currency
        assert self.spill is None or self.layer is Layer.POSTED, "a hold reserves all or nothing"


@dataclass(frozen=True, slots=True)
class OpenHold:
    """The pending legs of this posting reserve `minor_units` until the hold is settled.

    `expires_at` is advice: no clock of ours releases a hold.
    """

    hold_id: UUID
    minor_units: int
    reason: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SettleHold:
    """The pending legs of this posting undo `captured` + `released` of the hold."""

    hold_id: UUID
    captured: int
    released: int

    def __post_init__(self) -> None:
        assert self.captured >= 0
        assert self.released >= 0


@dataclass(frozen=True, slots=True)
class Posting:
    """A request for one transaction: a balanced set of legs and what it is about.

    `key` makes it happen once; the same key with other money is refused. `external_fact` says that
    a provider told us: it is then posted to frozen accounts as well. `reverses` is the id of the
    transaction this one undoes. Raises: Unbalanced, PendingLegsMismatch.
    """

    key: str
    recipe: str
    legs: tuple[Leg, ...]
    correlation_id: str
    effective_at: datetime
    created_by: str
    opens: OpenHold | None = None
    settles: SettleHold | None = None
    payment_id: UUID | None = None
    refund_id: UUID | None = None
    operation_id: UUID | None = None
    provider_account_id: UUID | None = None
    provider_ref: str | None = None
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    external_fact: bool = False
    reverses: UUID | None = None

    def __post_init__(self) -> None:
        assert self.effective_at.tzinfo is not None, "instants are aware"
        totals: dict[tuple[str, Layer], int] = defaultdict(int)
        for leg in self.legs:
            sign = 1 if leg.direction is Direction.DEBIT else -1
            totals[leg.account.currency, leg.layer] += sign * leg.minor_units
        if any(totals.values()) or not 2 <= len(self.legs) <= LEGS_MAX:
            raise Unbalanced(key=self.key, totals={f"{c} {la}": t for (c, la), t in totals.items()})
        self._check_pending_legs()

    def _check_pending_legs(self) -> None:
        pending = [leg for leg in self.legs if leg.layer is Layer.PENDING]
        debits = sum(leg.minor_units for leg in pending if leg.direction is Direction.DEBIT)
        held = self.opens.minor_units if self.opens else 0
        undone = self.settles.captured + self.settles.released if self.settles else 0
        one_currency = len({leg.account.currency for leg in pending}) <= 1
        if (self.opens and self.settles) or debits != held + undone or not one_currency:
            raise PendingLegsMismatch(key=self.key, pending=debits, hold=held + undone)

    def moves_same_money_as(self, other: "Posting") -> bool:
        """Whether both would write the same entries and change the same hold."""
        return (self.recipe, self.opens, self.settles, self.reverses, self.legs) == (
            other.recipe,
            other.opens,
            other.settles,
            other.reverses,
            other.legs,
        )


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a posting. `replayed`: the transaction was there already."""

    key: str
    transaction_id: UUID
    replayed: bool


@dataclass(frozen=True, slots=True)
class HoldState:
    """A hold, locked until the unit of work ends."""

    hold_id: UUID
    currency: str
    amount: int
    captured: int
    released: int

    @property
    def remaining(self) -> int:
        """Minor units still held."""
        return self.amount - self.captured - self.released
