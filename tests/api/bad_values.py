"""What clients get wrong: a table of values for each kind of input, and of whole bodies.

`EACH` value must be refused wherever its kind of input stands, whatever the mutation.
"""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from core.identifiers import encode, new_id

INT64_MAX: Final = 2**63 - 1


def money(**fields: Any) -> dict[str, Any]:
    return {"currency": "EUR", **fields}


AMOUNTS: Final[Mapping[str, Any]] = {
    "zero": money(amountMinor="0"),
    "zero as an integer": money(amountMinor=0),
    "zero as a decimal": money(decimal="0.00"),
    "minus zero": money(amountMinor="-0"),
    "minus zero as a decimal": money(decimal="-0.00"),
    "negative": money(amountMinor="-1"),
    "negative integer": money(amountMinor=-1000),
    "negative decimal": money(decimal="-10.00"),
    "one above 64 bits": money(amountMinor=str(INT64_MAX + 1)),
    "one above 64 bits as an integer": money(amountMinor=INT64_MAX + 1),
    "lowest of 64 bits": money(amountMinor=str(-(2**63))),
    "unsigned 64 bits": money(amountMinor=str(2**64 - 1)),
    "forty digits": money(amountMinor="9" * 40),
    "decimal beyond 64 bits": money(decimal="99999999999999999999.00"),
    "decimal that overflows in minor units": money(decimal="9223372036854775807.00"),
    "float": money(amountMinor=10.5),
    "whole float": money(amountMinor=1000.0),
    "float as a decimal": money(decimal=10.5),
    "integer as a decimal": money(decimal=10),
    "exponent": money(amountMinor="1e3"),
    "exponent as a decimal": money(decimal="1e3"),
    "grouped": money(amountMinor="1_000"),
    "grouped decimal": money(decimal="1_000.00"),
    "thousands comma": money(decimal="1,000.00"),
    "decimal comma": money(decimal="10,50"),
    "true": money(amountMinor=True),
    "true as a decimal": money(decimal=True),
    "empty": money(amountMinor=""),
    "empty decimal": money(decimal=""),
    "space": money(amountMinor=" 1000"),
    "line end": money(amountMinor="1000\n"),
    "line end as a decimal": money(decimal="10.00\n"),
    "plus sign": money(amountMinor="+1000"),
    "leading zero": money(amountMinor="01000"),
    "hexadecimal": money(amountMinor="0x3e8"),
    "Arabic digits": money(amountMinor="١٠٠٠"),  # noqa: RUF001 - the point
    "full-width digits": money(decimal="１０.００"),  # noqa: RUF001 - the point
    "superscript": money(amountMinor="1000²"),
    "infinity": money(decimal="Infinity"),
    "not a number": money(decimal="NaN"),
    "dot without a fraction": money(decimal="10."),
    "dot without a whole": money(decimal=".50"),
    "two dots": money(decimal="10.5.0"),
    "list": money(amountMinor=["1000", "2000"]),
    "object": money(amountMinor={"$gt": 0}),
    "neither": money(),
    "both": money(amountMinor="1000", decimal="10.00"),
    "both null": money(amountMinor=None, decimal=None),
    "EUR with three digits": money(decimal="10.005"),
    "JPY with a fraction": {"decimal": "10.5", "currency": "JPY"},
    "JPY with a zero fraction": {"decimal": "10.0", "currency": "JPY"},
    "KWD with four digits": {"decimal": "10.0001", "currency": "KWD"},
    "seven digits": money(decimal="10.0000001"),
    "no currency": {"amountMinor": "1000"},
    "null currency": {"amountMinor": "1000", "currency": None},
    "unknown currency": {"amountMinor": "1000", "currency": "ZZZ"},
    "test currency": {"amountMinor": "1000", "currency": "XTS"},
    "no currency code": {"amountMinor": "1000", "currency": "XXX"},
    "small letters": {"amountMinor": "1000", "currency": "eur"},
    "padded code": {"amountMinor": "1000", "currency": "EUR "},
    "long code": {"amountMinor": "1000", "currency": "EURO"},
    "numeric code": {"amountMinor": "1000", "currency": "978"},
    "number as a code": {"amountMinor": "1000", "currency": 978},
    "Cyrillic look-alike": {"amountMinor": "1000", "currency": "ЕUR"},  # noqa: RUF001 - the point
    "list of codes": {"amountMinor": "1000", "currency": ["EUR", "USD"]},
    "unknown field": money(amountMinor="1000", value="1000"),
    "string": "10.00 EUR",
    "number": 1000,
    "list of amounts": [money(amountMinor="1000"), money(amountMinor="1000")],
}
"""Amounts nobody may send, wherever an amount is asked for."""

TEXTS: Final[Mapping[str, Any]] = {
    "empty": "",
    "far too long": "x" * 5_000,
    "NUL": "order\x00drop",
    "lone surrogate": "order\ud800",
    "other lone surrogate": "\udfff",
    "card number": "4242424242424242",
    "card number with spaces": "paid by 4242 4242 4242 4242 today",
    "card number with dashes": "378282-246310-005",
    "number": 7,
    "true": True,
    "list of two": ["a", "b"],
    "object": {"a": "b"},
}
"""Texts no string field may take."""

KEYS: Final[Mapping[str, Any]] = {
    **TEXTS,
    "null": None,
    "seven characters": "1234567",
    "256 characters": "k" * 256,
    "space": "key with space",
    "line end": "key-key-key\n",
    "not ASCII": "schlüssel-schlüssel",
    "emoji": "🔑🔑🔑🔑🔑🔑🔑🔑",
    "DEL": "key-key-key\x7f",
}

ENUMS: Final[Mapping[str, Any]] = {
    "unknown member": "WHENEVER",
    "small letters": "automatic",
    "empty": "",
    "number": 1,
    "true": True,
    "null": None,
    "object": {},
    "Python's name": "__class__",
}

BOOLEANS: Final[Mapping[str, Any]] = {
    "text": "true",
    "number": 1,
    "zero": 0,
    "list of two": [True, False],
    "object": {},
}

INTEGERS: Final[Mapping[str, Any]] = {
    "zero": 0,
    "negative": -1,
    "one above 31 bits": 2**31,
    "one above 63 bits": 2**63,
    "text": "1",
    "float": 1.5,
    "true": True,
    "list of two": [1, 2],
    "object": {},
}

URLS: Final[Mapping[str, Any]] = {
    "not absolute": "/thanks",
    "script": "javascript:alert(1)",
    "file": "file:///etc/passwd",
    "no host": "https://",
    "bad port": "https://shop.example:99999999/",
    "spaces": "https://shop.example/a b",
    "line end": "https://shop.example/\n",
    "too long": "https://shop.example/" + "x" * 2048,
    "card number": "https://shop.example/?card=4242424242424242",
    "number": 7,
}


CURRENCIES: Final[Mapping[str, Any]] = {
    name: amount["currency"]
    for name, amount in AMOUNTS.items()
    if isinstance(amount, dict) and amount.get("currency", "EUR") not in ["EUR", "JPY", "KWD"]
}


def ids(prefix: str) -> dict[str, Any]:
    """Ids that name nothing of this kind."""
    bare = new_id()
    others = {"pay", "ref", "acc", "prv", "key", "ten", "txn", "whk"} - {prefix}
    return {
        **{f"of {other}": encode(other, bare) for other in sorted(others)},
        "empty": "",
        "only the prefix": prefix,
        "no suffix": f"{prefix}_",
        "bare": str(bare),
        "no prefix": encode(prefix, bare).partition("_")[2],
        "upper case": encode(prefix, bare).upper(),
        "padded": f" {encode(prefix, bare)}",
        "line end": f"{encode(prefix, bare)}\n",
        "one character short": encode(prefix, bare)[:-1],
        "one character long": f"{encode(prefix, bare)}0",
        "letters outside the alphabet": f"{prefix}_{'u' * 26}",
        "overflow": f"{prefix}_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "path": "../../etc/passwd",
        "SQL": f"{prefix}_' OR tenant_id > 0 --",
        "NUL": f"{prefix}_\x00",
        "lone surrogate": f"{prefix}_\ud800",
        "card number": "4242424242424242",
        "long": f"{prefix}_" + "0" * 10_000,
        "float": 1.5,
        "true": True,
        "object": {"id": 1},
        "list of two": [encode(prefix, bare), encode(prefix, bare)],
    }


def lists(member: Any, length_max: int) -> dict[str, Any]:
    """What is wrong with a whole list; `member` would be right."""
    return {
        "too many": [member] * (length_max + 1),
        "null inside": [member, None],
        "list inside": [[member], [member]],
        "text": "one",
        "number": 1,
        "object of numbers": {"0": 1},
    }


def bodies(document: str, input: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Whole bodies that are wrong, around a mutation that would be right."""
    whole = {"query": document, "variables": {"input": input}}
    yield from _broken_bytes(document, json.dumps(whole))
    for name, body in _wrong_members(document, whole, input):
        yield name, json.dumps(body).encode()


def _broken_bytes(document: str, text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    field = b'"variables": {'
    yield from {
        "nothing": b"",
        "white space": b" \n\t",
        "null": b"null",
        "true": b"true",
        "number": b"1",
        "text": json.dumps(text).encode(),
        "list": f"[{text}]".encode(),
        "batch": f"[{text},{text}]".encode(),
        "cut short": raw[:-1],
        "cut in the middle": raw[: len(raw) // 2],
        "something after it": raw + b"}",
        "twice": raw + raw,
        "byte order mark": b"\xef\xbb\xbf" + raw,
        "UTF-16": text.encode("utf-16"),
        "Latin-1": raw.replace(field, b'"variables": {"a": "\xe4", '),
        "overlong UTF-8": raw.replace(field, b'"variables": {"a": "\xc0\xaf", '),
        "surrogate in UTF-8": raw.replace(field, b'"variables": {"a": "\xed\xa0\x80", '),
        "NUL byte": raw.replace(b"idempotencyKey", b"idempotency\x00Key"),
        "escaped NUL in a name": raw.replace(field, b'"variables": {"\\u0000": 1, '),
        "escaped lone surrogate": raw.replace(field, b'"variables": {"a": "\\ud800", '),
        "single quotes": raw.replace(b'"', b"'"),
        "comment": raw.replace(field, b'"variables": {/* hi */ '),
        "NaN": raw.replace(field, b'"variables": {"a": NaN, '),
        "infinity": raw.replace(field, b'"variables": {"a": Infinity, '),
        "integer of 10 000 digits": raw.replace(
            field, b'"variables": {"a": ' + b"9" * 10_000 + b", "
        ),
        "nested 200 deep": raw.replace(
            field, b'"variables": {"a": ' + b"[" * 200 + b"]" * 200 + b", "
        ),
        "nested 50 000 deep": raw.replace(
            field, b'"variables": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b", "
        ),
        "unclosed 100 000 deep": b"[" * 100_000,
        "100 000 values": raw.replace(field, b'"variables": {"a": [' + b"1," * 100_000 + b"1], "),
        "more than the limit": raw.replace(
            field, b'"variables": {"a": "' + b"x" * 300_000 + b'", '
        ),
        "form": b"query=" + document.encode(),
        "GraphQL text": document.encode(),
        "gzip": b"\x1f\x8b\x08\x00" + raw,
    }.items()


def _wrong_members(
    document: str, whole: dict[str, Any], input: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    changed: dict[str, dict[str, Any]] = {
        "no query": {"variables": whole["variables"]},
        "query is null": {**whole, "query": None},
        "query is a list": {**whole, "query": [document]},
        "query is empty": {**whole, "query": ""},
        "query is cut short": {**whole, "query": document[:-3]},
        "query with NUL": {**whole, "query": f"{document}\x00"},
        "unknown field": {**whole, "query": document.replace("__typename", "__typename boom")},
        "another operation": {**whole, "operationName": "Other"},
        "operation name is a number": {**whole, "operationName": 5},
        "the mutation twice": {**whole, "query": twice(document)},
        "as a query": {**whole, "query": document.replace("mutation M", "query M", 1)},
        "as a subscription": {**whole, "query": document.replace("mutation M", "subscription M")},
        "variables are a list": {**whole, "variables": [whole["variables"]]},
        "variables are text": {**whole, "variables": json.dumps(whole["variables"])},
        "no variables": {"query": document},
        "input is null": {**whole, "variables": {"input": None}},
        "input is empty": {**whole, "variables": {"input": {}}},
        "input is text": {**whole, "variables": {"input": "x"}},
        "input is a list of two": {**whole, "variables": {"input": [input, input]}},
        "input has an unknown field": {**whole, "variables": {"input": {**input, "admin": 1}}},
        "input has another spelling": {
            **whole,
            "variables": {"input": {**input, "idempotency_key": "key-key-key"}},
        },
        "extensions are a list": {**whole, "extensions": []},
    }
    yield from changed.items()


def twice(document: str) -> str:
    """The same root field once more under another name."""
    opening = document.index("{")
    selection = document[opening + 1 : document.rindex("}")]
    return f"{document[: opening + 1]} {selection} again: {selection} }}"


def card_numbers(count: int, seed: int = 1) -> list[str]:
    """Test card numbers of many issuers and lengths, with right check digits."""
    rng = random.Random(seed)
    kinds = [
        ("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16),
        ("34", 15), ("37", 15), ("6011", 16), ("65", 16), ("3528", 16), ("3589", 16),
        ("36", 14), ("300", 14), ("62", 16), ("62", 19), ("6304", 18), ("6759", 16), ("2200", 16),
    ]  # fmt: skip
    found = []
    for index in range(count):
        prefix, length = kinds[index % len(kinds)]
        body = prefix + "".join(str(rng.randrange(10)) for _ in range(length - len(prefix) - 1))
        found.append(body + _check_digit(body))
    return found


def _check_digit(body: str) -> str:
    """Source: ISO/IEC 7812-1 annex B, written anew so that it can disagree with the product."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)
