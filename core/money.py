"""Money: a whole number of minor units of one currency.

Never a float, never a bare int across a function border, never added across currencies.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from core.currencies import EXPONENTS
from core.errors import Rejected

MINOR_UNITS_MAX: Final = 2**63 - 1
_DECIMAL = re.compile(r"(?P<sign>-?)(?P<whole>0|[1-9][0-9]{0,18})(?:\.(?P<fraction>[0-9]{1,6}))?")


class BadAmount(Rejected):
    """The amount cannot be expressed exactly in this currency."""

    code = "BAD_AMOUNT"


class UnknownCurrency(Rejected):
    """The currency is not an ISO 4217 code that is booked here."""

    code = "UNKNOWN_CURRENCY"


class CurrencyMismatch(Rejected):
    """Two different currencies were combined."""

    code = "CURRENCY_MISMATCH"


def exponent_of(currency: str) -> int:
    """Decimal digits of the minor unit: USD 2, JPY 0, KWD 3. Raises: UnknownCurrency."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(currency=currency) from None


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount of one currency, in minor units, within signed 64 bits.

    Raises: BadAmount (not an int, out of range), UnknownCurrency.
    """

    minor_units: int
    currency: str

    def __post_init__(self) -> None:
        exponent_of(self.currency)
        if isinstance(self.minor_units, bool) or not isinstance(self.minor_units, int):
            raise BadAmount(amount=repr(self.minor_units), currency=self.currency)
        if not -MINOR_UNITS_MAX <= self.minor_units <= MINOR_UNITS_MAX:
            raise BadAmount(amount=str(self.minor_units), currency=self.currency)

    @classmethod
    def parse(cls, decimal: str, currency: str) -> Self:
        """Read a plain decimal such as "12.30"; too many digits are refused, never rounded.

        Raises: BadAmount ("1e3", "1_000", "10.5" JPY, out of range), UnknownCurrency.
        """
        exponent = exponent_of(currency)
        match = _DECIMAL.fullmatch(decimal)
        fraction = (match["fraction"] or "") if match else ""
        if match is None or len(fraction) > exponent:
            raise BadAmount(amount=decimal[:40], currency=currency)
        units = int(match["whole"] + fraction.ljust(exponent, "0"))
        return cls(-units if match["sign"] else units, currency)

    @property
    def exponent(self) -> int:
        """Decimal digits of the currency."""
        return EXPONENTS[self.currency]

    @property
    def decimal(self) -> str:
        """The amount as a plain decimal string: "12.30"."""
        return f"{Decimal(self.minor_units).scaleb(-self.exponent):f}"

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.minor_units + other.minor_units, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.minor_units - other.minor_units, self.currency)

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(left=self.currency, right=other.currency)

    def __str__(self) -> str:
        return f"{self.decimal} {self.currency}"


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` minor units in proportion to `weights`; the shares sum to `total` exactly.

    Largest remainder; equal remainders go to the earlier share. Raises: BadAmount when a
    non-zero total meets only zero weights.
    """
    assert total >= 0
    assert all(weight >= 0 for weight in weights)
    whole = sum(weights)
    if whole == 0:
        if total:
            raise BadAmount(amount=str(total), currency="")
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda index: (-(total * weights[index] % whole), index)
    )
    for index in by_remainder[: total - sum(shares)]:
        shares[index] += 1
    assert sum(shares) == total
    return shares
