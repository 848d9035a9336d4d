"""Each planned fault: whether the money moved, what the caller saw, what a replay gets."""

from collections.abc import Callable

import httpx
import pytest

from tests.simulator.process import SimulatorProcess


@pytest.mark.parametrize(("fault", "status"), [("refuse", 429), ("error_500_before", 500)])
def test_a_fault_before_answers_and_does_nothing_and_the_next_try_works(
    simulator: SimulatorProcess, fault: str, status: int
) -> None:
    merchant = simulator.merchant()
    simulator.fault(fault, times=1)

    first = merchant.pay("tok_success")
    assert first.status_code == status
    assert merchant.effects() == []

    assert merchant.pay("tok_success").status_code == 201
    assert merchant.kinds() == [("charge", 1000)]


@pytest.mark.parametrize(("fault", "delay_ms"), [("drop_before", 0), ("hang", 100)])
def test_a_drop_before_does_nothing(simulator: SimulatorProcess, fault: str, delay_ms: int) -> None:
    merchant = simulator.merchant()
    simulator.fault(fault, times=1, delay_ms=delay_ms)

    merchant.pay_and_lose_the_answer("tok_success")
    assert merchant.effects() == []

    assert merchant.pay("tok_success").status_code == 201
    assert merchant.kinds() == [("charge", 1000)]


def test_a_drop_after_has_charged_and_the_replay_is_answered(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    simulator.fault("drop_after", times=1)

    merchant.pay_and_lose_the_answer("tok_success")
    assert merchant.kinds() == [("charge", 1000)]

    assert merchant.pay("tok_success").headers["idempotent-replayed"] == "true"
    assert merchant.kinds() == [("charge", 1000)]


@pytest.mark.parametrize(("fault", "status"), [("error_500_after", 503), ("garbage", 200)])
def test_a_false_answer_after_the_charge_is_frozen_and_the_lookup_tells_the_truth(
    simulator: SimulatorProcess, fault: str, status: int
) -> None:
    merchant = simulator.merchant()
    simulator.fault(fault, times=1, status=503)

    first, replay = merchant.pay("tok_success"), merchant.pay("tok_success")

    assert first.status_code == replay.status_code == status
    assert first.content == replay.content
    assert merchant.kinds() == [("charge", 1000)]
    assert merchant.get("/v1/operations", reference="op_1").json()["data"][0]["amount"] == 1000


def test_a_wrong_amount_is_really_moved(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success").json()["id"]
    simulator.fault("wrong_amount", match={"path": "/v1/refunds"})

    refund = merchant.post("/v1/refunds", payment=payment, amount=500, reference="op_r").json()

    assert refund["amount"] == 499
    assert merchant.kinds() == [("charge", 1000), ("refund", 499)]


def test_a_slow_answer_comes_after_the_effect(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    simulator.fault("slow", delay_ms=60_000)

    with pytest.raises(httpx.ReadTimeout):
        simulator.client.post(
            "/v1/payments",
            json={"amount": 1, "currency": "EUR", "token": "tok_success", "reference": "op_1"},
            headers=merchant.headers("key"),
            timeout=0.5,
        )

    assert merchant.kinds() == [("charge", 1)]


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({}, True),
        ({"path": "/v1/pay"}, True),
        ({"path": "/v1/refunds"}, False),
        ({"method": "POST"}, True),
        ({"method": "GET"}, False),
        ({"token": "tok_success"}, True),
        ({"token": "bound_success"}, False),
        ({"account": "nobody"}, False),
    ],
)
def test_a_rule_fires_where_all_it_names_matches(
    simulator: SimulatorProcess, match: dict[str, str], hit: bool
) -> None:
    simulator.fault("error_500_before", match=match)

    assert simulator.merchant().pay("tok_success").status_code == (500 if hit else 201)


def test_captures_and_refunds_match_by_the_token_of_their_payment(
    simulator: SimulatorProcess,
) -> None:
    merchant = simulator.merchant()
    bound = merchant.pay("bound_success", "op_1").json()["id"]
    free = merchant.pay("tok_success", "op_2").json()["id"]
    simulator.fault("error_500_before", match={"token": "bound_success"})

    def refund(payment: str) -> int:
        return merchant.post("/v1/refunds", payment=payment, amount=1, reference="r").status_code

    assert (refund(bound), refund(free)) == (500, 201)


def test_lookups_can_fail_as_well(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    merchant.pay("tok_success")
    simulator.fault("garbage", match={"method": "GET"}, times=1)

    assert merchant.get("/v1/operations", reference="op_1").text.startswith("<!doctype")
    assert merchant.get("/v1/operations", reference="op_1").json()["data"]


def test_the_same_seed_makes_the_same_faults(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    def run(seed: int) -> list[int]:
        rule = {"fault": "error_500_before", "rate": 0.5}
        simulator.control("/_faults", seed=seed, rules=[rule])
        return [merchant.pay("tok_success", f"op_{n}").status_code for n in range(24)]

    first = run(7)
    assert {500, 201} <= set(first)
    assert run(7) == first
    assert run(8) != first


def test_the_script_survives_a_crash_with_its_counts(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    simulator.fault("error_500_before", times=2)
    assert merchant.pay("tok_success").status_code == 500

    simulator.crash_and_restart()

    assert merchant.pay("tok_success").status_code == 500
    assert merchant.pay("tok_success").status_code == 201


def test_every_request_is_in_the_log_with_what_became_of_it(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    steps: list[Callable[[], object]] = [
        lambda: merchant.pay_and_lose_the_answer("tok_timeout_after"),
        lambda: merchant.pay("tok_timeout_after"),
        lambda: merchant.pay("tok_success", amount=-1),
        lambda: merchant.get("/v1/operations", reference="op_1"),
    ]
    for step in steps:
        step()

    requests = merchant.effects(kind="requests")

    assert [(r["method"], r["status"], r["fault"], bool(r["replayed"])) for r in requests] == [
        ("POST", None, "drop_after", False),
        ("POST", 201, None, True),
        ("POST", 400, None, False),
        ("GET", 200, None, False),
    ]
    assert {request["account"] for request in requests} == {merchant.name}
