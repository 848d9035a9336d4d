"""Recognise card numbers (PAN), so that they are neither taken in, stored nor logged.

A card number is 13 to 19 digits, whole groups of them with spaces or dashes between, that begin
like a card of an issuer which uses that length, and whose check digit is right. What stands before
or after it in the same text does not hide it. Our own ids and UUIDs are not looked into.
Sources: ISO/IEC 7812-1 annex B (Luhn); published issuer ranges of the card schemes.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from core.identifiers import PREFIXES

_LENGTH_MIN: Final = 13
_LENGTH_MAX: Final = 19
_PREFIX_LENGTH_MAX: Final = 4

_ENOUGH_DIGITS = re.compile(rf"(?:\d\D*){{{_LENGTH_MIN}}}")
_EXEMPT: Final = rf"""(?<![0-9A-Za-z]) (?:
    (?:{"|".join(PREFIXES)})_[0-7][0-9a-hjkmnp-tv-z]{{25}}
  | [0-9a-fA-F]{{8}}-(?:[0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}
  | [0-9a-fA-F]{{32}}
) (?![0-9A-Za-z])"""
_RUN = re.compile(
    rf"{_EXEMPT} | (?P<digits> \d+ (?:[\s\-\u00ad\u2010-\u2015\u2212\uff0d]{{1,3}}\d+)*)",
    re.VERBOSE,
)
_GROUP = re.compile(r"\d+")

_ISSUERS: Final = (
    # (first prefix, last prefix, lengths)
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 17, 18, 19)),  # Discover
    ("644", "659", (16, 17, 18, 19)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("300", "305", (14, 16, 19)),  # Diners Club
    ("309", "309", (14, 16, 19)),
    ("36", "36", (14, 16, 19)),
    ("38", "39", (14, 16, 19)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "82", (16, 17, 18, 19)),  # UnionPay, RuPay
    ("508", "508", (16,)),  # RuPay
    ("2200", "2204", (16, 17, 18, 19)),  # Mir
    ("5018", "5018", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("5020", "5020", (13, 14, 15, 16, 17, 18, 19)),
    ("5038", "5038", (13, 14, 15, 16, 17, 18, 19)),
    ("5612", "5612", (13, 14, 15, 16, 17, 18, 19)),
    ("5893", "5893", (13, 14, 15, 16, 17, 18, 19)),
    ("6304", "6304", (13, 14, 15, 16, 17, 18, 19)),
    ("6759", "6763", (13, 14, 15, 16, 17, 18, 19)),
)


def contains_card_number(text: str) -> bool:
    """Whether a card number stands somewhere in the text."""
    return next(_card_numbers(text), None) is not None


def mask_card_numbers(text: str) -> str:
    """The text with every card number replaced by [card]."""
    masked, end = [], 0
    for start, stop in _card_numbers(text):
        if start >= end:
            masked += [text[end:start], "[card]"]
            end = stop
    return "".join([*masked, text[end:]])


def _card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where card numbers begin and end, in the order of their beginnings."""
    if _ENOUGH_DIGITS.search(text) is None:
        return
    for run in _RUN.finditer(text):
        if run["digits"] is None:
            continue
        groups = [
            (group.start(), group.end(), _in_ascii(group[0]))
            for group in _GROUP.finditer(text, run.start(), run.end())
        ]
        for index in range(len(groups)):
            end = _end_of_card_number(groups[index : index + _LENGTH_MAX])
            if end is not None:
                yield groups[index][0], end


def _in_ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def _end_of_card_number(groups: Sequence[tuple[int, int, str]]) -> int | None:
    """Where a card number ends that begins with the first of these groups."""
    digits = ""
    lengths: frozenset[int] | None = None
    for _, end, group in groups:
        digits += group
        if len(digits) > _LENGTH_MAX:
            return None
        if lengths is None and len(digits) >= _PREFIX_LENGTH_MAX:
            lengths = _lengths_in_use(digits[:_PREFIX_LENGTH_MAX])
            if not lengths:
                return None
        if lengths is not None and len(digits) in lengths and _luhn(digits):
            return end
    return None


@functools.lru_cache(maxsize=10_000)
def _lengths_in_use(prefix: str) -> frozenset[int]:
    return frozenset(
        length
        for first, last, lengths in _ISSUERS
        if first <= prefix[: len(first)] <= last
        for length in lengths
    )


def _luhn(digits: str) -> bool:
    ones = sum(map(int, digits[-1::-2]))
    twos = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (ones + twos) % 10 == 0
