"""Recognise card numbers (PAN), so that they are neither stored nor logged.

A run of 13 to 19 digits, single spaces or dashes between them allowed, counts as a card number when
an issuer really uses its prefix and length and its check digit is right. UUIDs are skipped.
Source: ISO/IEC 7812-1 (Luhn); published issuer ranges of the card schemes.
"""

import re
from typing import Final

_CANDIDATE = re.compile(
    r"(?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
    r"|(?<![0-9])(?P<digits>[0-9](?:[ -]?[0-9]){12,18})(?![0-9])"
)
_ISSUERS: Final = (
    # (first prefix, last prefix, lengths)
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("300", "305", (14, 16, 19)),  # Diners Club
    ("36", "36", (14, 16, 19)),
    ("38", "39", (14, 16, 19)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "82", (16,)),  # RuPay
    ("2200", "2204", (16, 17, 18, 19)),  # Mir
    ("5018", "5018", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("5020", "5020", (13, 14, 15, 16, 17, 18, 19)),
    ("5038", "5038", (13, 14, 15, 16, 17, 18, 19)),
    ("5893", "5893", (13, 14, 15, 16, 17, 18, 19)),
    ("6304", "6304", (13, 14, 15, 16, 17, 18, 19)),
    ("6759", "6763", (13, 14, 15, 16, 17, 18, 19)),
)


def contains_card_number(text: str) -> bool:
    """Whether a card number stands somewhere in the text."""
    return any(_is_card_number(match) for match in _CANDIDATE.finditer(text))


def mask_card_numbers(text: str) -> str:
    """The text with every card number replaced by [card]."""
    return _CANDIDATE.sub(lambda match: "[card]" if _is_card_number(match) else match.group(), text)


def _is_card_number(match: re.Match[str]) -> bool:
    if match["uuid"]:
        return False
    digits = match["digits"].replace(" ", "").replace("-", "")
    return _has_issuer(digits) and _luhn(digits)


def _has_issuer(digits: str) -> bool:
    return any(
        first <= digits[: len(first)] <= last and len(digits) in lengths
        for first, last, lengths in _ISSUERS
    )


def _luhn(digits: str) -> bool:
    ones = sum(map(int, digits[-1::-2]))
    twos = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (ones + twos) % 10 == 0
