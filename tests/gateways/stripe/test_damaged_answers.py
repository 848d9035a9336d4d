"""Whatever bytes come back: never a success that is not one, never an exception."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.money import Money
from gateways.driver import check_integrity
from gateways.port import (
    HttpResponse,
    Operation,
    OutcomeStatus,
    Unparseable,
)
from gateways.stripe import StripeAdapter
from tests.gateways.stripe.builders import (
    KINDS,
    an_operation_of,
    body,
)

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


ANYTHING = st.none() | st.booleans() | st.integers(-5, 10**19) | st.floats() | st.text(max_size=8)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_answer_is_never_a_success_of_another_amount(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    answer = body(MUTATED[kind], metadata={"capture_op_1": "3000"} if kind == "CAPTURE" else {})
    amounts = [name for name in answer if name.startswith("amount")]
    name, value = data.draw(
        st.tuples(st.sampled_from(sorted(answer)), ANYTHING)
        | st.tuples(st.sampled_from(amounts), st.integers(0, 9_999))
    )
    answer[name] = value
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
        # A void says what was left of the hold, which nobody asked for.
        assert outcome.amount == operation.amount or (kind == "VOID" and outcome.amount)
        assert outcome.provider_ref
