"""The flows by hand: what is asked for, and what each answer is taken to mean."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.money import Money
from gateways.driver import check_integrity
from gateways.port import (
    Account,
    BadRequest,
    DeclineKind,
    Effect,
    Flow,
    HttpCall,
    HttpResponse,
    LookupResult,
    Operation,
    Outcome,
    OutcomeStatus,
    Unparseable,
)
from gateways.simulator import SimulatorAdapter

ADAPTER = SimulatorAdapter()
ACCOUNT = Account(
    "prv_1",
    "http://simulator.test/",
    secrets={"secret_key": ("sk_new", "sk_old"), "webhook_secret": ("wh",)},
)


def an_operation(kind: str = "SALE", **changes: Any) -> Operation:
    operation = Operation(
        "op_1",
        kind,
        "key_1",
        Money(1000, "EUR"),
        ACCOUNT,
        token="tok_success",
        parent_ref=None if kind in {"SALE", "AUTHORIZE"} else "sp_1",
    )
    return replace(operation, **changes)


def a_payment(**changes: Any) -> dict[str, Any]:
    return {
        "object": "payment",
        "id": "sp_1",
        "reference": "op_1",
        "status": "captured",
        "amount": 1000,
        "amount_authorized": 1000,
        "currency": "EUR",
        "fee": 59,
        "capture": True,
        "next_action": None,
        "decline": None,
        "created": "2026-03-01T12:00:00.000Z",
        "updated": "2026-03-01T12:00:01.000Z",
        **changes,
    }


def a_movement(object: str, **changes: Any) -> dict[str, Any]:
    return {
        "object": object,
        "id": "sr_1",
        "payment": "sp_1",
        "reference": "op_1",
        "status": "succeeded",
        "amount": 1000,
        "currency": "EUR",
        "fee": 0,
        "reason": None,
        "created": "2026-03-01T12:00:00.000Z",
        **changes,
    }


def an_answer(document: object, status: int = 201, **headers: str) -> HttpResponse:
    return HttpResponse(status, headers, json.dumps(document).encode())


def an_error(status: int, code: str, **headers: str) -> HttpResponse:
    return an_answer({"error": {"code": code, "message": "m"}}, status, **headers)


def first_call(flow: Flow[Any]) -> HttpCall:
    call = next(flow)
    flow.close()
    return call


def conclude(flow: Flow[Any], response: HttpResponse) -> Any:
    """Answer the flow's only call."""
    next(flow)
    with pytest.raises(StopIteration) as ended:
        flow.send(response)
    return ended.value.value


def flow_of(operation: Operation) -> Flow[Outcome]:
    match operation.kind:
        case "CAPTURE":
            return ADAPTER.capture(operation)
        case "VOID":
            return ADAPTER.void(operation)
        case "REFUND":
            return ADAPTER.refund(operation)
        case _:
            return ADAPTER.authorize(operation)


def outcome_of(operation: Operation, response: HttpResponse) -> Outcome:
    outcome = conclude(flow_of(operation), response)
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_sale_carries_our_id_key_and_newest_secret() -> None:
    operation = an_operation(return_url="https://shop.test/r", metadata={"order": "7"})

    call = first_call(ADAPTER.authorize(operation))

    assert (call.method, call.url) == ("POST", "http://simulator.test/v1/payments")
    assert json.loads(call.body) == {
        "amount": 1000,
        "currency": "EUR",
        "reference": "op_1",
        "token": "tok_success",
        "capture": True,
        "return_url": "https://shop.test/r",
        "metadata": {"order": "7"},
    }
    assert call.headers["Authorization"] == "Bearer sk_new"
    assert call.headers["Idempotency-Key"] == call.idempotency_key == "key_1"
    assert call.effect is Effect.MONEY
    assert call.secrets == ("sk_new",)
    assert "sk_new" not in repr(call)
    assert "tok_success" not in repr(operation)


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("AUTHORIZE", "/v1/payments", {"capture": False}),
        ("CAPTURE", "/v1/payments/sp_1/captures", {"amount": 1000, "final": True}),
        ("VOID", "/v1/payments/sp_1/void", {"reference": "op_1"}),
        ("REFUND", "/v1/refunds", {"amount": 1000, "payment": "sp_1", "currency": "EUR"}),
    ],
)
def test_each_operation_goes_to_its_own_address(
    kind: str, path: str, body: dict[str, object]
) -> None:
    call = first_call(flow_of(an_operation(kind)))

    assert call.url == "http://simulator.test" + path
    assert json.loads(call.body).items() >= body.items()
    assert json.loads(call.body)["reference"] == "op_1"
    assert call.headers["Idempotency-Key"] == "key_1"
    assert call.effect is Effect.MONEY


@pytest.mark.parametrize(
    "operation",
    [
        an_operation(amount=Money(0, "EUR")),
        an_operation(amount=Money(10**12, "EUR")),
        an_operation(token=None),
        an_operation(account=replace(ACCOUNT, secrets={})),
        an_operation("REFUND", parent_ref=None),
        an_operation("CAPTURE", parent_ref="../v1/refunds"),
    ],
)
def test_what_cannot_be_expressed_is_refused_before_any_call(operation: Operation) -> None:
    with pytest.raises(BadRequest):
        next(flow_of(operation))


def test_a_charge_is_understood_with_amount_and_fee() -> None:
    outcome = outcome_of(an_operation(), an_answer(a_payment()))

    assert outcome.status is OutcomeStatus.SUCCEEDED
    assert outcome.provider_ref == "sp_1"
    assert outcome.amount == Money(1000, "EUR")
    assert outcome.fee == Money(59, "EUR")
    assert outcome.occurred_at is not None
    assert outcome.occurred_at.isoformat() == "2026-03-01T12:00:01+00:00"


def test_an_authorization_has_no_fee() -> None:
    payment = a_payment(status="authorized", capture=False, fee=0)

    outcome = outcome_of(an_operation("AUTHORIZE"), an_answer(payment))

    assert (outcome.status, outcome.fee) == (OutcomeStatus.SUCCEEDED, None)


@pytest.mark.parametrize("kind", ["CAPTURE", "VOID", "REFUND"])
def test_a_movement_is_understood(kind: str) -> None:
    document = a_movement(kind.lower(), fee=59 if kind == "CAPTURE" else 0)

    outcome = outcome_of(an_operation(kind), an_answer(document))

    assert (outcome.status, outcome.provider_ref) == (OutcomeStatus.SUCCEEDED, "sr_1")
    assert outcome.amount == Money(1000, "EUR")
    assert outcome.fee == (Money(59, "EUR") if kind == "CAPTURE" else None)


def test_waiting_for_the_shopper_gives_the_redirect() -> None:
    action = {"type": "redirect", "url": "http://simulator.test/3ds/sp_1"}
    payment = a_payment(status="requires_action", next_action=action, amount_authorized=0)

    outcome = outcome_of(an_operation(), an_answer(payment))

    assert outcome.status is OutcomeStatus.REQUIRES_ACTION
    assert outcome.next_action is not None
    assert outcome.next_action.url == "http://simulator.test/3ds/sp_1"


def test_pending_is_pending() -> None:
    payment = a_payment(status="pending", amount_authorized=0, fee=0)

    assert outcome_of(an_operation(), an_answer(payment)).status is OutcomeStatus.PENDING


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("account_closed", DeclineKind.HARD),
        ("insufficient_funds", DeclineKind.INSUFFICIENT_FUNDS),
        ("suspected_fraud", DeclineKind.FRAUD),
        ("authentication_failed", DeclineKind.SOFT),
        ("never_heard_of", DeclineKind.OTHER),
    ],
)
def test_a_decline_is_certain_and_explained(code: str, kind: DeclineKind) -> None:
    decline = {"code": code, "network_code": "51", "advice_code": "02", "message": "no"}
    payment = a_payment(status="declined", decline=decline, amount_authorized=0, fee=0)

    outcome = outcome_of(an_operation(), an_answer({"error": {}, "payment": payment}, 402))

    assert outcome.status is OutcomeStatus.DECLINED
    assert outcome.failure is not None
    assert outcome.failure.decline is kind
    assert (outcome.failure.provider_code, outcome.failure.network_code) == (code, "51")
    assert not outcome.failure.retry_same_provider
    assert not outcome.failure.retry_other_provider


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "token_unknown", OutcomeStatus.DECLINED),
        (422, "amount_exceeds_captured", OutcomeStatus.DECLINED),
        (404, "payment_not_found", OutcomeStatus.DECLINED),
        (401, "secret_key_invalid", OutcomeStatus.NOT_EXECUTED),
        (429, "rate_limited", OutcomeStatus.NOT_EXECUTED),
        (409, "idempotency_key_in_progress", OutcomeStatus.UNKNOWN),
        (400, "idempotency_key_reused", OutcomeStatus.UNKNOWN),
    ],
)
def test_refusals_are_sorted_by_what_they_prove(
    status: int, code: str, expected: OutcomeStatus
) -> None:
    outcome = outcome_of(an_operation(), an_error(status, code))

    assert outcome.status is expected
    assert outcome.failure is not None


def test_being_turned_away_may_be_tried_again_here_and_elsewhere() -> None:
    answer = HttpResponse(429, {"retry-after": "7"}, b"")

    failure = outcome_of(an_operation(), answer).failure

    assert failure is not None
    assert failure.retry_same_provider
    assert failure.retry_other_provider
    assert failure.outage
    assert failure.retry_after_seconds == 7


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(200, {}, b"<!doctype html>"),
        HttpResponse(201, {}, b""),
        HttpResponse(302, {}, b"{}"),
        an_answer([]),
        an_answer({}),
        an_answer(a_payment(reference="op_2")),
        an_answer(a_payment(reference=None)),
        an_answer(a_payment(capture=False)),
        an_answer(a_movement("refund")),
        an_answer(a_payment(status="authorized")),
        an_answer(a_payment(status="surprise")),
        an_answer(a_payment(amount="1000")),
        an_answer(a_payment(amount=True)),
        an_answer(a_payment(amount=-1000)),
        an_answer(a_payment(amount=None)),
        an_answer(a_payment(amount_authorized=1)),
        an_answer(a_payment(currency="EURO")),
        an_answer(a_payment(currency=None)),
        an_answer(a_payment(updated="yesterday")),
        an_answer(a_payment(updated="2026-03-01T12:00:00")),
        an_answer(a_payment(id="")),
        an_answer(a_payment(status="requires_action")),
        an_answer(a_payment(status="declined"), 402),
        an_answer({"payment": a_payment()}, 402),
        HttpResponse(402, {}, b"no"),
        HttpResponse(400, {}, b"no"),
    ],
)
def test_what_is_not_understood_is_never_guessed(answer: HttpResponse) -> None:
    flow = ADAPTER.authorize(an_operation())
    next(flow)

    with pytest.raises(Unparseable):
        flow.send(answer)


def test_another_amount_is_reported_so_that_the_driver_can_object() -> None:
    outcome = outcome_of(an_operation(), an_answer(a_payment(amount=1001, amount_authorized=1001)))

    assert outcome.amount == Money(1001, "EUR")
    assert check_integrity(an_operation(), outcome).status is OutcomeStatus.UNKNOWN


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no bug
@given(
    status=st.sampled_from([200, 201, 202, 204, 301, 400, 401, 402, 404, 409, 418, 422, 429]),
    changes=st.dictionaries(st.sampled_from(sorted(a_payment())), json_values, max_size=3),
    cut=st.integers(0, 600),
)
def test_any_answer_ends_in_an_outcome_or_is_not_understood(
    status: int, changes: dict[str, Any], cut: int
) -> None:
    flow = ADAPTER.authorize(an_operation())
    next(flow)
    body = json.dumps({**a_payment(), **changes}).encode()[: 2 * cut]

    with pytest.raises((StopIteration, Unparseable)) as ended:
        flow.send(HttpResponse(status, {}, body))

    if isinstance(ended.value, StopIteration):
        outcome = ended.value.value
        assert isinstance(outcome, Outcome)
        if outcome.status is OutcomeStatus.SUCCEEDED:
            assert outcome.amount is not None
            assert status in {200, 201}


def test_a_lookup_asks_by_our_id_and_moves_nothing() -> None:
    call = first_call(ADAPTER.lookup(an_operation(id="op /1")))

    assert call.url == "http://simulator.test/v1/operations?reference=op%20%2F1"
    assert call.effect is Effect.NONE
    assert "Idempotency-Key" not in call.headers


def test_a_lookup_by_the_providers_id_where_it_is_known() -> None:
    flow = ADAPTER.lookup(an_operation("REFUND", provider_ref="sr_1"))

    result = conclude(flow, an_answer(a_movement("refund", reference=None), 200))

    assert isinstance(result, LookupResult)
    assert result.outcome is not None
    assert result.outcome.status is OutcomeStatus.SUCCEEDED


@pytest.mark.parametrize("in_progress", [True, False])
def test_not_found_is_conclusive_unless_something_is_in_progress(in_progress: bool) -> None:
    answer = an_answer({"data": [], "in_progress": in_progress}, 200)

    result = conclude(ADAPTER.lookup(an_operation()), answer)

    assert result == LookupResult(not_found_is_conclusive=not in_progress)


@pytest.mark.parametrize(
    ("status", "authorized", "expected"),
    [
        ("authorized", 1000, OutcomeStatus.SUCCEEDED),
        ("partially_captured", 1000, OutcomeStatus.SUCCEEDED),
        ("captured", 1000, OutcomeStatus.SUCCEEDED),
        ("voided", 1000, OutcomeStatus.SUCCEEDED),
        ("expired", 1000, OutcomeStatus.SUCCEEDED),
        ("voided", 0, OutcomeStatus.DECLINED),
        ("expired", 0, OutcomeStatus.DECLINED),
    ],
)
def test_what_became_of_an_authorization_later_does_not_undo_it(
    status: str, authorized: int, expected: OutcomeStatus
) -> None:
    payment = a_payment(status=status, capture=False, amount_authorized=authorized)
    answer = an_answer({"data": [payment], "in_progress": False}, 200)

    result = conclude(ADAPTER.lookup(an_operation("AUTHORIZE")), answer)

    assert result.outcome.status is expected


@pytest.mark.parametrize(
    "answer",
    [
        an_error(500, "internal_error"),
        an_error(401, "secret_key_invalid"),
        an_error(429, "rate_limited"),
        HttpResponse(200, {}, b"<html>"),
        an_answer({"data": {}, "in_progress": False}, 200),
        an_answer({"data": [1], "in_progress": False}, 200),
        an_answer({"data": []}, 200),
        an_answer({"data": [a_payment(), a_payment(id="sp_2")], "in_progress": False}, 200),
        an_answer({"data": [a_payment(reference="op_2")], "in_progress": False}, 200),
        an_answer({"data": [a_movement("refund")], "in_progress": False}, 200),
    ],
)
def test_a_lookup_that_is_not_understood_proves_nothing(answer: HttpResponse) -> None:
    flow = ADAPTER.lookup(an_operation())
    next(flow)

    with pytest.raises(Unparseable):
        flow.send(answer)


@pytest.mark.parametrize(("status", "alive"), [(200, True), (401, False), (500, False)])
def test_the_probe_wants_a_plain_yes(status: int, alive: bool) -> None:
    flow = ADAPTER.probe(ACCOUNT)
    call = next(flow)
    assert (call.method, call.effect) == ("GET", Effect.NONE)

    with pytest.raises(StopIteration) as ended:
        flow.send(HttpResponse(status, {}, b"{}"))

    assert ended.value.value is alive


def test_only_bound_tokens_stay_with_their_account() -> None:
    assert ADAPTER.is_portable("tok_success")
    assert not ADAPTER.is_portable("bound_success")
