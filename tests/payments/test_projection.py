"""Status is a function of the set of evidence: no order, no repetition changes it."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.identifiers import new_id
from payments.change import Change
from payments.model import (
    Aggregate,
    Attempt,
    Evidence,
    Operation,
    OperationKind,
    OperationStatus,
    Origin,
    Payment,
    Says,
    Source,
)
from payments.projection import project, project_operation
from tests.payments.world import at

ACCOUNT = new_id()


def an_operation(kind: str = "SALE", **changes: Any) -> Operation:
    values = {
        "id": new_id(),
        "payment_id": new_id(),
        "attempt_id": new_id(),
        "refund_id": None,
        "kind": OperationKind(kind),
        "origin": Origin.OURS,
        "provider_account_id": ACCOUNT,
        "parent_ref": None,
        "amount": 1000,
        "currency": "EUR",
        "final": True,
        "shares": (1000,),
        "idempotency_key": "op.1",
        "correlation_id": "request",
    }
    return Operation(**{**values, **changes})


OPERATION = an_operation()


def told(source: str, says: str, key: str = "", **facts: Any) -> Evidence:
    amount = facts.pop("amount", 1000 if says in ("SUCCEEDED", "REVERSED") else None)
    return Evidence(
        id=new_id(),
        operation_id=OPERATION.id,
        source=Source(source),
        says=Says(says),
        dedup_key=key or f"{source}:{says}:{sorted(facts.items())}",
        occurred_at=at(),
        amount=amount,
        facts=facts,
    )


SENT = told("INTENT", "SENT", "sent:1", send=1)
TABLE = [
    ([], "CREATED"),
    ([told("INTENT", "CREATED")], "CREATED"),
    ([SENT], "SENT"),
    ([SENT, told("RESPONSE", "CREATED", "unsent:1", send=1)], "CREATED"),
    (
        [SENT, told("RESPONSE", "CREATED", "unsent:1", send=1), told("CLOCK", "UNKNOWN", send=1)],
        "CREATED",
    ),
    (
        [
            SENT,
            told("RESPONSE", "CREATED", "unsent:1", send=1),
            told("INTENT", "SENT", "sent:2", send=2),
        ],
        "SENT",
    ),
    ([SENT, told("RESPONSE", "UNKNOWN", send=1)], "UNKNOWN"),
    ([SENT, told("RESPONSE", "PENDING"), told("CLOCK", "UNKNOWN")], "PENDING"),
    ([SENT, told("RESPONSE", "REQUIRES_ACTION"), told("CLOCK", "UNKNOWN")], "REQUIRES_ACTION"),
    ([SENT, told("RESPONSE", "REQUIRES_ACTION"), told("LOOKUP", "PENDING")], "PENDING"),
    ([SENT, told("RESPONSE", "SUCCEEDED")], "SUCCEEDED"),
    ([told("WEBHOOK", "SUCCEEDED")], "SUCCEEDED"),
    ([SENT, told("RESPONSE", "DECLINED")], "DECLINED"),
    ([SENT, told("LOOKUP", "NOT_EXECUTED")], "NOT_EXECUTED"),
    ([told("RESPONSE", "NOT_EXECUTED"), told("WEBHOOK", "DECLINED")], "DECLINED"),
    ([told("RESPONSE", "UNKNOWN"), told("WEBHOOK", "SUCCEEDED")], "SUCCEEDED"),
    ([told("RESPONSE", "SUCCEEDED"), told("WEBHOOK", "REVERSED")], "REVERSED"),
    ([told("RESPONSE", "SUCCEEDED"), told("WEBHOOK", "DECLINED")], "UNKNOWN"),
    ([told("RESPONSE", "DECLINED"), told("LOOKUP", "SUCCEEDED")], "SUCCEEDED"),
    ([told("WEBHOOK", "SUCCEEDED"), told("LOOKUP", "DECLINED")], "IN_REVIEW"),
    ([told("LOOKUP", "SUCCEEDED"), told("OPERATOR", "DECLINED")], "IN_REVIEW"),
    ([told("LOOKUP", "DECLINED"), told("REPORT", "SUCCEEDED")], "SUCCEEDED"),
    ([told("WEBHOOK", "REVERSED")], "UNKNOWN"),
    ([told("LOOKUP", "REVERSED")], "IN_REVIEW"),
    ([told("CLOCK", "UNKNOWN", horizon=True)], "IN_REVIEW"),
    ([told("CLOCK", "UNKNOWN", horizon=True), told("REPORT", "SUCCEEDED")], "SUCCEEDED"),
    ([told("RESPONSE", "UNKNOWN", mismatch=True, amount=900)], "UNKNOWN"),
    ([told("LOOKUP", "UNKNOWN", mismatch=True, amount=900)], "IN_REVIEW"),
    (
        [told("RESPONSE", "UNKNOWN", mismatch=True, amount=900), told("LOOKUP", "SUCCEEDED")],
        "SUCCEEDED",
    ),
]


@pytest.mark.parametrize(("evidence", "status"), TABLE)
def test_what_a_set_of_evidence_says(evidence: list[Evidence], status: str) -> None:
    for order in itertools.permutations(evidence):
        assert project_operation(OPERATION, order).status == status
        assert project_operation(OPERATION, [*order, *order]).status == status


FACTS = [
    told(source, says, mismatch=mismatch or None, amount=900 if mismatch else None)
    for source in ("RESPONSE", "WEBHOOK", "LOOKUP", "REPORT", "OPERATOR")
    for says, mismatch in (
        ("PENDING", False),
        ("REQUIRES_ACTION", False),
        ("UNKNOWN", False),
        ("UNKNOWN", True),
        ("DECLINED", False),
        ("NOT_EXECUTED", False),
        ("REVERSED", False),
    )
] + [told(source, "SUCCEEDED") for source in ("RESPONSE", "WEBHOOK", "LOOKUP", "REPORT")]


@given(st.lists(st.sampled_from(FACTS), max_size=6), st.randoms())
def test_order_and_repetition_are_no_difference(facts: list[Evidence], random: Any) -> None:
    first = project_operation(OPERATION, facts)
    again = [*facts, *facts]
    random.shuffle(again)

    second = project_operation(OPERATION, again)

    assert second == first


@given(st.lists(st.sampled_from(FACTS), max_size=6))
def test_success_is_never_invented_and_never_forgotten(facts: list[Evidence]) -> None:
    status = project_operation(OPERATION, facts).status
    succeeded = any(f.says is Says.SUCCEEDED for f in facts)

    if status in (OperationStatus.SUCCEEDED, OperationStatus.REVERSED):
        assert succeeded
    if succeeded:
        assert status not in (OperationStatus.DECLINED, OperationStatus.NOT_EXECUTED)


@given(st.lists(st.sampled_from(FACTS), max_size=6))
def test_no_evidence_is_never_taken_for_a_refusal(facts: list[Evidence]) -> None:
    status = project_operation(OPERATION, facts).status

    if status in (OperationStatus.DECLINED, OperationStatus.NOT_EXECUTED):
        assert any(f.says.value == status.value for f in facts)


def an_aggregate(*operations: Operation, **payment: Any) -> Aggregate:
    attempt = Attempt(operations[0].attempt_id, operations[0].payment_id, 1, ACCOUNT, {})
    mine = Payment(
        id=operations[0].payment_id,
        amount=1000,
        currency="EUR",
        capture_mode="MANUAL",
        merchant_account="income:sales",
        attempt_limit=payment.pop("attempt_limit", 5),
        correlation_id="request",
        **payment,
    )
    return project(Aggregate(mine, (attempt,), operations))


def steps(*wanted: tuple[str, str, dict[str, Any]]) -> list[Operation]:
    first = an_operation()
    made = []
    for kind, status, changes in wanted:
        moved = 1000 if status in ("SUCCEEDED", "REVERSED") else None
        values = {
            "payment_id": first.payment_id,
            "attempt_id": first.attempt_id,
            "status": OperationStatus(status),
            "moved_amount": moved,
            **changes,
        }
        made.append(an_operation(kind, **values))
    return made


PART = {"amount": 400, "moved_amount": 400, "final": False}
PAYMENTS = [
    ([("SALE", "CREATED", {})], "CREATED", "PROCESSING"),
    ([("SALE", "SENT", {})], "SENT", "PROCESSING"),
    ([("SALE", "PENDING", {})], "PENDING", "PROCESSING"),
    ([("SALE", "UNKNOWN", {})], "UNKNOWN", "PROCESSING"),
    ([("SALE", "REQUIRES_ACTION", {})], "REQUIRES_ACTION", "REQUIRES_ACTION"),
    ([("SALE", "SUCCEEDED", {})], "CAPTURED", "CAPTURED"),
    ([("SALE", "DECLINED", {})], "DECLINED", "REQUIRES_PAYMENT_METHOD"),
    ([("SALE", "DECLINED", {"expired": True})], "EXPIRED", "REQUIRES_PAYMENT_METHOD"),
    ([("SALE", "REVERSED", {})], "REVERSED", "FAILED"),
    ([("SALE", "IN_REVIEW", {})], "IN_REVIEW", "IN_REVIEW"),
    ([("SALE", "REQUIRES_ACTION", {}), ("VOID", "SUCCEEDED", {})], "VOIDED", "CANCELED"),
    ([("SALE", "UNKNOWN", {}), ("VOID", "SUCCEEDED", {})], "UNKNOWN", "PROCESSING"),
    ([("AUTHORIZE", "SUCCEEDED", {})], "AUTHORIZED", "AUTHORIZED"),
    ([("AUTHORIZE", "SUCCEEDED", {}), ("VOID", "UNKNOWN", {})], "AUTHORIZED", "AUTHORIZED"),
    ([("AUTHORIZE", "SUCCEEDED", {}), ("VOID", "DECLINED", {})], "AUTHORIZED", "AUTHORIZED"),
    ([("AUTHORIZE", "SUCCEEDED", {}), ("VOID", "SUCCEEDED", {})], "VOIDED", "CANCELED"),
    (
        [("AUTHORIZE", "SUCCEEDED", {}), ("VOID", "SUCCEEDED", {"expired": True})],
        "EXPIRED",
        "EXPIRED",
    ),
    ([("AUTHORIZE", "SUCCEEDED", {}), ("CAPTURE", "UNKNOWN", {})], "AUTHORIZED", "AUTHORIZED"),
    ([("AUTHORIZE", "SUCCEEDED", {}), ("CAPTURE", "SUCCEEDED", {})], "CAPTURED", "CAPTURED"),
    (
        [("AUTHORIZE", "SUCCEEDED", {}), ("CAPTURE", "SUCCEEDED", PART)],
        "AUTHORIZED",
        "PARTIALLY_CAPTURED",
    ),
    (
        [("AUTHORIZE", "SUCCEEDED", {}), ("CAPTURE", "SUCCEEDED", PART), ("VOID", "SUCCEEDED", {})],
        "CAPTURED",
        "CAPTURED",
    ),
    ([("AUTHORIZE", "SUCCEEDED", {}), ("CAPTURE", "REVERSED", {})], "REVERSED", "FAILED"),
]


@pytest.mark.parametrize(("wanted", "attempt", "payment"), PAYMENTS)
def test_attempt_and_payment_follow_from_the_operations(
    wanted: list[tuple[str, str, dict[str, Any]]], attempt: str, payment: str
) -> None:
    found = an_aggregate(*steps(*wanted))

    assert found.attempts[0].status == attempt
    assert found.payment.status == payment


def test_the_last_permitted_decline_fails_the_payment() -> None:
    declined = steps(("SALE", "DECLINED", {}))

    assert an_aggregate(*declined, attempt_limit=1).payment.status == "FAILED"


def test_what_succeeds_after_the_end_is_for_a_person() -> None:
    late = steps(("SALE", "SUCCEEDED", {}))

    found = an_aggregate(*late, ended_at=at())

    assert found.payment.status == "IN_REVIEW"
    assert found.payment.captured_gross == 0


def test_all_720_orders_of_six_facts_post_the_same_and_end_the_same() -> None:
    facts = [
        told("RESPONSE", "UNKNOWN", send=1),
        told("WEBHOOK", "PENDING"),
        told("WEBHOOK", "SUCCEEDED", "webhook:1"),
        told("WEBHOOK", "SUCCEEDED", "webhook:2"),
        told("LOOKUP", "SUCCEEDED"),
        told("WEBHOOK", "REVERSED"),
    ]
    before = an_aggregate(*steps(("SALE", "SENT", {})))
    ends = set()
    for order in itertools.permutations(facts):
        change = Change("test", 1, "test", "request", at(), before)
        operation, known = before.operations[0], [SENT]
        for fact in order:
            operation = change.learn(operation, known, [fact])
            known.append(fact)
        ends.add(repr((replace(operation, posted=()), set(operation.posted), change.after.payment)))

    assert len(ends) == 1
