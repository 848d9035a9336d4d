"""Methods the simulator keeps: by a charge, for one customer, until they are detached."""

from typing import Any

import httpx
import pytest

from tests.simulator.process import Merchant, SimulatorProcess

ANNA = {"customer": "anna", "save": True}


@pytest.fixture
def merchant(simulator: SimulatorProcess) -> Merchant:
    return simulator.merchant()


def kept(merchant: Merchant, **changes: Any) -> dict[str, Any]:
    answer = merchant.pay("tok_success", **{**ANNA, **changes})
    saved: dict[str, Any] = answer.json()["saved_method"]
    return saved


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_charge_keeps_a_card_without_any_real_number(merchant: Merchant) -> None:
    saved = kept(merchant)

    assert saved["object"] == "saved_method"
    assert (saved["customer"], saved["brand"], saved["detached"]) == ("anna", "visa", False)
    assert len(saved["last4"]) == 4
    assert merchant.get(f"/v1/saved_methods/{saved['id']}").json() == saved


def test_nothing_is_kept_unasked_or_before_it_is_charged(merchant: Merchant) -> None:
    assert merchant.pay("tok_success", customer="anna").json()["saved_method"] is None
    for token in ("tok_requires_action", "tok_pending", "tok_decline_hard"):
        answer = merchant.pay(token, f"op_{token}", **ANNA).json()
        assert answer.get("payment", answer)["saved_method"] is None


def test_a_method_is_kept_for_somebody(merchant: Merchant) -> None:
    assert code_of(merchant.pay("tok_success", save=True)) == (400, "parameter_invalid")


def test_a_kept_method_is_paid_with_like_a_token_by_its_customer_only(
    merchant: Merchant, process: SimulatorProcess
) -> None:
    token, stranger = kept(merchant)["id"], process.merchant()

    paid = merchant.pay(token, "op_2", customer="anna")

    assert (paid.status_code, paid.json()["status"]) == (201, "captured")
    unusable = (422, "saved_method_unusable")
    assert code_of(merchant.pay(token, "op_3", customer="bert")) == unusable
    assert code_of(merchant.pay(token, "op_4")) == unusable
    missing = (404, "saved_method_not_found")
    assert code_of(stranger.pay(token, "op_5", customer="anna")) == missing
    assert code_of(merchant.pay("saved_0", "op_6", customer="anna")) == missing


def test_detaching_twice_is_detaching_once_and_nothing_is_paid_afterwards(
    merchant: Merchant,
) -> None:
    token = kept(merchant)["id"]

    answers = [merchant.post(f"/v1/saved_methods/{token}/detach") for _ in range(2)]

    assert [answer.json()["detached"] for answer in answers] == [True, True]
    refused = merchant.pay(token, "op_2", customer="anna")
    assert code_of(refused) == (422, "saved_method_unusable")
    assert [effect["kind"] for effect in merchant.effects()] == ["charge"]


def test_a_payment_is_replayed_although_its_method_was_detached(merchant: Merchant) -> None:
    token = kept(merchant)["id"]
    body = {"amount": 700, "currency": "EUR", "token": token, "reference": "op_2"}
    first = merchant.post("/v1/payments", key="key-2", **body, customer="anna")
    merchant.post(f"/v1/saved_methods/{token}/detach")

    again = merchant.post("/v1/payments", key="key-2", **body, customer="anna")

    assert (again.status_code, again.content) == (201, first.content)


@pytest.mark.parametrize("id", ["saved_1", "sp_1", "x" * 64])
def test_a_method_that_is_not_there_is_not_found(merchant: Merchant, id: str) -> None:
    expected = (404, "saved_method_not_found")
    assert code_of(merchant.get(f"/v1/saved_methods/{id}")) == expected
    assert code_of(merchant.post(f"/v1/saved_methods/{id}/detach")) == expected
