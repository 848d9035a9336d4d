"""Stripe's operations against its published answers."""

from typing import Any

import httpx
import pytest
import respx

from core.money import Money
from gateways.breaker import BreakerState
from gateways.port import (
    Capability,
    NextActionKind,
    OutcomeStatus,
)
from gateways.stripe import StripeAdapter
from tests.gateways.builders import a_bench, an_account
from tests.gateways.stripe.builders import (
    HERE,
    INTENT,
    INTENTS,
    KINDS,
    REFUNDS,
    an_operation_of,
    body,
    captured,
    code_of,
    error,
    form,
    intent,
    refund,
    send,
)


@respx.mock
async def test_a_sale_creates_and_confirms_an_intent() -> None:
    dispatched = await send(
        "SALE",
        intent("succeeded_automatic", metadata={"operation_id": "op_1"}),
        return_url="https://shop.example/return",
        descriptor="ORDER 1001",
        metadata={"order": "1001", "operation_id": "forged", "a[b]": "x"},
    )

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert dispatched.outcome.provider_ref == "pi_3SAMPLEord1001"
    assert dispatched.outcome.amount == Money(4250, "EUR")
    assert form() == {
        "amount": "4250",
        "currency": "eur",
        "capture_method": "automatic",
        "confirm": "true",
        "payment_method": "pm_card",
        "payment_method_types[]": "card",
        "return_url": "https://shop.example/return",
        "statement_descriptor_suffix": "ORDER 1001",
        "metadata[order]": "1001",
        "metadata[operation_id]": "op_1",
    }
    headers = respx.calls.last.request.headers
    assert headers["authorization"] == "Bearer sk_test_key"
    assert headers["stripe-version"] == "2026-10-28.endive"
    assert headers["idempotency-key"] == "op_1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"


@respx.mock
async def test_an_account_can_leave_optional_fields_out() -> None:
    account = an_account("stripe", omit=frozenset({"return_url"})).credentials()

    await send("SALE", intent("succeeded_automatic"), account=account, return_url="https://x")

    assert "return_url" not in form()


@respx.mock
async def test_an_authorization_is_captured_by_hand() -> None:
    dispatched = await send("AUTHORIZE", intent("requires_capture_manual"))

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert dispatched.outcome.amount == Money(4250, "EUR")
    assert form()["capture_method"] == "manual"


@respx.mock
async def test_a_sale_that_is_only_authorized_is_not_understood() -> None:
    dispatched = await send("SALE", intent("requires_capture_manual"))

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN


@respx.mock
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("requires_action_redirect", NextActionKind.REDIRECT),
        ("requires_action_sdk", NextActionKind.SDK),
    ],
)
async def test_three_d_secure_asks_the_shopper(name: str, kind: NextActionKind) -> None:
    dispatched = await send("SALE", intent(name))

    assert dispatched.outcome.status is OutcomeStatus.REQUIRES_ACTION
    assert dispatched.outcome.next_action is not None
    assert dispatched.outcome.next_action.kind is kind
    assert "_secret_" not in str([each.as_json() for each in dispatched.exchanges])


@respx.mock
async def test_a_debit_that_takes_days_is_pending() -> None:
    dispatched = await send("SALE", intent("processing_debit"))

    assert dispatched.outcome.status is OutcomeStatus.PENDING


@respx.mock
async def test_a_partial_capture_reports_what_was_received() -> None:
    dispatched = await send("CAPTURE", captured(), amount=Money(3000, "EUR"))

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert dispatched.outcome.amount == Money(3000, "EUR")
    assert dispatched.outcome.provider_ref == "pi_3SAMPLEord1001#3000"
    assert form() == {"amount_to_capture": "3000", "metadata[capture_op_1]": "3000"}


@respx.mock
async def test_a_capture_of_another_amount_is_not_believed() -> None:
    dispatched = await send("CAPTURE", captured(2000), amount=Money(2000, "EUR"))

    assert code_of(dispatched.outcome) == "amount_mismatch"
    assert dispatched.outcome.amount == Money(3000, "EUR")


@respx.mock
async def test_a_void_cancels_the_intent() -> None:
    dispatched = await send("VOID", intent("canceled"))

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert dispatched.outcome.amount == Money(4250, "EUR")


@respx.mock
@pytest.mark.parametrize(
    ("name", "status"), [("succeeded", "SUCCEEDED"), ("pending", "PENDING"), ("failed", "DECLINED")]
)
async def test_a_refund_is_what_it_says(name: str, status: str) -> None:
    dispatched = await send("REFUND", refund(name), reason="REQUESTED_BY_CUSTOMER")

    assert dispatched.outcome.status == status
    assert dispatched.outcome.provider_ref == "re_3SAMPLEord1001"
    assert form() == {
        "payment_intent": "pi_3SAMPLEord1001",
        "amount": "1500",
        "reason": "requested_by_customer",
        "metadata[operation_id]": "op_1",
    }


@respx.mock
async def test_insufficient_funds_is_a_decline_with_all_its_codes() -> None:
    dispatched = await send("SALE", error("402_card_declined_insufficient_funds"))

    failure = dispatched.outcome.failure
    assert failure is not None
    assert dispatched.outcome.status is OutcomeStatus.DECLINED
    assert dispatched.outcome.provider_ref == "pi_3SAMPLEord1001"
    assert failure.decline == "INSUFFICIENT_FUNDS"
    assert (failure.provider_code, failure.network_code, failure.advice_code) == (
        "insufficient_funds",
        "51",
        "02",
    )
    assert not failure.retry_other_provider


ERRORS = [
    ("402_authentication_required_off_session", "DECLINED", "SCA_REQUIRED", False, False),
    ("400_amount_too_small", "DECLINED", "CONFIG", False, True),
    ("404_resource_missing", "DECLINED", "OTHER", False, False),
    ("400_idempotency_key_reused_other_params", "UNKNOWN", None, False, False),
    ("409_idempotency_key_in_use", "UNKNOWN", None, False, False),
    ("500_api_error", "UNKNOWN", None, False, False),
    ("401_invalid_key", "NOT_EXECUTED", "CONFIG", False, True),
    ("429_rate_limit", "NOT_EXECUTED", None, True, True),
    ("429_lock_timeout", "NOT_EXECUTED", None, True, True),
]


@respx.mock
@pytest.mark.parametrize(("name", "status", "decline", "again", "elsewhere"), ERRORS)
async def test_errors(
    name: str, status: str, decline: str | None, again: bool, elsewhere: bool
) -> None:
    dispatched = await send("SALE", *[error(name)] * 3)

    failure = dispatched.outcome.failure
    assert failure is not None
    assert dispatched.outcome.status == status
    assert failure.decline == decline
    assert (failure.retry_same_provider, failure.retry_other_provider) == (again, elsewhere)


def test_every_published_error_is_covered_here() -> None:
    elsewhere = {
        "402_card_declined_insufficient_funds",
        "400_charge_already_refunded",
        "400_payment_intent_unexpected_state",
    }
    published = {path.stem.removeprefix("error_") for path in HERE.glob("samples/error_*.json")}

    assert published == elsewhere | {name for name, *_ in ERRORS}


def an_error(status: int, **members: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": {"type": "card_error", **members}})


@respx.mock
async def test_only_a_limit_of_the_whole_account_counts_against_the_breaker() -> None:
    bench = a_bench(StripeAdapter())
    account = an_account("stripe")
    for name, state in [
        ("429_lock_timeout", BreakerState.CLOSED),
        ("429_rate_limit", BreakerState.OPEN),
    ]:
        for _ in range(5):
            respx.post(INTENTS).mock(side_effect=[error(name)] * 3)
            prepared = bench.dispatcher.prepare(account, an_operation_of("SALE"))
            await bench.dispatcher.send(prepared, bench.commit)
        assert bench.breakers.of(account, "SALE").state is state


@respx.mock
async def test_a_refund_the_balance_cannot_cover_waits() -> None:
    dispatched = await send("REFUND", an_error(400, code="balance_insufficient"))

    assert dispatched.outcome.status is OutcomeStatus.NOT_EXECUTED
    assert dispatched.outcome.failure is not None
    assert dispatched.outcome.failure.retry_same_provider
    assert dispatched.outcome.failure.retry_after_seconds == 3600


@respx.mock
async def test_a_capture_refused_because_we_had_captured_is_a_success() -> None:
    respx.get(INTENT).mock(return_value=captured())

    dispatched = await send(
        "CAPTURE", error("400_payment_intent_unexpected_state"), amount=Money(3000, "EUR")
    )

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED


@respx.mock
async def test_a_capture_refused_because_somebody_else_had_captured_is_declined() -> None:
    respx.get(INTENT).mock(return_value=intent("partial_capture_final"))

    dispatched = await send("CAPTURE", error("400_payment_intent_unexpected_state"))

    assert dispatched.outcome.status is OutcomeStatus.DECLINED
    assert code_of(dispatched.outcome) == "invalid_state"


@respx.mock
async def test_a_state_that_cannot_be_checked_stays_unknown() -> None:
    respx.get(INTENT).mock(side_effect=httpx.ReadTimeout("slow"))

    dispatched = await send("CAPTURE", error("400_payment_intent_unexpected_state"))

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN


@respx.mock
@pytest.mark.parametrize(("ours", "status"), [(True, "SUCCEEDED"), (False, "DECLINED")])
async def test_already_refunded_asks_whether_we_did_it(ours: bool, status: str) -> None:
    made = body("api_refund_succeeded", metadata={"operation_id": "op_1" if ours else "op_2"})
    respx.get(url__startswith=REFUNDS).respond(200, json={"data": [made], "has_more": False})

    dispatched = await send("REFUND", error("400_charge_already_refunded"))

    assert dispatched.outcome.status == status


@respx.mock
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer", [httpx.ReadTimeout("slow"), httpx.ReadError("reset"), httpx.Response(502)]
)
async def test_no_answer_is_unknown_for_every_kind(kind: str, answer: Any) -> None:
    dispatched = await send(kind, answer)

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN


@respx.mock
@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("SALE", intent("succeeded_automatic", metadata={"operation_id": "op_2"})),
        ("CAPTURE", captured(id="pi_other")),
        ("CAPTURE", captured(by="op_2")),
        ("CAPTURE", intent("partial_capture_final")),
        ("VOID", intent("canceled", id="pi_other")),
        ("REFUND", refund("succeeded", payment_intent="pi_other")),
        ("REFUND", refund("succeeded", metadata={"operation_id": "op_2"})),
        ("SALE", intent("created_unconfirmed")),
        ("CAPTURE", intent("multicapture_open")),
        ("VOID", intent("succeeded_automatic")),
        ("SALE", refund("succeeded")),
    ],
)
async def test_an_answer_about_something_else_is_not_believed(
    kind: str, answer: httpx.Response
) -> None:
    dispatched = await send(kind, answer)

    assert dispatched.outcome.status is OutcomeStatus.UNKNOWN


@respx.mock
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("SALE", {"token": None}),
        ("SALE", {"amount": Money(12345, "KWD")}),
        ("CAPTURE", {"parent_ref": None}),
        ("CAPTURE", {"final": False}),
        ("REFUND", {"parent_ref": None}),
        ("SALE", {"account": an_account("stripe", secrets={}).credentials()}),
        ("SALE", {"account": an_account("stripe", live=True).credentials()}),
    ],
)
async def test_what_stripe_cannot_do_is_refused_before_the_call(
    kind: str, changes: dict[str, Any]
) -> None:
    bench = a_bench(StripeAdapter())

    prepared = bench.dispatcher.prepare(an_account("stripe"), an_operation_of(kind, **changes))

    assert prepared.call is None
    assert prepared.refusal is not None
    assert prepared.refusal.status is OutcomeStatus.NOT_EXECUTED
    assert not respx.calls


def test_stripe_tokens_stay_at_stripe() -> None:
    [mine, simulated] = [
        a_bench(StripeAdapter()).dispatcher.candidates([an_account("stripe")], "SALE", token)[0]
        for token in ("pm_card", "tok_success")
    ]

    assert (mine.takes_token, mine.portable) == (True, False)
    assert not simulated.takes_token


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"publishable_key": "pk_test_1"}, {"publishableKey": "pk_test_1"}),
        ({"publishable_key": "sk_test_1"}, None),
        ({"publishable_key": ""}, None),
        ({}, None),
    ],
)
def test_pages_are_told_the_publishable_key_and_nothing_that_is_none(
    fields: dict[str, str], told: dict[str, str] | None
) -> None:
    account = an_account("stripe", fields=fields).credentials()

    configuration = StripeAdapter().client_configuration(account, "card")

    assert (configuration and configuration.fields) == told
    assert configuration is None or not configuration.portable


def test_only_what_is_tested_is_declared() -> None:
    assert StripeAdapter.manifest.capabilities == {
        Capability.SALE,
        Capability.AUTHORIZE,
        Capability.CAPTURE,
        Capability.PARTIAL_CAPTURE,
        Capability.MULTI_CAPTURE,
        Capability.VOID,
        Capability.REFUND,
        Capability.PARTIAL_REFUND,
        Capability.THREE_DS,
        Capability.STORED_METHODS,
        Capability.CLIENT_CONFIGURATION,
        Capability.WEBHOOKS,
        Capability.LOOKUP_BY_OP_ID,
        Capability.IDEMPOTENCY,
    }
