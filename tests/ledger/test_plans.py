"""Plans made while tables are tiny, when every index looks alike, must still be the right ones."""

from collections.abc import Iterator

import psycopg
import pytest

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


@pytest.fixture(params=["never analysed", "analysed while empty"])
def connection(
    request: pytest.FixtureRequest, fresh_admin_url: str
) -> Iterator[psycopg.Connection[tuple[str]]]:
    admin = psycopg.connect(fresh_admin_url, autocommit=True)
    if request.param == "analysed while empty":
        admin.execute("ANALYZE")
    for setting in (
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "role = cf_ledger",
    ):
        admin.execute(f"SET {setting}".encode())
    yield admin
    admin.close()


def test_each_lookup_goes_straight_to_its_row(connection: psycopg.Connection[tuple[str]]) -> None:
    for number, (question, index) in enumerate(LOOKUPS):
        connection.execute(f"PREPARE q{number} AS SELECT * FROM {question}".encode())
        arguments = ", ".join(["NULL"] * question.count("$"))
        rows = connection.execute(f"EXPLAIN EXECUTE q{number} ({arguments})".encode())

        plan = "\n".join(row[0] for row in rows)

        assert f"using {index} " in plan or f"Backward using {index} " in plan, plan
        assert "Filter" not in plan, plan
