"""What every request of a page looks up is found by an index, whatever the planner knows."""

import pytest

from tests.plans import STATISTICS, a_planner

LOOKUPS = [
    ("allowed_origin WHERE origin = $1::TEXT", "allowed_origin_by_origin"),
    ("customer_token WHERE secret_hash = $1::BYTEA", "customer_token_secret_hash_unique"),
    (
        """customer_token WHERE tenant_id = $1::INT AND expires_at <= clock_timestamp()
             ORDER BY expires_at""",
        "customer_token_by_expiry",
    ),
    ("api_key WHERE secret_hash = $1::BYTEA", "api_key_secret_hash_unique"),
]


@pytest.mark.parametrize("statistics", STATISTICS)
def test_every_lookup_has_its_index(admin_url: str, statistics: str) -> None:
    with a_planner(admin_url, statistics) as planner:
        plans = {index: planner.plan_of(question) for question, index in LOOKUPS}

    for index, plan in plans.items():
        assert f" {index} " in plan, plan
