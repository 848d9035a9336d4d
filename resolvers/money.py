"""Money and refusals in the words of a locale."""

from copy import copy
from decimal import Decimal
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError

from core.errors import Rejected
from core.money import Money, exponent_of

_TAG_LENGTH_MAX: Final = 35


class UnknownLocale(Rejected):
    """The locale is not one CLDR knows."""

    code = "UNKNOWN_LOCALE"


@lru_cache(maxsize=512)
def _locale(tag: str) -> Locale:
    """Raises: UnknownLocale."""
    try:
        return Locale.parse(tag.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        raise UnknownLocale(locale=tag[:_TAG_LENGTH_MAX]) from None


def formatted(money: Money, locale: str) -> str:
    """The amount as people of a locale write it, with all digits of the currency.

    Raises: UnknownLocale.
    """
    if len(locale) > _TAG_LENGTH_MAX:
        raise UnknownLocale(locale=locale[:_TAG_LENGTH_MAX])
    return _format(money.decimal, money.currency, locale)


@lru_cache(maxsize=4096)
def _format(decimal: str, currency: str, tag: str) -> str:
    locale = _locale(tag)
    pattern = copy(locale.currency_formats["standard"])
    # CLDR shows some currencies with fewer digits than they are booked with; none may be lost.
    digits = exponent_of(currency)
    pattern.frac_prec = (digits, digits)
    text: str = pattern.apply(Decimal(decimal), locale, currency=currency, currency_digits=False)
    return text


_MESSAGES: Final = {
    "en": {
        "HARD": "Your payment was declined. Please use another payment method.",
        "SOFT": "Your payment was declined. Please try again later or use another method.",
        "INSUFFICIENT_FUNDS": "Your account does not hold enough money for this payment.",
        "SCA_REQUIRED": "Your bank asks you to confirm this payment. Please try again.",
        "FRAUD": "Your payment was declined. Please use another payment method.",
        "INVALID_METHOD": "These payment details are not valid. Please check them.",
        "LIMIT": "This payment exceeds a limit of your card or account.",
        "CONFIG": "This payment method cannot be used here. Please use another one.",
        "OTHER": "Your payment was declined. Please use another payment method.",
    },
    "de": {
        "HARD": "Ihre Zahlung wurde abgelehnt. Bitte nehmen Sie ein anderes Zahlungsmittel.",
        "SOFT": "Ihre Zahlung wurde abgelehnt. Bitte versuchen Sie es später noch einmal.",
        "INSUFFICIENT_FUNDS": "Ihr Konto ist für diese Zahlung nicht ausreichend gedeckt.",
        "SCA_REQUIRED": "Ihre Bank verlangt eine Bestätigung. Bitte versuchen Sie es noch einmal.",
        "FRAUD": "Ihre Zahlung wurde abgelehnt. Bitte nehmen Sie ein anderes Zahlungsmittel.",
        "INVALID_METHOD": "Diese Zahlungsdaten sind ungültig. Bitte prüfen Sie sie.",
        "LIMIT": "Diese Zahlung überschreitet ein Limit Ihrer Karte oder Ihres Kontos.",
        "CONFIG": "Dieses Zahlungsmittel ist hier nicht nutzbar. Bitte nehmen Sie ein anderes.",
        "OTHER": "Ihre Zahlung wurde abgelehnt. Bitte nehmen Sie ein anderes Zahlungsmittel.",
    },
    "fr": {
        "HARD": "Votre paiement a été refusé. Veuillez utiliser un autre moyen de paiement.",
        "SOFT": "Votre paiement a été refusé. Veuillez réessayer plus tard.",
        "INSUFFICIENT_FUNDS": "Le solde de votre compte est insuffisant pour ce paiement.",
        "SCA_REQUIRED": "Votre banque demande une confirmation. Veuillez réessayer.",
        "FRAUD": "Votre paiement a été refusé. Veuillez utiliser un autre moyen de paiement.",
        "INVALID_METHOD": "Ces données de paiement ne sont pas valides. Veuillez les vérifier.",
        "LIMIT": "Ce paiement dépasse une limite de votre carte ou de votre compte.",
        "CONFIG": "Ce moyen de paiement n'est pas utilisable ici. Veuillez en choisir un autre.",
        "OTHER": "Votre paiement a été refusé. Veuillez utiliser un autre moyen de paiement.",
    },
}
"""What a shopper may be told. Suspected fraud is never named: it reads like a plain refusal."""


def customer_message(kind: str, locale: str) -> str:
    """Why a payment was refused, for the shopper; English for a language that is not here.

    Raises: UnknownLocale.
    """
    if len(locale) > _TAG_LENGTH_MAX:
        raise UnknownLocale(locale=locale[:_TAG_LENGTH_MAX])
    messages = _MESSAGES.get(_locale(locale).language, _MESSAGES["en"])
    return messages[kind]
