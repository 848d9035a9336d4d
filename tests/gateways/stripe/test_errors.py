"""Every error and every decline code Stripe documents, and what it is to us.

Source: docs.stripe.com/error-codes, docs.stripe.com/declines/codes
"""

from typing import Any

import httpx
import pytest
import respx

from gateways.port import Failure, OutcomeStatus
from gateways.stripe.mapping import STATE_CODES
from tests.gateways.stripe.builders import INTENT, captured, code_of, intent, send

STAYS, ELSEWHERE = False, True
DECLINES = {
    ("HARD", STAYS): (
        "lost_card stolen_card pickup_card restricted_card stop_payment_order "
        "revocation_of_authorization revocation_of_all_authorizations transaction_not_allowed "
        "security_violation service_not_allowed invalid_amount testmode_decline"
    ),
    ("FRAUD", STAYS): "fraudulent merchant_blacklist",
    ("INVALID_METHOD", STAYS): (
        "expired_card incorrect_number invalid_account card_not_supported currency_not_supported "
        "incorrect_cvc invalid_cvc incorrect_zip invalid_expiry_month invalid_expiry_year"
    ),
    ("INSUFFICIENT_FUNDS", STAYS): "insufficient_funds",
    ("LIMIT", STAYS): "card_velocity_exceeded withdrawal_count_limit_exceeded",
    ("SOFT", ELSEWHERE): (
        "try_again_later issuer_not_available processing_error reenter_transaction "
        "approve_with_id call_issuer generic_decline do_not_honor no_action_taken not_permitted"
    ),
    ("SOFT", STAYS): "duplicate_transaction",
    ("SCA_REQUIRED", STAYS): (
        "authentication_required incorrect_pin pin_try_exceeded offline_pin_required "
        "online_or_offline_pin_required"
    ),
}
SECRETIVE = {"lost_card", "stolen_card", "fraudulent", "merchant_blacklist"}
TABLE = [
    (code, kind, elsewhere)
    for (kind, elsewhere), codes in DECLINES.items()
    for code in codes.split()
]


def an_error(status: int, kind: str, **members: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": {"type": kind, **members}})


async def declined(status: int, kind: str, **members: Any) -> Failure:
    outcome = (await send("SALE", an_error(status, kind, **members))).outcome
    assert outcome.status is OutcomeStatus.DECLINED
    assert outcome.failure is not None
    return outcome.failure


def test_the_table_has_every_documented_decline_once() -> None:
    assert len(TABLE) == len({code for code, *_ in TABLE}) == 43


@respx.mock
@pytest.mark.parametrize(("code", "kind", "elsewhere"), TABLE)
async def test_a_decline_code_is_of_a_kind(code: str, kind: str, elsewhere: bool) -> None:
    failure = await declined(402, "card_error", code="card_declined", decline_code=code)

    assert (failure.decline, failure.retry_other_provider) == (kind, elsewhere)
    assert (failure.code, failure.provider_code) == ("declined", code)
    assert not failure.retry_same_provider
    assert (code.replace("_", " ") in failure.message) is (code not in SECRETIVE)


@respx.mock
async def test_a_decline_nobody_knows_is_passed_on_and_goes_nowhere_else() -> None:
    failure = await declined(402, "card_error", code="card_declined", decline_code="moon_phase")

    assert (failure.decline, failure.retry_other_provider) == ("OTHER", False)
    assert (failure.code, failure.provider_code) == ("refused", "moon_phase")


@respx.mock
@pytest.mark.parametrize("advice", ["confirm_card_data", "do_not_try_again", "try_again_later"])
async def test_the_advice_and_the_networks_code_are_passed_on(advice: str) -> None:
    failure = await declined(
        402,
        "card_error",
        code="card_declined",
        decline_code="do_not_honor",
        advice_code=advice,
        network_decline_code="05",
    )

    assert (failure.advice_code, failure.network_code) == (advice, "05")


CARD, REQUEST = "card_error", "invalid_request_error"


@respx.mock
@pytest.mark.parametrize(
    ("status", "type", "code", "kind", "elsewhere"),
    [
        (402, CARD, "card_declined", "SOFT", ELSEWHERE),
        (402, CARD, "expired_card", "INVALID_METHOD", STAYS),
        (402, CARD, "incorrect_cvc", "INVALID_METHOD", STAYS),
        (402, CARD, "incorrect_number", "INVALID_METHOD", STAYS),
        (402, CARD, "insufficient_funds", "INSUFFICIENT_FUNDS", STAYS),
        (402, CARD, "processing_error", "SOFT", ELSEWHERE),
        (402, CARD, "authentication_required", "SCA_REQUIRED", STAYS),
        (402, CARD, "payment_intent_authentication_failure", "SCA_REQUIRED", STAYS),
        (400, REQUEST, "payment_intent_action_required", "SCA_REQUIRED", STAYS),
        (400, REQUEST, "amount_too_small", "CONFIG", ELSEWHERE),
        (400, REQUEST, "amount_too_large", "CONFIG", ELSEWHERE),
        (400, REQUEST, "invalid_charge_amount", "CONFIG", ELSEWHERE),
        (400, REQUEST, "invalid_charge_amount_no_decimal_compatible", "CONFIG", ELSEWHERE),
        (400, REQUEST, "payment_method_currency_mismatch", "CONFIG", ELSEWHERE),
        (400, REQUEST, "parameter_missing", "CONFIG", ELSEWHERE),
        (400, REQUEST, "parameter_unknown", "CONFIG", ELSEWHERE),
        (400, REQUEST, "parameter_invalid_integer", "CONFIG", ELSEWHERE),
        (404, REQUEST, "resource_missing", "OTHER", STAYS),
        (402, CARD, "never_heard_of", "OTHER", STAYS),
        (400, REQUEST, "never_heard_of", "OTHER", STAYS),
    ],
)
async def test_a_refusal_without_a_decline_code(
    status: int, type: str, code: str, kind: str, elsewhere: bool
) -> None:
    failure = await declined(status, type, code=code)

    assert (failure.decline, failure.retry_other_provider) == (kind, elsewhere)


def test_the_states_that_are_looked_at_are_the_documented_ones() -> None:
    assert " ".join(sorted(STATE_CODES)) == (
        "capture_charge_authorization_expired charge_already_captured charge_already_refunded "
        "charge_disputed charge_expired_for_capture payment_intent_unexpected_state "
        "refund_disputed_payment"
    )


@respx.mock
@pytest.mark.parametrize("code", sorted(STATE_CODES))
@pytest.mark.parametrize("done", [True, False])
async def test_a_state_that_forbids_it_may_be_our_own_doing(code: str, done: bool) -> None:
    answer = captured(4250, amount_received=4250) if done else intent("requires_capture_manual")
    respx.get(INTENT).mock(return_value=answer)

    outcome = (await send("CAPTURE", an_error(400, REQUEST, code=code))).outcome

    if done:
        assert outcome.status is OutcomeStatus.SUCCEEDED
    else:
        assert (outcome.status, code_of(outcome)) == (OutcomeStatus.DECLINED, "invalid_state")


AGAIN, NOT_AGAIN = True, False


@respx.mock
@pytest.mark.parametrize(
    ("status", "code", "ours", "again", "elsewhere"),
    [
        (401, "", "authentication", NOT_AGAIN, ELSEWHERE),
        (401, "api_key_expired", "authentication", NOT_AGAIN, ELSEWHERE),
        (403, "", "authentication", NOT_AGAIN, ELSEWHERE),
        (400, "balance_insufficient", "balance_insufficient", AGAIN, ELSEWHERE),
        (429, "rate_limit", "rate_limited", AGAIN, ELSEWHERE),
        (429, "lock_timeout", "rate_limited", AGAIN, ELSEWHERE),
        (429, "payment_intent_rate_limit_exceeded", "rate_limited", AGAIN, ELSEWHERE),
        (429, "card_decline_rate_limit_exceeded", "too_many_declines", NOT_AGAIN, STAYS),
    ],
)
async def test_what_was_turned_away_was_not_executed(
    status: int, code: str, ours: str, again: bool, elsewhere: bool
) -> None:
    error = an_error(status, REQUEST, **({"code": code} if code else {}))

    outcome = (await send("SALE", *[error] * 3)).outcome

    assert outcome.status is OutcomeStatus.NOT_EXECUTED
    assert outcome.failure is not None
    told = (outcome.failure.retry_same_provider, outcome.failure.retry_other_provider)
    assert (outcome.failure.code, *told) == (ours, again, elsewhere)


@respx.mock
@pytest.mark.parametrize(
    "answer",
    [
        an_error(400, "idempotency_error"),
        an_error(409, "idempotency_error", code="idempotency_key_in_use"),
        *(an_error(status, "api_error") for status in (500, 502, 503, 504)),
        *(httpx.Response(status, text="<html>") for status in (500, 502, 503, 504)),
        httpx.Response(200, text="<html>"),
        httpx.Response(400, text="<html>"),
        httpx.Response(402, json={"error": {"type": "api_error"}}),
        httpx.Response(418, json={"error": {"type": "card_error"}}),
    ],
)
async def test_what_proves_nothing_is_unknown_and_goes_nowhere_else(answer: httpx.Response) -> None:
    outcome = (await send("SALE", answer)).outcome

    assert outcome.status is OutcomeStatus.UNKNOWN
    assert outcome.failure is not None
    assert not outcome.failure.retry_other_provider
    assert not outcome.failure.retry_same_provider
