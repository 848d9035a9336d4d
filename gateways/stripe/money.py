"""Stripe's amounts: minor units, but not always those of ISO 4217.

Source: docs.stripe.com/currencies
"""

from typing import Final

from core.currencies import EXPONENTS
from core.money import Money
from gateways.port import BadRequest, Unparseable

_ZERO_DECIMAL: Final = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()
)
_THREE_DECIMAL: Final = frozenset("BHD JOD KWD OMR TND".split())
_NOT_TAKEN: Final = frozenset("IQD LYD CLF UYW".split())
_DIGITS_MAX: Final = {"IDR": 12, "INR": 9, "COP": 12, "HUF": 12, "JPY": 10, "LBP": 13}
_DIGITS_MAX_DEFAULT: Final = 8


def _exponent(currency: str) -> int:
    """Decimal digits in Stripe's amounts: ISK and UGX have two there, MGA none."""
    if currency in _ZERO_DECIMAL:
        return 0
    return 3 if currency in _THREE_DECIMAL else 2


def to_stripe(amount: Money) -> int:
    """The amount as Stripe wants it. Raises: BadRequest when it cannot be said there."""
    currency = amount.currency
    if currency in _NOT_TAKEN:
        raise BadRequest(f"Stripe does not take {currency}")
    if amount.minor_units <= 0:
        raise BadRequest("the amount must be positive")
    units = _rescale(amount.minor_units, amount.exponent, _exponent(currency))
    if units is None or (currency in _THREE_DECIMAL and units % 10):
        raise BadRequest(f"Stripe cannot express {amount}")
    if len(str(units)) > _DIGITS_MAX.get(currency, _DIGITS_MAX_DEFAULT):
        raise BadRequest(f"Stripe takes no amount as large as {amount}")
    return units


def from_stripe(units: int, currency: str) -> Money:
    """Money behind Stripe's amount; `currency` as Stripe writes it. Raises: Unparseable."""
    code = currency.upper()
    if code not in EXPONENTS or not 0 <= units < 10**15:
        raise Unparseable("amount or currency out of range")
    minor_units = _rescale(units, _exponent(code), EXPONENTS[code])
    if minor_units is None:
        raise Unparseable(f"{units} is no whole amount of {code}")
    return Money(minor_units, code)


def _rescale(units: int, exponent: int, wanted: int) -> int | None:
    """The same amount with other decimal digits, None when digits would be lost."""
    if wanted >= exponent:
        return int(units * 10 ** (wanted - exponent))
    whole, lost = divmod(units, 10 ** (exponent - wanted))
    return None if lost else whole
