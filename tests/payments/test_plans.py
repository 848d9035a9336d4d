"""Plans made while tables are tiny, when every index looks alike, must still be the right ones.

Every key begins with the tenant, so on empty tables any index seems to do.
"""

import re

import pytest

from payments.reading import OF_OPERATION, OF_PAYMENT
from payments.writing import SAVE
from tests.plans import STATISTICS, a_planner

LOOKUPS = [
    ("payment WHERE tenant_id = $1::INT AND id = $2::UUID", "payment_pkey"),
    (
        "payment WHERE tenant_id = $1::INT AND reference = $2::TEXT",
        "payment_reference_unique",
    ),
    (
        "payment_attempt WHERE tenant_id = $1::INT AND payment_id = $2::UUID ORDER BY number",
        "payment_attempt_number_unique",
    ),
    ("refund WHERE tenant_id = $1::INT AND id = $2::UUID", "refund_pkey"),
    ("refund WHERE tenant_id = $1::INT AND payment_id = $2::UUID", "refund_by_payment"),
    (
        "provider_operation WHERE tenant_id = $1::INT AND id = $2::UUID",
        "provider_operation_pkey",
    ),
    (
        "provider_operation WHERE tenant_id = $1::INT AND payment_id = $2::UUID ORDER BY id",
        "provider_operation_by_payment",
    ),
    (
        """provider_operation WHERE tenant_id = $1::INT AND provider_account_id = $2::UUID
             AND provider_ref = $3::TEXT""",
        "provider_operation_by_ref",
    ),
    (
        "provider_operation WHERE next_action_at <= $1::TIMESTAMPTZ",
        "provider_operation_due",
    ),
    ("saved_method WHERE tenant_id = $1::INT AND id = $2::UUID", "saved_method_pkey"),
    (
        """saved_method WHERE tenant_id = $1::INT AND customer_id = $2::TEXT
             ORDER BY created_at DESC, id DESC""",
        "saved_method_by_customer",
    ),
    (
        "saved_method WHERE tenant_id = $1::INT AND token_proof = $2::TEXT",
        "saved_method_kept_once",
    ),
    ("saved_method WHERE next_action_at <= $1::TIMESTAMPTZ", "saved_method_due"),
    (
        "evidence WHERE tenant_id = $1::INT AND operation_id = $2::UUID",
        "evidence_dedup_unique",
    ),
    (
        """idempotency_key WHERE tenant_id = $1::INT AND principal_scope = $2::TEXT
             AND mutation = $3::TEXT AND key = $4::TEXT""",
        "idempotency_key_pkey",
    ),
    (
        "inbound_webhook WHERE tenant_id = $1::INT AND id = $2::UUID",
        "inbound_webhook_pkey",
    ),
    (
        """inbound_webhook WHERE tenant_id = $1::INT AND provider_account_id = $2::UUID
             AND provider_event_id = $3::TEXT""",
        "inbound_webhook_event_unique",
    ),
    (
        "inbound_webhook WHERE next_action_at <= $1::TIMESTAMPTZ",
        "inbound_webhook_due",
    ),
    (
        "outbox WHERE tenant_id = $1::INT AND aggregate_id = $2::UUID ORDER BY id",
        "outbox_by_aggregate",
    ),
    ("outbox WHERE sequence IS NULL", "outbox_unsequenced"),
    (
        "outbox WHERE tenant_id = $1::INT AND sequence > $2::BIGINT ORDER BY sequence",
        "outbox_by_sequence",
    ),
]


@pytest.mark.parametrize("statistics", STATISTICS)
def test_each_lookup_goes_straight_to_its_row(statistics: str, fresh_admin_url: str) -> None:
    wrong = []
    with a_planner(fresh_admin_url, statistics) as planner:
        for question, index in LOOKUPS:
            plan = planner.plan_of(question)
            if f"{index} " not in plan or "Filter" in plan or "Sort" in plan:
                wrong.append(f"{question}\n{plan}")

    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_what_changed_is_written_straight_to_its_rows(
    statistics: str, fresh_admin_url: str
) -> None:
    with a_planner(fresh_admin_url, statistics) as planner:
        plan = planner.plan(SAVE)

    for table in ("payment", "provider_operation", "refund"):
        row = rf"Index Scan using {table}_pkey on {table} \w .*\n"
        assert re.search(row + r".*Index Cond: \(\(tenant_id = \$1\) AND \(id = \$", plan), plan
    attempt = r"Index Cond: \(\(tenant_id = \$1\) AND \(payment_id = \$12\)\)"
    assert re.search(attempt, plan), plan
    assert not re.search("Hash|Merge|Seq Scan|Bitmap", plan), plan


@pytest.mark.parametrize("statistics", STATISTICS)
def test_what_belongs_to_a_payment_is_read_without_the_rest(
    statistics: str, fresh_admin_url: str
) -> None:
    with a_planner(fresh_admin_url, statistics) as planner:
        plan = planner.plan(f"SELECT {OF_PAYMENT}, {OF_OPERATION}")

    assert plan.count("Index Cond: ((tenant_id = $1) AND (payment_id = $2))") == 3, plan
    assert plan.count("Index Cond: ((tenant_id = $1) AND (operation_id = $3))") == 1, plan
    assert "Filter" not in plan, plan
