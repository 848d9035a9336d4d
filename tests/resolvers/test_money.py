"""Amounts and refusals in the words of a locale."""

import pytest

from core.currencies import EXPONENTS
from core.money import MINOR_UNITS_MAX, Money
from resolvers.money import UnknownLocale, customer_message, formatted
from schema.enums import DeclineKind


@pytest.mark.parametrize(
    ("money", "locale", "expected"),
    [
        (Money(123456, "USD"), "en-US", "$1,234.56"),
        (Money(123456, "EUR"), "de-DE", "1.234,56\xa0€"),
        (Money(123456, "CHF"), "de-CH", "CHF\xa01\u2019234.56"),
        (Money(1234, "JPY"), "en-US", "¥1,234"),
        (Money(1, "KWD"), "en-US", "KWD\xa00.001".replace("\xa0", "")),
        (Money(-5, "USD"), "en-US", "-$0.05"),
        (Money(123456, "EUR"), "de_DE", "1.234,56\xa0€"),
        (Money(MINOR_UNITS_MAX, "EUR"), "en-US", "€92,233,720,368,547,758.07"),
    ],
)
def test_an_amount_is_written_as_people_of_the_locale_do(
    money: Money, locale: str, expected: str
) -> None:
    assert formatted(money, locale).replace("KWD\xa0", "KWD") == expected


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
def test_no_digit_of_any_currency_is_lost(currency: str) -> None:
    money = Money(123456789, currency)

    digits = "".join(filter(str.isascii, filter(str.isdigit, formatted(money, "en-US"))))

    assert digits == "123456789"


@pytest.mark.parametrize(
    "locale",
    ["", "x", "xx-YY-zz", "../../etc/passwd", "en-US-" + "x" * 50, "☃", "\x00", "e n", "C"],
)
def test_an_unknown_locale_is_refused(locale: str) -> None:
    with pytest.raises(UnknownLocale):
        formatted(Money(1, "EUR"), locale)
    with pytest.raises(UnknownLocale):
        customer_message("HARD", locale)


@pytest.mark.parametrize("kind", [kind.name for kind in DeclineKind])
def test_every_refusal_has_words_for_the_shopper(kind: str) -> None:
    for locale in ("en", "de-AT", "fr", "ja"):
        assert customer_message(kind, locale)
    assert customer_message(kind, "ja") == customer_message(kind, "en")


def test_suspected_fraud_reads_like_any_refusal() -> None:
    for locale in ("en", "de", "fr"):
        assert customer_message("FRAUD", locale) == customer_message("HARD", locale)
