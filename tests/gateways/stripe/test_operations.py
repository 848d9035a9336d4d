"""Stripe's operations against its published answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.money import Money
from gateways.breaker import BreakerState
from gateways.dispatcher import Dispatched, LookedUp
from gateways.driver import check_integrity
from gateways.port import (
    Capability,
    HttpResponse,
    LookupResult,
    NextActionKind,
    Operation,
    Outcome,
    OutcomeStatus,
    Unparseable,
)
from gateways.stripe import StripeAdapter
from tests.gateways.builders import Bench, a_bench, an_account, an_operation

HERE = Path(__file__).parent
API = "https://psp.example"
INTENTS = f"{API}/v1/payment_intents"
INTENT = f"{INTENTS}/pi_3SAMPLEord1001"
REFUNDS = f"{API}/v1/refunds"
KINDS = ["SALE", "AUTHORIZE", "CAPTURE", "VOID", "REFUND"]


def body(name: str, **changes: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HERE / f"samples/{name}.json").read_text("utf-8"))
    return {**loaded, **changes}


def intent(name: str, **changes: Any) -> httpx.Response:
    return httpx.Response(200, json=body(f"api_payment_intent_{name}", **changes))


def refund(name: str, **changes: Any) -> httpx.Response:
    return httpx.Response(200, json=body(f"api_refund_{name}", **changes))


def error(name: str) -> httpx.Response:
    answer = body(f"error_{name}")
    return httpx.Response(answer["http_status"], headers=answer["headers"], json=answer["body"])


def an_operation_of(kind: str, **changes: Any) -> Operation:
    account = an_account("stripe").credentials()
    parent = None if kind in {"SALE", "AUTHORIZE"} else "pi_3SAMPLEord1001"
    amount = Money(1500 if kind == "REFUND" else 4250, "EUR")
    defaults = {"account": account, "parent_ref": parent, "amount": amount}
    return an_operation(kind, **{**defaults, **changes})


def url_of(kind: str) -> str:
    return {
        "SALE": INTENTS,
        "AUTHORIZE": INTENTS,
        "CAPTURE": f"{INTENT}/capture",
        "VOID": f"{INTENT}/cancel",
        "REFUND": REFUNDS,
    }[kind]


async def send(kind: str, *answers: Any, bench: Bench | None = None, **changes: Any) -> Dispatched:
    bench = bench or a_bench(StripeAdapter())
    account, operation = an_account("stripe"), an_operation_of(kind, **changes)
    respx.post(url_of(kind)).mock(side_effect=list(answers))
    prepared = bench.dispatcher.prepare(account, operation)
    return await bench.dispatcher.send(prepared, bench.commit)


async def look(kind: str, **changes: Any) -> LookedUp:
    operation = an_operation_of(kind, **changes)
    return await a_bench(StripeAdapter()).dispatcher.lookup(an_account("stripe"), operation)


def form() -> dict[str, str]:
    sent = respx.calls.last.request.content.decode()
    return {name: value for name, [value] in parse_qs(sent).items()}


def code_of(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.code


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
    dispatched = await send("CAPTURE", intent("partial_capture_final"), amount=Money(3000, "EUR"))

    assert dispatched.outcome.status is OutcomeStatus.SUCCEEDED
    assert dispatched.outcome.amount == Money(3000, "EUR")
    assert form() == {"amount_to_capture": "3000", "metadata[capture_operation_id]": "op_1"}


@respx.mock
async def test_a_capture_of_another_amount_is_not_believed() -> None:
    dispatched = await send("CAPTURE", intent("partial_capture_final"), amount=Money(2000, "EUR"))

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
@pytest.mark.parametrize(
    ("code", "kind", "elsewhere"),
    [
        ("lost_card", "HARD", False),
        ("fraudulent", "FRAUD", False),
        ("incorrect_cvc", "INVALID_METHOD", False),
        ("generic_decline", "SOFT", True),
        ("card_velocity_exceeded", "LIMIT", False),
        ("never_heard_of", "OTHER", False),
    ],
)
async def test_decline_codes(code: str, kind: str, elsewhere: bool) -> None:
    dispatched = await send("SALE", an_error(402, code="card_declined", decline_code=code))

    failure = dispatched.outcome.failure
    assert failure is not None
    assert failure.decline == kind
    assert failure.provider_code == code
    assert failure.retry_other_provider is elsewhere


@respx.mock
async def test_a_stolen_card_is_not_called_so() -> None:
    dispatched = await send("SALE", an_error(402, code="card_declined", decline_code="stolen_card"))

    assert dispatched.outcome.failure is not None
    assert "stolen" not in dispatched.outcome.failure.message


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
    captured = intent("partial_capture_final", metadata={"capture_operation_id": "op_1"})
    respx.get(INTENT).mock(return_value=captured)

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
        ("CAPTURE", intent("partial_capture_final", id="pi_other")),
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


@respx.mock
@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("succeeded_automatic", "SALE", "SUCCEEDED"),
        ("requires_capture_manual", "AUTHORIZE", "SUCCEEDED"),
        ("partial_capture_final", "AUTHORIZE", "SUCCEEDED"),
        ("multicapture_open", "AUTHORIZE", "SUCCEEDED"),
        ("canceled", "AUTHORIZE", "SUCCEEDED"),
        ("canceled", "SALE", "DECLINED"),
        ("declined_state", "SALE", "DECLINED"),
        ("processing_debit", "SALE", "PENDING"),
        ("requires_action_redirect", "SALE", "REQUIRES_ACTION"),
    ],
)
async def test_a_lookup_by_id(name: str, kind: str, status: str) -> None:
    respx.get(INTENT).mock(return_value=intent(name))

    looked = await look(kind, provider_ref="pi_3SAMPLEord1001")

    assert looked.answered
    assert looked.result.outcome is not None
    assert looked.result.outcome.status == status


@respx.mock
async def test_an_intent_that_was_never_confirmed_proves_nothing() -> None:
    respx.get(INTENT).mock(return_value=intent("created_unconfirmed"))

    looked = await look("SALE", provider_ref="pi_3SAMPLEord1001")

    assert looked.answered
    assert looked.result == LookupResult()


SENT_AT = datetime(2026, 11, 20, tzinfo=UTC)


def pages(*entries: list[dict[str, Any]]) -> list[httpx.Response]:
    last = len(entries) - 1
    return [
        httpx.Response(200, json={"data": page, "has_more": number != last})
        for number, page in enumerate(entries)
    ]


@respx.mock
async def test_a_lookup_without_id_searches_the_list_for_our_own() -> None:
    mine = body("api_payment_intent_succeeded_automatic", metadata={"operation_id": "op_1"})
    other = body("api_payment_intent_succeeded_automatic", id="pi_other")
    listing = respx.get(url__startswith=INTENTS).mock(side_effect=pages([other], [mine]))

    looked = await look("SALE", sent_at=SENT_AT)

    assert looked.result.outcome is not None
    assert looked.result.outcome.status is OutcomeStatus.SUCCEEDED
    first, second = (call.request.url.params for call in listing.calls)
    assert int(first["created[gte]"]) == int(SENT_AT.timestamp()) - 300
    assert second["starting_after"] == "pi_other"


@respx.mock
async def test_not_found_is_conclusive_only_when_the_whole_list_was_read() -> None:
    other = [body("api_payment_intent_succeeded_automatic")]
    listing = respx.get(url__startswith=INTENTS)

    listing.mock(side_effect=pages(other))
    whole = await look("SALE", sent_at=SENT_AT)
    listing.mock(side_effect=pages(*[other] * 9))
    part = await look("SALE", sent_at=SENT_AT)
    listing.mock(side_effect=pages(other))
    undated = await look("SALE")

    assert whole.result == LookupResult(not_found_is_conclusive=True)
    assert part.result == LookupResult(not_found_is_conclusive=False)
    assert undated.result == LookupResult(not_found_is_conclusive=False)


@respx.mock
async def test_a_lookup_of_a_capture_is_satisfied_only_by_our_own() -> None:
    get = respx.get(INTENT)

    get.mock(return_value=intent("requires_capture_manual"))
    open_ = await look("CAPTURE", amount=Money(3000, "EUR"))
    get.mock(return_value=intent("partial_capture_final", metadata={}))
    others = await look("CAPTURE", amount=Money(3000, "EUR"))
    mine = intent("partial_capture_final", metadata={"capture_operation_id": "op_1"})
    get.mock(return_value=mine)
    ours = await look("CAPTURE", amount=Money(3000, "EUR"))

    assert open_.result == others.result == LookupResult(not_found_is_conclusive=True)
    assert ours.result.outcome is not None
    assert ours.result.outcome.status is OutcomeStatus.SUCCEEDED


@respx.mock
async def test_a_lookup_of_a_void() -> None:
    get = respx.get(INTENT)

    get.mock(return_value=intent("canceled"))
    done = await look("VOID")
    get.mock(return_value=intent("requires_capture_manual"))
    not_done = await look("VOID")

    assert done.result.outcome is not None
    assert done.result.outcome.status is OutcomeStatus.SUCCEEDED
    assert not_done.result == LookupResult(not_found_is_conclusive=True)


@respx.mock
async def test_a_lookup_of_a_refund_by_id_and_by_list() -> None:
    mine = body("api_refund_succeeded", metadata={"operation_id": "op_1"})
    respx.get(f"{REFUNDS}/re_1").respond(200, json=mine)
    respx.get(url__startswith=f"{REFUNDS}?").mock(side_effect=pages([mine]))

    by_id = await look("REFUND", provider_ref="re_1")
    by_list = await look("REFUND")

    for looked in (by_id, by_list):
        assert looked.result.outcome is not None
        assert looked.result.outcome.status is OutcomeStatus.SUCCEEDED


@respx.mock
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_lookup_that_is_refused_proves_nothing(kind: str, status: int) -> None:
    respx.get(url__startswith=API).respond(status, json={"error": {"type": "api_error"}})

    looked = await look(kind, provider_ref="x_1")

    assert looked.result == LookupResult()
    assert not looked.answered


def test_stripe_tokens_stay_at_stripe() -> None:
    [mine, simulated] = [
        a_bench(StripeAdapter()).dispatcher.candidates([an_account("stripe")], "SALE", token)[0]
        for token in ("pm_card", "tok_success")
    ]

    assert (mine.takes_token, mine.portable) == (True, False)
    assert not simulated.takes_token


def test_only_what_is_tested_is_declared() -> None:
    assert StripeAdapter.manifest.capabilities == {
        Capability.SALE,
        Capability.AUTHORIZE,
        Capability.CAPTURE,
        Capability.PARTIAL_CAPTURE,
        Capability.VOID,
        Capability.REFUND,
        Capability.PARTIAL_REFUND,
        Capability.THREE_DS,
        Capability.WEBHOOKS,
        Capability.LOOKUP_BY_OP_ID,
        Capability.IDEMPOTENCY,
    }


GARBAGE = st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "object", "status", "error", "type", "code", "metadata"])
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
FLOWS: dict[str, Callable[[Operation], Any]] = {
    "SALE": StripeAdapter().authorize,
    "AUTHORIZE": StripeAdapter().authorize,
    "CAPTURE": StripeAdapter().capture,
    "VOID": StripeAdapter().void,
    "REFUND": StripeAdapter().refund,
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.sampled_from([200, 201, 204, 302, 400, 402, 404]), GARBAGE)
def test_garbage_is_never_an_outcome(kind: str, status: int, garbage: bytes) -> None:
    flow = FLOWS[kind](an_operation_of(kind))
    next(flow)

    with pytest.raises(Unparseable):
        flow.send(HttpResponse(status, {}, garbage))


MUTATED = {
    "SALE": "api_payment_intent_succeeded_automatic",
    "AUTHORIZE": "api_payment_intent_requires_capture_manual",
    "CAPTURE": "api_payment_intent_partial_capture_final",
    "VOID": "api_payment_intent_canceled",
    "REFUND": "api_refund_succeeded",
}


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_answer_is_never_a_success_of_another_amount(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    answer = body(MUTATED[kind])
    name = data.draw(st.sampled_from(sorted(answer)))
    answer[name] = data.draw(
        st.none() | st.booleans() | st.integers(-5, 10**19) | st.floats() | st.text(max_size=8)
    )
    amount = {"CAPTURE": 3000, "REFUND": 1500}.get(kind, 4250)
    operation = an_operation_of(kind, amount=Money(amount, "EUR"))
    flow = FLOWS[kind](operation)
    next(flow)
    try:
        flow.send(HttpResponse(200, {}, json.dumps(answer).encode()))
    except Unparseable:
        return
    except StopIteration as ended:
        outcome = check_integrity(operation, ended.value)

    if outcome.status is OutcomeStatus.SUCCEEDED:
        assert outcome.amount == operation.amount
        assert outcome.provider_ref
