"""Stripe's minor units are not always those of ISO 4217."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.currencies import EXPONENTS
from core.money import Money
from gateways.port import BadRequest, Unparseable
from gateways.stripe.money import from_stripe, to_stripe


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (Money(4250, "EUR"), 4250),
        (Money(500, "JPY"), 500),
        (Money(500, "ISK"), 50000),
        (Money(500, "UGX"), 50000),
        (Money(50000, "MGA"), 500),
        (Money(12340, "KWD"), 12340),
        (Money(99_999_999, "USD"), 99_999_999),
        (Money(999_999_999_999, "IDR"), 999_999_999_999),
    ],
)
def test_amounts_are_said_the_way_stripe_reads_them(amount: Money, units: int) -> None:
    assert to_stripe(amount) == units
    assert from_stripe(units, amount.currency.lower()) == amount


ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()
THREE_DECIMAL = "BHD JOD KWD OMR TND".split()
NOT_TAKEN = "IQD LYD CLF UYW".split()
OTHER_THAN_ISO = {"ISK": Fraction(100), "UGX": Fraction(100), "MGA": Fraction(1, 100)}
"""What an amount in ISO minor units is multiplied by; of no other currency does it change."""


@pytest.mark.parametrize("currency", sorted(set(EXPONENTS) - set(NOT_TAKEN)))
def test_every_currency_is_multiplied_by_what_stripe_documents(currency: str) -> None:
    amount = Money(5000, currency)

    units = to_stripe(amount)

    assert units == 5000 * OTHER_THAN_ISO.get(currency, 1)
    assert from_stripe(units, currency.lower()) == amount


def test_the_currencies_that_differ_from_iso_are_the_documented_ones() -> None:
    digits = {
        **dict.fromkeys(EXPONENTS, 2),
        **dict.fromkeys(ZERO_DECIMAL, 0),
        **dict.fromkeys(THREE_DECIMAL, 3),
    }

    differing = {code for code in digits if digits[code] != EXPONENTS[code]} - set(NOT_TAKEN)

    assert differing == set(OTHER_THAN_ISO)


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (Money(1, "ISK"), 100),
        (Money(1, "UGX"), 100),
        (Money(17501, "HUF"), 17501),
        (Money(80050, "TWD"), 80050),
        (Money(100, "MGA"), 1),
        *((Money(10, currency), 10) for currency in THREE_DECIMAL),
        *((Money(1, currency), 1) for currency in ZERO_DECIMAL if currency != "MGA"),
    ],
)
def test_the_exceptions_to_the_last_unit(amount: Money, units: int) -> None:
    assert to_stripe(amount) == units
    assert from_stripe(units, amount.currency.lower()) == amount


@pytest.mark.parametrize("currency", THREE_DECIMAL)
@pytest.mark.parametrize("last", range(1, 10))
def test_of_three_decimals_the_last_must_be_zero(currency: str, last: int) -> None:
    with pytest.raises(BadRequest):
        to_stripe(Money(1000 + last, currency))


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("USD", 8), ("IDR", 12), ("INR", 9), ("COP", 12), ("HUF", 12), ("JPY", 10), ("LBP", 13)],
)
def test_an_amount_may_have_so_many_digits(currency: str, digits: int) -> None:
    largest = Money(10**digits - 1, currency)

    assert to_stripe(largest) == 10**digits - 1
    with pytest.raises(BadRequest):
        to_stripe(largest + Money(1, currency))


@pytest.mark.parametrize(
    "amount",
    [
        *(Money(1000, currency) for currency in NOT_TAKEN),
        Money(1, "MGA"),
        Money(12345, "KWD"),
        Money(50001, "MGA"),
        Money(0, "EUR"),
        Money(-1, "EUR"),
        Money(100_000_000, "USD"),
        Money(10_000_000_000, "JPY"),
    ],
)
def test_what_stripe_cannot_express_is_refused_before_the_call(amount: Money) -> None:
    with pytest.raises(BadRequest):
        to_stripe(amount)


@pytest.mark.parametrize(
    ("units", "currency"),
    [(50001, "isk"), (150, "ugx"), (1, "xxx"), (-1, "eur"), (10**18, "eur"), (1, "")],
)
def test_an_amount_that_makes_no_sense_is_not_understood(units: int, currency: str) -> None:
    with pytest.raises(Unparseable):
        from_stripe(units, currency)


@given(st.integers(1, 10**9), st.sampled_from(sorted(EXPONENTS)))
def test_there_and_back_is_the_same_amount(minor_units: int, currency: str) -> None:
    amount = Money(minor_units, currency)
    try:
        units = to_stripe(amount)
    except BadRequest:
        return

    assert from_stripe(units, currency.lower()) == amount
