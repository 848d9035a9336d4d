"""Tokens and money rules, asked over HTTP and of the log."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.waiting import eventually


def test_a_sale_is_charged_once_with_its_fee(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    payment = merchant.pay("tok_success", amount=1050).json()

    assert (payment["status"], payment["amount"], payment["fee"]) == ("captured", 1050, 60)
    (effect,) = merchant.effects()
    assert effect["kind"] == "charge"
    assert effect["amount"] == 1050
    assert effect["fee"] == 60
    assert effect["currency"] == "EUR"
    assert effect["reference"] == "op_1"
    assert effect["idempotency_key"] == "key_op_1"
    assert effect["payment"] == payment["id"]


@pytest.mark.parametrize(("amount", "fee"), [(1, 30), (17, 30), (18, 31), (500, 45), (10000, 320)])
def test_the_fee_is_2_9_percent_half_up_plus_30(
    simulator: SimulatorProcess, amount: int, fee: int
) -> None:
    assert simulator.merchant().pay("tok_success", amount=amount).json()["fee"] == fee


@pytest.mark.parametrize("prefix", ["tok_", "bound_"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("decline_hard", "account_closed"),
        ("decline_insufficient_funds", "insufficient_funds"),
        ("decline_fraud", "suspected_fraud"),
    ],
)
def test_a_decline_is_402_and_moves_nothing(
    simulator: SimulatorProcess, prefix: str, name: str, code: str
) -> None:
    merchant = simulator.merchant()

    answer = merchant.pay(prefix + name)

    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == code
    assert answer.json()["payment"]["status"] == "declined"
    assert merchant.effects() == []


@pytest.mark.parametrize("token", ["tok_timeout_after", "bound_timeout_after"])
def test_timeout_after_charges_drops_the_answer_and_gives_it_to_a_replay(
    simulator: SimulatorProcess, token: str
) -> None:
    merchant = simulator.merchant()

    merchant.pay_and_lose_the_answer(token)

    assert merchant.kinds() == [("charge", 1000)]
    found = merchant.get("/v1/operations", reference="op_1").json()
    assert [one["status"] for one in found["data"]] == ["captured"]
    replay = merchant.pay(token)
    assert replay.status_code == 201
    assert replay.headers["idempotent-replayed"] == "true"
    assert replay.json()["id"] == found["data"][0]["id"]
    assert merchant.kinds() == [("charge", 1000)]


@pytest.mark.parametrize("token", ["tok_timeout_before", "bound_timeout_before"])
def test_timeout_before_never_charges_and_a_lookup_says_so(
    simulator: SimulatorProcess, token: str
) -> None:
    merchant = simulator.merchant()

    merchant.pay_and_lose_the_answer(token)
    merchant.pay_and_lose_the_answer(token)

    assert merchant.effects() == []
    found = merchant.get("/v1/operations", reference="op_1").json()
    assert found == {"data": [], "in_progress": False}


def test_error_5xx_fails_before_any_effect(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()

    assert merchant.pay("tok_error_5xx").status_code == 500
    assert merchant.pay("bound_error_5xx").status_code == 500

    assert merchant.effects() == []
    assert merchant.get("/v1/payments", reference="op_1").json()["data"] == []


@pytest.mark.parametrize("token", ["tok_garbage", "bound_garbage"])
def test_garbage_charges_and_says_nothing_sensible_not_even_again(
    simulator: SimulatorProcess, token: str
) -> None:
    merchant = simulator.merchant()

    first, second = merchant.pay(token), merchant.pay(token)

    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert first.headers["content-type"].startswith("text/html")
    assert merchant.kinds() == [("charge", 1000)]
    (found,) = merchant.get("/v1/operations", reference="op_1").json()["data"]
    assert (found["status"], found["amount"]) == ("captured", 1000)


@pytest.mark.parametrize("token", ["tok_wrong_amount", "bound_wrong_amount"])
def test_wrong_amount_charges_another_amount_and_says_so(
    simulator: SimulatorProcess, token: str
) -> None:
    merchant = simulator.merchant()

    payment = merchant.pay(token).json()

    assert (payment["amount"], payment["amount_requested"]) == (1001, 1000)
    assert merchant.kinds() == [("charge", 1001)]


def test_pending_succeeds_later_by_itself(simulator: SimulatorProcess) -> None:
    simulator.control("/_config", pending_delay_ms=150)
    merchant = simulator.merchant()

    payment = merchant.pay("tok_pending").json()

    assert payment["status"] == "pending"
    assert merchant.effects() == []
    eventually(lambda: merchant.kinds() == [("charge", 1000)])
    (effect,) = merchant.effects()
    assert (effect["origin"], effect["reference"]) == ("delayed", "op_1")
    assert merchant.get(f"/v1/payments/{payment['id']}").json()["status"] == "captured"


def test_the_shopper_approves_once_and_is_sent_back_to_the_shop(
    simulator: SimulatorProcess,
) -> None:
    merchant = simulator.merchant()
    shop = "https://shop.example:8443/return?order=1"
    payment = merchant.pay("tok_requires_action", return_url=shop).json()
    page_url = payment["next_action"]["url"]
    assert merchant.effects() == []

    page = simulator.client.get(page_url)
    assert page.status_code == 200
    assert 'value="approve"' in page.text
    assert "10.00 EUR" in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; form-action 'self' http: https:;")
    for decision in ("approve", "decline"):
        answer = simulator.client.post(page_url, data={"decision": decision})
        assert (answer.status_code, answer.headers["location"]) == (303, shop)

    assert merchant.kinds() == [("charge", 1000)]
    assert merchant.get(f"/v1/payments/{payment['id']}").json()["next_action"] is None


def test_the_shopper_declines(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("bound_requires_action", capture=False).json()

    answer = simulator.client.post(payment["next_action"]["url"], data={"decision": "decline"})

    assert answer.status_code == 200
    found = merchant.get(f"/v1/payments/{payment['id']}").json()
    assert (found["status"], found["decline"]["code"]) == ("declined", "authentication_failed")
    assert merchant.effects() == []


def test_the_page_shows_a_reference_as_text_not_as_markup(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_requires_action", "<script>alert(1)</script>", key="k").json()

    page = simulator.client.get(payment["next_action"]["url"])

    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


def test_parts_are_captured_up_to_what_was_authorized(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=False).json()
    path = f"/v1/payments/{payment['id']}/captures"

    first = merchant.post(path, "c1", amount=300, final=False, reference="op_c1")
    over = merchant.post(path, "c2", amount=701, final=False, reference="op_c2")
    rest = merchant.post(path, "c3", amount=700, final=False, reference="op_c3")
    none_left = merchant.post(path, "c4", amount=1, final=False, reference="op_c4")

    assert (first.status_code, first.json()["fee"]) == (201, 39)
    assert over.status_code == 422
    assert over.json()["error"]["code"] == "amount_exceeds_authorization"
    assert rest.status_code == 201
    assert none_left.json()["error"]["code"] == "payment_not_capturable"
    assert merchant.kinds() == [("authorization", 1000), ("capture", 300), ("capture", 700)]
    found = merchant.get(f"/v1/payments/{payment['id']}").json()
    assert (found["status"], found["amount_captured"]) == ("captured", 1000)


def test_a_final_capture_releases_the_rest(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=False).json()

    merchant.post(
        f"/v1/payments/{payment['id']}/captures", amount=400, final=True, reference="op_c"
    )

    found = merchant.get(f"/v1/payments/{payment['id']}").json()
    assert (found["status"], found["amount_captured"], found["amount_voided"]) == (
        "captured",
        400,
        600,
    )


def test_a_void_gives_back_what_is_left_once(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=False).json()
    merchant.post(
        f"/v1/payments/{payment['id']}/captures", amount=400, final=False, reference="op_c"
    )

    void = merchant.post(f"/v1/payments/{payment['id']}/void", reference="op_v")
    again = merchant.post(f"/v1/payments/{payment['id']}/void", reference="op_v2")

    assert (void.json()["amount"], void.json()["payment"]) == (600, payment["id"])
    assert again.json()["error"]["code"] == "payment_not_voidable"
    assert merchant.kinds(reference="op_v") == [("void", 600)]


def test_voiding_an_unfinished_payment_ends_it_without_an_effect(
    simulator: SimulatorProcess,
) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_requires_action").json()

    void = merchant.post(f"/v1/payments/{payment['id']}/void", reference="op_v")
    simulator.client.post(payment["next_action"]["url"], data={"decision": "approve"})

    assert void.json()["amount"] == 1000
    assert merchant.effects() == []
    assert merchant.get(f"/v1/payments/{payment['id']}").json()["status"] == "voided"


def test_refunds_cannot_exceed_what_was_captured(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success").json()["id"]

    part = merchant.post("/v1/refunds", payment=payment, amount=600, reference="op_r1")
    over = merchant.post("/v1/refunds", payment=payment, amount=401, reference="op_r2")
    rest = merchant.post("/v1/refunds", payment=payment, amount=400, reference="op_r3")

    assert [part.status_code, over.status_code, rest.status_code] == [201, 422, 201]
    assert over.json()["error"]["code"] == "amount_exceeds_captured"
    assert merchant.kinds() == [("charge", 1000), ("refund", 600), ("refund", 400)]
    read = merchant.get(f"/v1/refunds/{part.json()['id']}").json()
    assert read == part.json()


def test_another_currency_than_the_payments_is_refused(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success").json()["id"]

    answer = merchant.post(
        "/v1/refunds", payment=payment, amount=10, currency="USD", reference="op_r"
    )

    assert answer.json()["error"]["code"] == "currency_mismatch"
    assert merchant.kinds() == [("charge", 1000)]


def test_one_merchant_cannot_see_or_touch_anothers_payment(simulator: SimulatorProcess) -> None:
    merchant, other = simulator.merchant(), simulator.merchant()
    payment = merchant.pay("tok_success").json()["id"]
    missing = other.get("/v1/payments/sp_missing").content

    assert other.get(f"/v1/payments/{payment}").content == missing
    assert other.get(f"/v1/operations/{payment}").status_code == 404
    refund = other.post("/v1/refunds", payment=payment, amount=10, reference="op_r")
    assert (refund.status_code, refund.content) == (404, missing)
    assert other.get("/v1/operations", reference="op_1").json()["data"] == []


def test_the_dashboard_moves_money_without_a_reference(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    payment = merchant.pay("tok_success", capture=False).json()["id"]

    simulator.control("/_dashboard/captures", payment=payment, amount=700, final=False)
    refund = simulator.control("/_dashboard/refunds", payment=payment, amount=100)
    simulator.control("/_dashboard/expire", payment=payment)
    simulator.control("/_dashboard/refund_failures", refund=refund["id"])

    assert [(e["kind"], e["amount"], e["origin"], e["reference"]) for e in merchant.effects()] == [
        ("authorization", 1000, "api", "op_1"),
        ("capture", 700, "dashboard", None),
        ("refund", 100, "dashboard", None),
        ("void", 300, "dashboard", None),
        ("refund_failed", 100, "dashboard", None),
    ]
    assert merchant.get(f"/v1/payments/{payment}").json()["amount_refunded"] == 0


def test_the_log_is_read_page_by_page_and_summed(simulator: SimulatorProcess) -> None:
    merchant = simulator.merchant()
    for number in range(5):
        merchant.pay("tok_success", f"op_{number}")
    merchant.pay("tok_success", "op_0", key="another key")

    seen, after = [], 0
    while after is not None:
        page = simulator.client.get(
            "/_log", params={"account": merchant.name, "after": after, "limit": 2}
        ).json()
        seen += [effect["reference"] for effect in page["data"]]
        after = page["next_after"]
    summary = simulator.client.get("/_log/summary", params={"account": merchant.name}).json()

    assert seen == ["op_0", "op_1", "op_2", "op_3", "op_4", "op_0"]
    assert summary["effects"] == summary["requests"] == 6
    (total,) = summary["totals"]
    assert (total["kind"], total["count"], total["amount"]) == ("charge", 6, 6000)
    assert summary["repeated"] == [{"reference": "op_0", "effects": 2, "accounts": 1, "keys": 2}]
