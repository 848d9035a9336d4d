"""The fake treats idempotency keys as Stripe does; what is proved against it rests on that.

Source: docs.stripe.com/api/idempotent_requests
"""

import copy

import pytest

from tests.gateways.stripe.fake import KEY_SECONDS, Answer, FakeStripe, Sent
from tests.gateways.stripe.fake_cards import DECLINES

SALE = "amount=4250&currency=eur&capture_method=automatic&metadata[operation_id]=op_1"


def a_fake() -> FakeStripe:
    return FakeStripe(clock=lambda: 1_795_219_200.0)


def post(fake: FakeStripe, path: str, body: str, key: str = "op_1.1") -> Answer:
    return fake.answer(Sent("POST", f"/v1/{path}", {}, body, key, "Bearer sk_test_key"))


def get(fake: FakeStripe, path: str, **query: str) -> Answer:
    return fake.answer(Sent("GET", f"/v1/{path}", query, authorization="Bearer sk_test_key"))


def sell(fake: FakeStripe, token: str = "pm_card_visa", key: str = "op_1.1") -> Answer:
    return post(fake, "payment_intents", f"{SALE}&payment_method={token}", key)


def replayed(answer: Answer) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


def test_a_repeated_key_gets_the_frozen_first_answer_and_does_nothing() -> None:
    fake = a_fake()
    first = copy.deepcopy(sell(fake))
    fake.refund_by_hand(first.body["id"], 1000)
    fake.intents[first.body["id"]]["metadata"]["since"] = "changed"

    again = sell(fake)

    assert (first.status, replayed(first), replayed(again)) == (200, False, True)
    assert (again.status, again.body) == (first.status, first.body)
    assert len(fake.done("op_1")) == 1


@pytest.mark.parametrize("token", sorted(DECLINES))
def test_a_decline_is_kept_under_its_key(token: str) -> None:
    fake = a_fake()

    first, again = sell(fake, token), sell(fake, token)

    code, reason = DECLINES[token]
    error = first.body["error"]
    assert (first.status, error["code"], error.get("decline_code")) == (402, code, reason)
    assert (again.status, again.body, replayed(again)) == (402, first.body, True)
    assert fake.movements == []
    assert len(fake.intents) == 1


def test_a_500_is_kept_under_its_key_whether_it_was_done_or_not() -> None:
    fake = a_fake()
    body = f"{SALE}&payment_method=pm_card_visa"
    sent = Sent("POST", "/v1/payment_intents", {}, body, "op_1.1", "Bearer sk_test_key")

    answers = [fake.begin(sent, "after")]
    fake.end("op_1.1")
    answers.append(fake.answer(sent))

    assert [answer.status for answer in answers] == [500, 500]
    assert [replayed(answer) for answer in answers] == [False, True]
    assert len(fake.done("op_1")) == 1


def test_another_body_under_a_key_is_refused() -> None:
    fake = a_fake()
    sell(fake)

    other = post(fake, "payment_intents", f"{SALE}&payment_method=pm_card_visa&x=1")

    assert (other.status, other.body["error"]["type"]) == (400, "idempotency_error")
    assert len(fake.movements) == 1


def test_a_key_is_in_use_while_its_first_request_runs() -> None:
    fake = a_fake()
    body = f"{SALE}&payment_method=pm_card_visa"
    sent = Sent("POST", "/v1/payment_intents", {}, body, "op_1.1", "Bearer sk_test_key")

    fake.begin(sent)
    meanwhile = fake.begin(sent)
    fake.end("op_1.1")
    afterwards = fake.begin(sent)

    assert (meanwhile.status, meanwhile.body["error"]["code"]) == (409, "idempotency_key_in_use")
    assert (afterwards.status, replayed(afterwards)) == (200, True)
    assert len(fake.movements) == 1


@pytest.mark.parametrize(
    "body",
    [
        "currency=eur&capture_method=automatic&payment_method=pm_card_visa",
        "amount=x&currency=eur&capture_method=automatic&payment_method=pm_card_visa",
        "amount=49&currency=eur&capture_method=automatic&payment_method=pm_card_visa",
        "amount=4250&currency=eur&capture_method=automatic&payment_method=pm_nobody",
    ],
)
def test_nothing_is_kept_of_what_failed_validation(body: str) -> None:
    fake = a_fake()

    refused = post(fake, "payment_intents", body)
    sold = sell(fake)

    assert refused.status in {400, 404}
    assert (sold.status, replayed(sold)) == (200, False)


def test_a_key_is_forgotten_after_24_hours() -> None:
    now = [1_795_219_200.0]
    fake = FakeStripe(clock=lambda: now[0])

    sell(fake)
    now[0] += KEY_SECONDS - 1
    within = sell(fake)
    now[0] += 1
    later = sell(fake)

    assert (replayed(within), replayed(later)) == (True, False)
    assert len(fake.movements) == 2


def test_a_list_comes_newest_first_a_page_at_a_time() -> None:
    fake = a_fake()
    made = [sell(fake, key=f"op_{number}.1").body["id"] for number in range(5)]

    first = get(fake, "payment_intents", limit="2").body
    after = first["data"][-1]["id"]
    rest = get(fake, "payment_intents", limit="3", starting_after=after).body
    later = get(fake, "payment_intents", **{"created[gte]": "1795219201"}).body

    found = [each["id"] for each in (*first["data"], *rest["data"])]
    assert found == made[::-1]
    assert (first["has_more"], rest["has_more"], later["data"]) == (True, False, [])


def test_without_the_key_of_the_account_nothing_is_done() -> None:
    fake = a_fake()

    answer = fake.answer(Sent("POST", "/v1/payment_intents", {}, SALE, "k", "Bearer sk_other"))

    assert answer.status == 401
    assert (fake.keys, fake.intents) == ({}, {})
