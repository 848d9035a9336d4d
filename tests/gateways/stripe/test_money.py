"""Stripe's minor units are not always those of ISO 4217."""

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


@pytest.mark.parametrize(
    "amount",
    [
        Money(12345, "KWD"),
        Money(50001, "MGA"),
        Money(0, "EUR"),
        Money(-1, "EUR"),
        Money(100_000_000, "USD"),
        Money(10_000_000_000, "JPY"),
        Money(1000, "IQD"),
        Money(1000, "CLF"),
    ],
)
def test_what_stripe_cannot_express_is_refused_before_the_call(amount: Money) -> None:
    with pytest.raises(BadRequest):
        to_stripe(amount)


@pytest.mark.parametrize(
    ("units", "currency"), [(50001, "isk"), (1, "xxx"), (-1, "eur"), (10**18, "eur"), (1, "")]
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
