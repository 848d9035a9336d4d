"""One key, one effect, one answer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.simulator.process import Merchant, SimulatorProcess
from tests.waiting import eventually


def pay_in_parallel(merchant: Merchant, times: int) -> list[httpx.Response]:
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(lambda _: merchant.pay("tok_success"), range(times)))


def test_fifty_identical_requests_at_once_charge_once(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    answers = pay_in_parallel(merchant, 50)

    assert merchant.kinds() == [("charge", 1000)]
    paid = [answer for answer in answers if answer.status_code == 201]
    in_progress = [answer for answer in answers if answer.status_code == 409]
    assert len(paid) + len(in_progress) == 50
    assert len({answer.content for answer in paid}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in paid) == 1
    assert merchant.pay("tok_success").headers["idempotent-replayed"] == "true"


def test_a_request_whose_first_is_in_progress_is_told_so(simulator: SimulatorProcess) -> None:
    simulator.control("/_config", latency_ms=400)
    merchant = simulator.merchant()

    answers = pay_in_parallel(merchant, 5)

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["error"]["code"] == "idempotency_key_in_progress"
    assert merchant.kinds() == [("charge", 1000)]


def test_a_lookup_says_that_a_request_is_still_in_progress(simulator: SimulatorProcess) -> None:
    simulator.control("/_config", latency_ms=1000)
    merchant = simulator.merchant()

    def lookup() -> Any:
        return merchant.get("/v1/operations", reference="op_1").json()

    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(merchant.pay, "tok_success")
        eventually(lambda: lookup()["in_progress"])
        paying.result()

    assert lookup()["in_progress"] is False
    assert lookup()["data"]


@pytest.mark.parametrize("token", ["tok_decline_hard", "tok_requires_action", "tok_success"])
def test_the_first_answer_is_frozen(simulator: SimulatorProcess, token: str) -> None:
    merchant = simulator.merchant()

    first = merchant.pay(token)
    payment = first.json().get("payment", first.json())
    if payment["next_action"]:
        simulator.client.post(payment["next_action"]["url"], data={"decision": "approve"})
    replay = merchant.pay(token)

    assert (replay.status_code, replay.content) == (first.status_code, first.content)
    assert "idempotent-replayed" not in first.headers
    assert replay.headers["idempotent-replayed"] == "true"


def test_a_broken_money_rule_is_frozen_too(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=False).json()["id"]
    path = f"/v1/payments/{payment}/captures"

    first = merchant.post(path, "c", amount=1001, reference="op_c")
    replay = merchant.post(path, "c", amount=1001, reference="op_c")

    assert first.status_code == replay.status_code == 422
    assert replay.headers["idempotent-replayed"] == "true"


def test_a_malformed_request_is_not_frozen(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    assert merchant.pay("tok_success", amount=0).status_code == 400
    assert merchant.pay("tok_success").status_code == 201


@pytest.mark.parametrize(
    "change",
    [{"amount": 1001}, {"currency": "USD"}, {"token": "tok_pending"}, {"capture": False}],
)
def test_another_body_under_the_same_key_is_refused(
    simulator: SimulatorProcess, change: dict[str, object]
) -> None:
    merchant = simulator.merchant()
    merchant.pay("tok_success")
    body = {"amount": 1000, "currency": "EUR", "token": "tok_success", "reference": "op_1"}

    answer = merchant.post("/v1/payments", "key_op_1", **{**body, **change})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "idempotency_key_reused"
    assert merchant.kinds() == [("charge", 1000)]


def test_order_of_fields_and_white_space_are_no_other_body(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    merchant.pay("tok_success")

    same = b'{ "reference":"op_1",  "token":"tok_success","currency":"EUR","amount":1000 }'
    answer = simulator.client.post(
        "/v1/payments", content=same, headers=merchant.headers("key_op_1")
    )

    assert answer.headers["idempotent-replayed"] == "true"


def test_two_merchants_may_use_the_same_key(simulator: SimulatorProcess) -> None:
    first, second = simulator.merchant(), simulator.merchant()

    first.pay("tok_success")
    second.pay("tok_success")

    assert first.kinds() == second.kinds() == [("charge", 1000)]


def test_two_keys_charge_twice(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    merchant.pay("tok_success", key="one")
    merchant.pay("tok_success", key="two")

    assert merchant.kinds() == [("charge", 1000), ("charge", 1000)]
