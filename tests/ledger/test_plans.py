"""Plans made while tables are tiny, when every index looks alike, must still be the right ones."""

import pytest

from tests.plans import STATISTICS, a_planner

LOOKUPS = [
    ("account WHERE tenant_id = $1::INT AND id = $2::BIGINT", "account_pkey"),
    (
        "account WHERE tenant_id = $1::INT AND path = $2::TEXT AND currency = $3::TEXT",
        "account_path_unique",
    ),
    ("account WHERE tenant_id = $1::INT AND public_id = $2::UUID", "account_public_id_unique"),
    (
        "account_balance WHERE tenant_id = $1::INT AND account_id = $2::BIGINT",
        "account_balance_pkey",
    ),
    (
        "ledger_transaction WHERE tenant_id = $1::INT AND key = $2::TEXT",
        "ledger_transaction_key_unique",
    ),
    ("ledger_transaction WHERE tenant_id = $1::INT AND id = $2::BIGINT", "ledger_transaction_pkey"),
    (
        "ledger_transaction WHERE tenant_id = $1::INT AND public_id = $2::UUID",
        "ledger_transaction_public_id_unique",
    ),
    (
        "ledger_transaction WHERE tenant_id = $1::INT AND reverses_id = $2::BIGINT",
        "ledger_transaction_reversed_once",
    ),
    (
        "ledger_transaction WHERE tenant_id = $1::INT AND payment_id = $2::UUID ORDER BY id",
        "ledger_transaction_by_payment",
    ),
    (
        "ledger_transaction WHERE tenant_id = $1::INT AND hold_id = $2::UUID",
        "ledger_transaction_by_hold",
    ),
    ("entry WHERE tenant_id = $1::INT AND transaction_id = $2::BIGINT", "entry_by_transaction"),
    (
        "entry WHERE tenant_id = $1::INT AND account_id = $2::BIGINT AND seq = $3::BIGINT",
        "entry_pkey",
    ),
    (
        "entry WHERE tenant_id = $1::INT AND account_id = $2::BIGINT AND seq < $3::BIGINT",
        "entry_pkey",
    ),
    ("hold WHERE tenant_id = $1::INT AND id = $2::UUID", "hold_pkey"),
    ("hold WHERE tenant_id = $1::INT AND transaction_id = $2::BIGINT", "hold_by_transaction"),
]


@pytest.mark.parametrize("statistics", STATISTICS)
def test_each_lookup_goes_straight_to_its_row(statistics: str, fresh_admin_url: str) -> None:
    with a_planner(fresh_admin_url, statistics, role="cf_ledger") as planner:
        for question, index in LOOKUPS:
            plan = planner.plan_of(question)

            assert f"using {index} " in plan or f"Backward using {index} " in plan, plan
            assert "Filter" not in plan, plan
