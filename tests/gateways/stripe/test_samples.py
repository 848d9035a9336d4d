"""Every published body is read here, and says what it says.

Bodies about money that this adapter does not book yet (balance, disputes, payouts, reports) are
only taken apart: their amounts must add up when read by our readers.
"""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from core.money import Money
from gateways.port import CallbackRequest, HttpResponse, OutcomeStatus
from gateways.stripe import StripeAdapter
from gateways.stripe.mapping import (
    intent_outcome,
    is_undecided,
    refund_outcome,
    refusal,
    state_code,
    void_outcome,
)
from gateways.stripe.reading import Json, instant, integer, listed, member, money, parse, text
from tests.gateways.stripe.builders import HERE

SAMPLES = HERE / "samples"
S, P, A, D = (
    OutcomeStatus.SUCCEEDED,
    OutcomeStatus.PENDING,
    OutcomeStatus.REQUIRES_ACTION,
    OutcomeStatus.DECLINED,
)
INTENTS = {
    "succeeded_automatic": ("SALE", S, 4250),
    "requires_capture_manual": ("AUTHORIZE", S, 4250),
    "multicapture_open": ("AUTHORIZE", S, 4250),
    "partial_capture_final": ("AUTHORIZE", S, 4250),
    "canceled": ("AUTHORIZE", S, 4250),
    "processing_debit": ("SALE", P, 4250),
    "requires_action_redirect": ("SALE", A, 4250),
    "requires_action_sdk": ("SALE", A, 4250),
    "declined_state": ("SALE", D, None),
}
REFUNDS = {"succeeded": S, "pending": P, "failed": D}
LISTS = {
    "api_payment_intent_list": ["pi_3SAMPLEord1001"],
    "api_payment_intent_search": ["pi_3SAMPLEord1001"],
    "api_charge_list_empty": [],
}
ERRORS = {
    "400_amount_too_small": D,
    "400_charge_already_refunded": D,
    "400_payment_intent_unexpected_state": D,
    "400_idempotency_key_reused_other_params": OutcomeStatus.UNKNOWN,
    "401_invalid_key": OutcomeStatus.NOT_EXECUTED,
    "402_authentication_required_off_session": D,
    "402_card_declined_insufficient_funds": D,
    "404_resource_missing": D,
    "409_idempotency_key_in_use": OutcomeStatus.UNKNOWN,
    "429_lock_timeout": OutcomeStatus.NOT_EXECUTED,
    "429_rate_limit": OutcomeStatus.NOT_EXECUTED,
}
STATES = {"400_charge_already_refunded", "400_payment_intent_unexpected_state"}
EVENTS: dict[str, tuple[str | None, OutcomeStatus | None, int | None]] = {
    "charge.captured": ("CAPTURE", S, 3000),
    "charge.expired": ("VOID", S, 4250),
    "payment_intent.amount_capturable_updated": ("AUTHORIZE", S, 4250),
    "payment_intent.canceled": ("VOID", S, 4250),
    "payment_intent.payment_failed": ("SALE", D, None),
    "payment_intent.processing": ("SALE", P, 4250),
    "payment_intent.requires_action": ("SALE", A, 4250),
    "payment_intent.succeeded": ("SALE", S, 4250),
    "refund.created": ("REFUND", S, 1500),
    "refund.failed": ("REFUND", OutcomeStatus.REVERSED, 1500),
    "refund.updated": ("REFUND", S, 1500),
    **dict.fromkeys(
        (
            "charge.dispute.closed charge.dispute.created charge.dispute.funds_reinstated "
            "charge.dispute.funds_withdrawn charge.dispute.updated charge.failed charge.refunded "
            "charge.succeeded payment_intent.created payout.created payout.failed payout.paid "
            "payout.reconciliation_completed"
        ).split(),
        (None, None, None),
    ),
}
MOVEMENTS = {
    "charge": (4250, 89, "charge"),
    "refund": (-1500, 0, "refund"),
    "dispute": (-4250, 1500, "dispute"),
    "dispute_reversal": (4250, 0, "dispute_reversal"),
    "fee": (-200, 0, "fee"),
    "payout": (-2461, 0, "payout"),
}
DISPUTES = {
    "closed_lost": "lost",
    "needs_response": "needs_response",
    "submitted_under_review": "under_review",
}
ALONE = {
    "api_payment_intent_created_unconfirmed",
    "api_charge_succeeded",
    "api_balance_transactions_by_payout",
    "api_payout_failed",
    "api_payout_paid",
    "api_report_run_succeeded",
    "error_500_api_error",
    "report_payout_reconciliation_itemized",
}


def read(name: str) -> Json:
    return parse((SAMPLES / f"{name}.json").read_bytes())


def test_every_published_body_is_asserted_on_here() -> None:
    asserted = {
        *(f"api_payment_intent_{name}" for name in INTENTS),
        *(f"api_refund_{name}" for name in REFUNDS),
        *LISTS,
        *(f"error_{name}" for name in ERRORS),
        *(f"event_{name}" for name in EVENTS),
        *(f"api_balance_transaction_{name}" for name in MOVEMENTS),
        *(f"api_dispute_{name}" for name in DISPUTES),
        *ALONE,
    }

    assert asserted == {path.stem for path in SAMPLES.iterdir()}
    assert len(asserted) == 67


@pytest.mark.parametrize("name", INTENTS)
def test_an_intent(name: str) -> None:
    kind, status, units = INTENTS[name]

    outcome = intent_outcome(read(f"api_payment_intent_{name}"), kind)

    assert (outcome.status, outcome.provider_ref) == (status, "pi_3SAMPLEord1001")
    assert outcome.amount == (None if units is None else Money(units, "EUR"))
    assert (outcome.next_action is not None) is (status is A)
    assert (outcome.failure is not None) is (status is D)


def test_an_intent_that_was_not_confirmed_is_undecided_and_no_other_is() -> None:
    undecided = {
        name
        for name in (*INTENTS, "created_unconfirmed")
        if is_undecided(read(f"api_payment_intent_{name}"))
    }

    assert undecided == {"created_unconfirmed"}


def test_a_canceled_intent_says_what_was_released() -> None:
    outcome = void_outcome(read("api_payment_intent_canceled"))

    assert (outcome.status, outcome.amount) == (S, Money(4250, "EUR"))


@pytest.mark.parametrize("name", REFUNDS)
def test_a_refund(name: str) -> None:
    outcome = refund_outcome(read(f"api_refund_{name}"))

    assert (outcome.status, outcome.provider_ref) == (REFUNDS[name], "re_3SAMPLEord1001")
    assert outcome.amount == Money(1500, "EUR")


@pytest.mark.parametrize("name", LISTS)
def test_a_list(name: str) -> None:
    entries, complete = listed(read(name))

    assert complete
    assert [entry["id"] for entry in entries] == LISTS[name]


def response(name: str) -> HttpResponse:
    published: dict[str, Any] = json.loads((SAMPLES / f"error_{name}.json").read_bytes())
    headers = {key.lower(): value for key, value in published["headers"].items()}
    return HttpResponse(published["http_status"], headers, json.dumps(published["body"]).encode())


@pytest.mark.parametrize("name", ERRORS)
def test_an_error(name: str) -> None:
    answer = response(name)

    outcome = refusal(answer)

    assert outcome.status is ERRORS[name]
    assert (state_code(answer) is not None) is (name in STATES)
    assert answer.status == int(name[:3])


def test_a_500_is_never_read_by_the_adapter() -> None:
    """The driver makes it UNKNOWN; see test_errors.py."""
    answer = response("500_api_error")

    assert answer.status == 500
    assert text(member(parse(answer.body), "error"), "type") == "api_error"


@pytest.mark.parametrize("name", EVENTS)
def test_an_event(name: str) -> None:
    body = (SAMPLES / f"event_{name}.json").read_bytes()
    kind, status, units = EVENTS[name]

    [event] = StripeAdapter().parse_webhook(
        CallbackRequest({}, {}, body, datetime(2026, 11, 21, tzinfo=UTC))
    )

    outcome = event.outcome
    assert event.kind == name
    assert event.event_id.partition(":")[0] == json.loads(body)["id"]
    assert event.operation_kind == kind
    assert (outcome.status if outcome else None) is status
    expected = None if units is None else Money(units, "EUR")
    assert (outcome.amount if outcome else None) == expected


def net(movement: Json) -> int:
    assert text(movement, "object") == "balance_transaction"
    assert integer(movement, "net") == integer(movement, "amount") - integer(movement, "fee")
    details = movement["fee_details"]
    assert isinstance(details, list)
    assert sum(integer(fee, "amount") for fee in details) == integer(movement, "fee")
    return integer(movement, "net")


@pytest.mark.parametrize("name", MOVEMENTS)
def test_a_movement_of_the_balance_is_gross_less_fee(name: str) -> None:
    movement = read(f"api_balance_transaction_{name}")

    amount, fee, category = MOVEMENTS[name]
    assert net(movement) == amount - fee
    assert text(movement, "reporting_category") == category


def test_the_movements_of_a_payout_are_what_was_paid_out() -> None:
    movements, complete = listed(read("api_balance_transactions_by_payout"))
    paid, failed = read("api_payout_paid"), read("api_payout_failed")

    assert complete
    assert sum(net(each) for each in movements) == 0, "the payout is one of them"
    assert money(paid, "amount") == Money(2461, "EUR")
    assert text(paid, "reconciliation_status") == "completed"
    assert (text(paid, "status"), text(failed, "status")) == ("paid", "failed")
    assert text(failed, "failure_code")


@pytest.mark.parametrize("name", DISPUTES)
def test_a_dispute_names_its_charge_and_amount(name: str) -> None:
    dispute = read(f"api_dispute_{name}")

    assert text(dispute, "status") == DISPUTES[name]
    assert money(dispute, "amount") == Money(4250, "EUR")
    assert text(dispute, "charge") == "ch_3SAMPLEord1001a"
    assert instant(dispute, "created").tzinfo is UTC


def test_a_charge_names_its_intent_and_what_was_taken() -> None:
    charge = read("api_charge_succeeded")

    assert text(charge, "payment_intent") == "pi_3SAMPLEord1001"
    assert money(charge, "amount_captured") == Money(4250, "EUR")


def test_a_report_run_that_succeeded_says_where_its_file_is() -> None:
    run = read("api_report_run_succeeded")

    assert text(run, "status") == "succeeded"
    assert text(member(run, "result"), "url").startswith("https://files.stripe.com/")


def test_the_lines_of_the_payout_report_are_gross_less_fee() -> None:
    path = SAMPLES / "report_payout_reconciliation_itemized.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert rows
    for row in rows:
        assert Decimal(row["gross"]) - Decimal(row["fee"]) == Decimal(row["net"]), row
    assert sum(Decimal(row["net"]) for row in rows) == Decimal("24.61")
