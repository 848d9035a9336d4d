import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.currencies import EXPONENTS
from core.money import (
    MINOR_UNITS_MAX,
    BadAmount,
    CurrencyMismatch,
    Money,
    UnknownCurrency,
    allocate,
    exponent_of,
)

currencies = st.sampled_from(sorted(EXPONENTS))
amounts = st.integers(-MINOR_UNITS_MAX, MINOR_UNITS_MAX)


@pytest.mark.parametrize(
    ("text", "currency", "minor_units"),
    [
        ("12.30", "USD", 1230),
        ("12.3", "USD", 1230),
        ("12", "USD", 1200),
        ("0.01", "EUR", 1),
        ("-0.01", "EUR", -1),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("1.2345", "CLF", 12345),
        ("92233720368547758.07", "USD", MINOR_UNITS_MAX),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, currency: str, minor_units: int) -> None:
    assert Money.parse(text, currency) == Money(minor_units, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("10.5", "JPY"),
        ("1.2345", "KWD"),
        ("12.345", "USD"),
        ("1e3", "USD"),
        ("1_000", "USD"),
        ("1,000", "USD"),
        ("+1", "USD"),
        (" 1", "USD"),
        ("1 ", "USD"),
        ("", "USD"),
        (".5", "USD"),
        ("5.", "USD"),
        ("01", "USD"),
        ("NaN", "USD"),
        ("Infinity", "USD"),
        ("٣", "USD"),
        ("1\n", "USD"),
        ("92233720368547758.08", "USD"),
        ("99999999999999999999", "JPY"),
    ],
)
def test_what_is_not_an_exact_decimal_is_refused(text: str, currency: str) -> None:
    with pytest.raises(BadAmount):
        Money.parse(text, currency)


@pytest.mark.parametrize("units", [1.0, True, "1", None, 2**63, -(2**63)])
def test_minor_units_are_a_64_bit_int(units: object) -> None:
    with pytest.raises(BadAmount):
        Money(units, "USD")  # type: ignore[arg-type] # the point of the test


@pytest.mark.parametrize("currency", ["usd", "XXX", "", "EURO", "BTC"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        exponent_of(currency)


@given(amounts, currencies)
def test_the_decimal_form_reads_back(units: int, currency: str) -> None:
    money = Money(units, currency)

    assert Money.parse(money.decimal, currency) == money


def test_currencies_are_never_mixed() -> None:
    with pytest.raises(CurrencyMismatch):
        Money(1, "USD") + Money(1, "EUR")
    with pytest.raises(CurrencyMismatch):
        Money(1, "USD") - Money(1, "EUR")


def test_a_sum_beyond_64_bits_is_refused() -> None:
    with pytest.raises(BadAmount):
        Money(MINOR_UNITS_MAX, "USD") + Money(1, "USD")


def test_shares_follow_the_weights_and_the_rest_goes_by_largest_remainder() -> None:
    assert allocate(2500, [8200, 1000, 800]) == [2050, 250, 200]
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(1, [1, 2]) == [0, 1]


@given(st.integers(0, MINOR_UNITS_MAX), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_shares_sum_to_the_whole(total: int, weights: list[int]) -> None:
    if sum(weights) == 0:
        weights = [1, *weights]

    shares = allocate(total, weights)

    assert sum(shares) == total
    assert all(
        abs(share * sum(weights) - total * weight) < sum(weights)
        for share, weight in zip(shares, weights, strict=True)
    )


def test_nothing_can_be_shared_among_nobody() -> None:
    assert allocate(0, [0, 0]) == [0, 0]
    with pytest.raises(BadAmount):
        allocate(1, [0, 0])
