import re
from pathlib import Path

import pytest

from core.database import Database
from ledger import AccountRef, chart, open_accounts

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "accounting.md"

ACCOUNTS = [
    (chart.clearing("stripe", "EUR"), 1100),
    (chart.receivable("m1", "EUR"), 1200),
    (chart.suspense("stripe", "EUR"), 1900),
    (chart.payable("m1", "EUR"), 2000),
    (chart.wallet("c-1.2_3", "EUR"), 2100),
    (chart.tax("us-ny", "EUR"), 2200),
    (chart.platform_fee("EUR"), 4000),
    (chart.sales("EUR"), 4020),
    (chart.psp_fee("stripe", "EUR"), 5000),
    (chart.store_credit_expense("EUR"), 5040),
]


@pytest.mark.parametrize(("account", "code"), ACCOUNTS)
async def test_each_path_we_make_fits_its_row_of_the_chart(
    database: Database, tenant_id: int, account: AccountRef, code: int
) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        await open_accounts(tx, tenant_id, [account])
        found = await tx.fetchval("SELECT type_code FROM account WHERE path = $1", account.path)

    assert found == code


async def test_the_guide_shows_the_chart_of_the_database(database: Database) -> None:
    rows = re.findall(
        r"^\| (\d{4}) \| `([^`]+)`[^|]* \| (\w+) \| (\d*) ?\|$", GUIDE.read_text(), re.MULTILINE
    )

    async with database.unit_of_work(None) as tx:
        stored = await tx.fetch(
            "SELECT code::TEXT, path_shape, lower(class), coalesce(min_available::TEXT, '')"
            "  FROM account_type ORDER BY code"
        )

    assert rows == [tuple(row) for row in stored]


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (chart.payable("m1", "EUR"), chart.receivable("m1", "EUR")),
        (chart.wallet("c1", "EUR"), chart.suspense("one", "EUR")),
        (AccountRef("merchant:m1:reserve", "EUR"), chart.suspense("one", "EUR")),
        (chart.sales("EUR"), None),
        (chart.clearing("one", "EUR"), None),
    ],
)
def test_what_an_account_lacks_goes_to_its_debtor_or_to_suspense(
    account: AccountRef, expected: AccountRef | None
) -> None:
    assert chart.spill_account(account, "one") == expected
