import io
import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import structlog

from core.card_numbers import contains_card_number, mask_card_numbers
from core.identifiers import encode, new_id
from core.telemetry import (
    accept_correlation_id,
    configure_logging,
    correlation,
    correlation_id,
    new_registry,
    redact,
    write_metrics,
)

CARDS = [
    "4242424242424242",
    "4000000000000002",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "3566002020360505",
    "30569309025904",
    "6200000000000005",
    "6759649826438453",
]
SECRETS = [
    "cf_test_b2FzZGZhc2RmYXNkZmFzZGY",
    "cf_live_0123456789abcdefABCDEF_-",
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "pay_01k7s2mv3ve9tb3sbp6r6ss3fr_secret_abcdefghijklmnop",
    "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc",
    "postgresql://someone:hunter2hunter2@db/counterfoil",
]


@contextmanager
def logged(format: Literal["console", "json"]) -> Iterator[io.StringIO]:
    """What is logged meanwhile, in the way of the product; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level, configured = list(root.handlers), root.level, structlog.get_config()
    stream = io.StringIO()
    configure_logging(format, "info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    with logged("json") as stream:
        yield stream


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("separator", ["", " ", "-"])
def test_card_numbers_are_masked_wherever_they_stand(card: str, separator: str) -> None:
    written = separator.join(card[index : index + 4] for index in range(0, len(card), 4))

    assert mask_card_numbers(f"paid with {written}, thanks") == "paid with [card], thanks"
    assert contains_card_number(f"x{written}x")


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # wrong check digit
        "1700000000000",  # a time in milliseconds
        "9223372036854775807",  # the largest amount
        "12345678-4242-4242-4242-424242424242",  # a UUID
        "42424242424242424242",  # longer than any card number
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert mask_card_numbers(text) == text


def test_our_own_ids_are_hardly_ever_taken_for_card_numbers() -> None:
    ids = [new_id() for _ in range(5_000)]

    assert not any(contains_card_number(str(id)) for id in ids)
    assert not any(contains_card_number(encode("pay", id)) for id in ids)
    assert sum(contains_card_number(id.hex) for id in ids) <= 50


def test_a_random_run_of_digits_is_rarely_taken_for_a_card_number() -> None:
    digits = random.Random(7)
    numbers = [str(digits.randrange(10**15, 10**16)) for _ in range(5_000)]

    assert sum(map(contains_card_number, numbers)) < 250


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked_in_text_keys_lists_and_bytes(secret: str) -> None:
    bare = secret.removeprefix("Bearer ")
    value = {"note": f"got {secret} there", "list": [secret, {secret: 1}], "raw": secret.encode()}

    masked = json.dumps(redact(value))

    assert bare not in masked
    assert "hunter2" not in masked
    assert "[redacted]" in masked


@pytest.mark.parametrize(
    "name", ["Authorization", "password", "client_secret", "api-key", "cvc", "Set-Cookie", "token"]
)
def test_a_field_with_a_secret_name_is_masked_whatever_it_holds(name: str) -> None:
    assert redact({name: "anything"}) == {name: "[redacted]"}


def test_redaction_never_fails_and_never_loops() -> None:
    class Nasty:
        def __str__(self) -> str:
            raise RuntimeError

    endless: dict[str, object] = {}
    endless["self"] = endless

    assert redact(Nasty()) == "<Nasty>"
    assert "[too deep]" in json.dumps(redact(endless))


def test_each_line_carries_the_correlation_id_and_no_secret(lines: io.StringIO) -> None:
    log = structlog.get_logger("test")
    with correlation("order-12345678"):
        log.info("charged", card=CARDS[0], headers={"authorization": "Basic abc"})
        log.error("failed", exc_info=ValueError("refused " + SECRETS[2]))
        logging.getLogger("some.library").warning("calling with %s", SECRETS[0])

    parsed = [json.loads(line) for line in lines.getvalue().splitlines()]

    assert [line["event"] for line in parsed] == ["charged", "failed", "calling with [redacted]"]
    assert {line["correlation_id"] for line in parsed} == {"order-12345678"}
    assert parsed[0]["card"] == "[card]"
    assert parsed[0]["headers"] == {"authorization": "[redacted]"}
    assert "ValueError: refused [redacted]" in parsed[1]["exception"]
    assert not any(secret in lines.getvalue() for secret in SECRETS)


def test_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger("test").debug("detail")

    assert lines.getvalue() == ""


def test_console_lines_are_redacted_too() -> None:
    with logged("console") as stream:
        structlog.get_logger("test").info("charged", card=CARDS[0], key=SECRETS[0])

    assert "[card]" in stream.getvalue()
    assert SECRETS[0] not in stream.getvalue()


def test_a_well_formed_correlation_id_is_kept() -> None:
    assert accept_correlation_id("order-2026:17.a_b", None) == "order-2026:17.a_b"


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_without_a_header_the_trace_id_is_taken() -> None:
    assert accept_correlation_id(None, f"00-{TRACE}-00f067aa0ba902b7-01") == TRACE


@pytest.mark.parametrize(
    "header",
    ["", "short", "x" * 129, "with space in it", "line\nbreak-12345", "ümlaut-ümlaut", CARDS[0]],
)
def test_a_malformed_correlation_id_is_replaced(header: str) -> None:
    assert accept_correlation_id(header, None) != header


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
    ],
)
def test_an_invalid_trace_is_not_used(traceparent: str) -> None:
    assert accept_correlation_id(None, traceparent).lower() not in {TRACE, "0" * 32}


def test_one_flow_of_work_keeps_one_correlation_id() -> None:
    with correlation():
        first = correlation_id()
        with correlation("inner-12345678"):
            assert correlation_id() == "inner-12345678"
        assert correlation_id() == first


def test_registries_do_not_share_metrics() -> None:
    assert b"python_info" in write_metrics(new_registry())
    assert b"python_info" in write_metrics(new_registry())
