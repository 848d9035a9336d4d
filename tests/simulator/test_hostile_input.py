"""Hostile input: typed 4xx, never 5xx, and nothing moves."""

import json
import random
from typing import Any

import httpx
import pytest

from simulator import control
from tests.simulator.process import SimulatorProcess

GOOD: dict[str, Any] = {
    "amount": 1000,
    "currency": "EUR",
    "token": "tok_success",
    "reference": "op_1",
}
BAD_VALUES: dict[str, list[object]] = {
    "amount": [
        *(0, -1, True, False, 1.0, 10.5, 1e3, "1000", None, [], {}, [1000], 2**63, 2**64),
        *(-(2**63), 10**30, 1_000_000_000_000, "1e3", "", float("1e300")),
    ],
    "currency": ["", "eur", "EU", "EURO", "XXX", "€", None, 978, ["EUR"], "EU\0", "XBT"],
    "token": [
        *("", "tok_", "bound_", "tok_nope", "success", "TOK_SUCCESS", None, 1, "x" * 256),
        *("4111111111111111", "tok_success\0", "tok_tok_success"),
    ],
    "reference": ["", None, 5, "x" * 256, "a\nb", "a\0b", {}, ["op_1"]],
    "capture": [0, 1, "true", []],
    "return_url": [
        *("javascript:alert(1)", "//shop", "ftp://shop", "http://", "https://a b", "", 5),
        *("https://shop/\r\nX: y", "https://u:p@shop/", "https://shop;script-src *", "http://[x"),
    ],
    "metadata": [
        *([], "x", {"a": 1}, {"a": "x" * 501}, {"a": None}),
        {str(number): "" for number in range(51)},
    ],
    "surprise": [1],
    "amount ": [1000],
}
BAD_FIELDS = [(field, value) for field, values in BAD_VALUES.items() for value in values]
BAD_BODIES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"{}",
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"a":' * 10_000,
    b'{"amount": NaN}',
    b'{"amount": Infinity}',
    b'{"amount": 1' + b"0" * 5000 + b"}",
    b'{"reference": "\\ud800"}',
    b'{"reference": "\xed\xa0\x80"}',
    b"a=1&b=2",
    b"x" * 70_000,
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS, ids=lambda value: repr(value)[:40])
def test_a_bad_field_is_refused_by_name_and_moves_nothing(
    simulator: SimulatorProcess, field: str, value: object
) -> None:
    merchant = simulator.merchant()

    answer = merchant.post("/v1/payments", "key", **{**GOOD, field: value})

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["parameter"].split(".")[0] == field
    assert merchant.effects() == []


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body)[:40])
def test_a_malformed_body_is_refused_everywhere(simulator: SimulatorProcess, body: bytes) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=False).json()["id"]
    headers = {**merchant.headers("key"), "Content-Type": "application/json"}
    merchant_paths = (
        "/v1/payments",
        f"/v1/payments/{payment}/captures",
        f"/v1/payments/{payment}/void",
        "/v1/refunds",
    )
    test_paths = [path for method, path, _ in control.ROUTES if method == "POST"]

    for path in (*merchant_paths, *test_paths):
        answer = simulator.client.post(path, content=body, headers=headers)
        harmless = body in {b"", b"{}"} and path in {"/_config", "/_webhooks", "/_faults"}
        assert answer.status_code < 500, (path, answer.text)
        if path in merchant_paths:
            assert answer.status_code in {400, 413}
        elif not harmless:
            assert answer.status_code < 300 or answer.json()["error"]["code"], path
    assert merchant.kinds() == [("authorization", 1000)]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic c2s6", "bearer \xff", "Bearer " + "x" * 5000],
)
def test_without_the_right_key_nothing_is_told(
    simulator: SimulatorProcess, authorization: str
) -> None:
    for method, path in (("POST", "/v1/payments"), ("GET", "/v1/account"), ("GET", "/v1/nope")):
        answer = simulator.client.request(
            method,
            path,
            json=GOOD if method == "POST" else None,
            headers=[(b"Authorization", authorization.encode("latin-1"))],
        )
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "secret_key_invalid"


@pytest.mark.parametrize("key", [b"", b"x" * 256, "ключ".encode(), b"\xff"])
def test_a_malformed_key_is_refused(simulator: SimulatorProcess, key: bytes) -> None:
    merchant = simulator.merchant()
    bearer = merchant.headers()["Authorization"].encode()

    answer = simulator.client.post(
        "/v1/payments", json=GOOD, headers=[(b"Authorization", bearer), (b"Idempotency-Key", key)]
    )

    assert answer.status_code == 400
    assert merchant.effects() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nope", 404),
        ("GET", "/nope", 404),
        ("DELETE", "/v1/payments", 405),
        ("PUT", "/v1/payments/sp_1/void", 405),
        ("GET", "/v1/payments", 400),
        ("GET", "/v1/payments?reference=a&reference=b", 400),
        ("GET", "/v1/operations?reference=%00", 400),
        ("GET", "/v1/operations?reference", 400),
        ("GET", "/v1/operations/..%2f..%2fetc", 404),
        ("GET", "/v1/operations/" + "x" * 65, 404),
        ("GET", "/v1/refunds/sp_1", 404),
        ("GET", "/3ds/nope", 404),
        ("PUT", "/_faults", 405),
        ("GET", "/_log?kind=secrets", 400),
        ("GET", "/_log?limit=1001", 400),
        ("GET", "/_log?limit=x", 400),
        ("GET", "/_log?after=99999999999999999999", 400),
        ("GET", "/_log?surprise=1", 400),
        ("GET", "/_log?kind=effects&kind=requests", 400),
    ],
)
def test_a_wrong_address_is_refused(
    simulator: SimulatorProcess, method: str, path: str, status: int
) -> None:
    headers = simulator.merchant().headers()

    answer = simulator.client.request(method, path, headers=headers)

    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "rules",
    [
        5,
        [5],
        [{}],
        [{"fault": "nope"}],
        [{"fault": "hang", "rate": 2}],
        [{"fault": "hang", "rate": True}],
        [{"fault": "hang", "times": -1}],
        [{"fault": "hang", "delay_ms": 10**9}],
        [{"fault": "hang", "match": 5}],
        [{"fault": "hang", "match": {"body": "x"}}],
        [{"fault": "hang", "match": {"method": "PATCH"}}],
        [{"fault": "error_500_after", "status": 200}],
        [{"fault": "hang"}] * 101,
    ],
)
def test_a_malformed_script_is_refused_and_the_old_one_stays(
    simulator: SimulatorProcess, rules: object
) -> None:
    simulator.fault("error_500_before")

    answer = simulator.client.post("/_faults", json={"seed": 1, "rules": rules})

    assert answer.status_code == 400, answer.text
    assert simulator.merchant().pay("tok_success").status_code == 500


def test_a_form_from_a_foreign_page_cannot_drive_the_test_side(
    simulator: SimulatorProcess,
) -> None:
    answer = simulator.client.post("/_faults", data={"rules": "x"})

    assert answer.status_code == 415


def test_hundreds_of_mutated_requests_never_break_it(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    dice = random.Random(20)
    good = json.dumps({**GOOD, "metadata": {"a": "b"}, "return_url": "https://s/"}).encode()
    statuses = set()

    for number in range(400):
        body = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        answer = simulator.client.post(
            "/v1/payments", content=bytes(body), headers=merchant.headers(f"key{number}")
        )
        statuses.add(answer.status_code)

    assert statuses <= {201, 400}
    assert all(effect["amount"] > 0 for effect in merchant.effects())


def test_an_unfinished_request_does_not_harm_it(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    def endless() -> Any:
        yield b'{"amount"'
        raise httpx.WriteError("the client went away")

    with pytest.raises(httpx.WriteError):
        simulator.client.post("/v1/payments", content=endless(), headers=merchant.headers("key"))

    assert merchant.effects() == []
    assert merchant.pay("tok_success", key="key").status_code == 201
