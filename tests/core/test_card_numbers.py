"""What is taken for a card number, and what is not."""

import time

import pytest

from core.card_numbers import contains_card_number, mask_card_numbers
from core.identifiers import PREFIXES, encode, new_id

PUBLISHED_TEST_NUMBERS = [
    "4242424242424242",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "3056930009020004",
    "36227206271667",
    "30569309025904",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
]


@pytest.mark.parametrize("number", PUBLISHED_TEST_NUMBERS)
@pytest.mark.parametrize(
    "around",
    ["{}", "card {} please", "pan={}", "2024 {}", "{} 12/29 123", "x{}y", "\t{}\n", "{}."],
)
def test_a_card_number_is_found_whatever_stands_around_it(number: str, around: str) -> None:
    assert contains_card_number(around.format(number))


@pytest.mark.parametrize("separator", [" ", "-", "  ", " - ", "\u2011", "\u2013", "\u00a0", "\n"])
def test_separators_do_not_hide_a_card_number(separator: str) -> None:
    assert contains_card_number(separator.join(["4242", "4242", "4242", "4242"]))


def test_digits_of_other_scripts_do_not_hide_a_card_number() -> None:
    fullwidth = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))
    arabic = str.maketrans("0123456789", "".join(chr(0x0660 + digit) for digit in range(10)))

    assert contains_card_number("4242424242424242".translate(fullwidth))
    assert contains_card_number("4242424242424242".translate(arabic))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order 4711",
        "4242424242424241",  # wrong check digit
        "9999999999999995",  # no such issuer
        "378282246310005".replace("3782", "3982"),
        "424242424242",  # twelve digits
        "42424242424242424242",  # twenty
        "1716239022123",  # milliseconds since 1970
        "2026-03-01T10:00:00.123456Z",
        "+49 30 1234567890",
        "4242 words 4242 between 4242 the 4242 groups",
        "tok_success",
    ],
)
def test_other_text_is_not_taken_for_a_card_number(text: str) -> None:
    assert not contains_card_number(text)


def test_our_ids_and_uuids_are_not_looked_into() -> None:
    ids = [encode(prefix, new_id()) for prefix in PREFIXES for _ in range(20)]
    assert not any(map(contains_card_number, ids))
    assert not contains_card_number("42424242-4242-4242-8242-424242424242")
    assert not contains_card_number("00004242424242424242abcdefabcdef")


def test_a_card_number_beside_a_uuid_is_found() -> None:
    assert contains_card_number("42424242-4242-4242-8242-424242424242 4242424242424242")


def test_masking_leaves_the_rest_of_the_text() -> None:
    text = "a 4242 4242 4242 4242 b 378282246310005 c"

    assert mask_card_numbers(text) == "a [card] b [card] c"


def test_a_long_text_is_searched_in_linear_time() -> None:
    text = "4 2 3 " * 20_000

    begun = time.process_time()
    contains_card_number(text)

    assert time.process_time() - begun < 2
