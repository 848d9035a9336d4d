"""What hand-written SQL cannot do to the books, whoever sends it."""

from collections.abc import Iterator

import psycopg
import pytest

from core.database import Database
from core.identifiers import new_id
from ledger import OpenHold, post
from tests.ledger.builders import a_posting, a_transfer, credit, debit, pending

TABLES = ("account", "account_balance", "ledger_transaction", "entry", "hold")
HEADER = """
INSERT INTO ledger_transaction (tenant_id, id, public_id, key, recipe, leg_count, correlation_id, effective_at,
  recorded_at, description, metadata, external_fact, created_by, content_hash)
VALUES ({tenant}, {id}, gen_random_uuid(), 'forged {id}', 'forged@1', {legs}, '', now(), now(), '', '{{}}', FALSE, '', sha256(''))
"""  # noqa: E501 - one statement
ENTRY = """({tenant}, {account}, {seq}, {id}, {leg}, {layer}, '{side}', {amount}, '{currency}', 0, 0, 0, 0, now(), now())"""  # noqa: E501 - one row


@pytest.fixture
async def books(database: Database, tenant_id: int) -> None:
    """A transaction, a second account and a hold."""
    legs = pending(debit("psp:one:clearing", 5)), pending(credit("merchant:m1:payable", 5))
    async with database.unit_of_work(tenant_id) as tx:
        await post(
            tx,
            tenant_id,
            [
                a_transfer("psp:one:clearing", "merchant:m1:payable", 100),
                a_posting(debit("bank:main", 7, "USD"), credit("income:sales", 7, "USD")),
                a_posting(*legs, opens=OpenHold(new_id(), 5, "test")),
            ],
        )


class Forger:
    """Writes by hand as some role."""

    def __init__(self, connection: psycopg.Connection, tenant_id: int) -> None:
        self.connection = connection
        self.tenant_id = tenant_id

    def sql(self, statement: str) -> None:
        self.connection.execute(statement.encode())

    def account(self, path: str) -> int:
        row = self.connection.execute(
            "SELECT id FROM account WHERE tenant_id = %s AND path = %s", [self.tenant_id, path]
        ).fetchone()
        assert row is not None
        return int(row[0])

    def header(self, id: int = 1, legs: int = 2) -> None:
        self.sql(HEADER.format(tenant=self.tenant_id, id=id, legs=legs))

    def entries(self, *rows: dict[str, object]) -> None:
        defaults = {
            "tenant": self.tenant_id,
            "id": 1,
            "leg": 1,
            "layer": 0,
            "amount": 5,
            "currency": "EUR",
        }
        values = ", ".join(
            ENTRY.format(**{**defaults, "seq": 1000 + n, **row}) for n, row in enumerate(rows)
        )
        self.sql(f"INSERT INTO entry VALUES {values}")

    def pair(self, **both: object) -> tuple[dict[str, object], dict[str, object]]:
        clearing, payable = self.account("psp:one:clearing"), self.account("merchant:m1:payable")
        return (
            {"account": clearing, "side": "D", **both},
            {"account": payable, "side": "C", **both},
        )


@pytest.fixture
def owner(books: None, admin_url: str, tenant_id: int) -> Iterator[Forger]:
    """The owner of the tables, who may insert; rolled back at the end."""
    with psycopg.connect(admin_url) as connection:
        connection.execute("SET ROLE cf_owner")
        yield Forger(connection, tenant_id)
        connection.rollback()


def refused(by: str = "entry_transaction_balances") -> pytest.RaisesExc[psycopg.errors.Error]:
    return pytest.RaisesExc(
        psycopg.errors.IntegrityError, check=lambda error: error.diag.constraint_name == by
    )


def test_a_whole_balanced_transaction_would_pass(owner: Forger) -> None:
    owner.header()
    owner.entries(*owner.pair())


def test_an_unbalanced_transaction_is_refused(owner: Forger) -> None:
    debit_row, credit_row = owner.pair()
    owner.header()
    with refused():
        owner.entries(debit_row, {**credit_row, "amount": 6})


def test_a_single_leg_is_refused(owner: Forger) -> None:
    with refused("ledger_transaction_two_legs"):
        owner.header(legs=1)


def test_legs_in_two_statements_are_refused(owner: Forger) -> None:
    owner.header()
    with refused():
        owner.entries(owner.pair()[0])


def test_a_missing_leg_is_refused(owner: Forger) -> None:
    owner.header(legs=3)
    with refused():
        owner.entries(*owner.pair())


def test_entries_without_a_transaction_are_refused(owner: Forger) -> None:
    with refused():
        owner.entries(*owner.pair(id=4711))


def test_entries_added_to_an_old_transaction_are_refused(owner: Forger) -> None:
    row = owner.connection.execute("SELECT max(id) FROM ledger_transaction").fetchone()
    assert row is not None
    with refused():
        owner.entries(*owner.pair(id=row[0]))


def test_a_transaction_cannot_claim_another_unit_of_work(owner: Forger) -> None:
    statement = HEADER.format(tenant=owner.tenant_id, id=1, legs=2)
    forged = statement.replace("content_hash)", "content_hash, xid)").replace(
        "sha256(''))", "sha256(''), '3')"
    )
    with refused("ledger_transaction_own_xid"):
        owner.sql(forged)


def test_an_unknown_account_is_refused(owner: Forger) -> None:
    debit_row, credit_row = owner.pair()
    owner.header()
    with refused():
        owner.entries(debit_row, {**credit_row, "account": 999_999})


def test_an_account_of_another_currency_is_refused(owner: Forger) -> None:
    debit_row, credit_row = owner.pair()
    owner.header()
    with refused():
        owner.entries(debit_row, {**credit_row, "account": owner.account("income:sales")})


def test_currencies_cannot_balance_each_other(owner: Forger) -> None:
    debit_row, _ = owner.pair()
    dollars = {"account": owner.account("income:sales"), "side": "C", "currency": "USD"}
    owner.header()
    with refused():
        owner.entries(debit_row, dollars)


def test_layers_cannot_balance_each_other(owner: Forger) -> None:
    debit_row, credit_row = owner.pair()
    owner.header()
    with refused():
        owner.entries(debit_row, {**credit_row, "layer": 1})


def test_a_leg_on_another_tenants_account_is_refused(owner: Forger) -> None:
    owner.sql(
        "INSERT INTO account (tenant_id, public_id, type_code, path, currency, normal, name) VALUES"
        f" ({owner.tenant_id + 1000}, gen_random_uuid(), 4020, 'income:sales', 'EUR', -1, '')"
    )
    row = owner.connection.execute("SELECT max(id) FROM account").fetchone()
    assert row is not None
    debit_row, credit_row = owner.pair()
    owner.header()
    with refused():
        owner.entries(debit_row, {**credit_row, "account": row[0]})


@pytest.mark.parametrize(
    ("row", "by"),
    [
        ({"amount": 0}, "entry_amount_positive"),
        ({"amount": -5}, "entry_amount_positive"),
        ({"side": "X"}, "entry_direction_known"),
        ({"layer": 3}, "entry_layer_known"),
        ({"seq": 1}, "entry_pkey"),
    ],
)
def test_a_malformed_entry_is_refused(owner: Forger, row: dict[str, object], by: str) -> None:
    debit_row, credit_row = owner.pair()
    owner.header()
    with refused(by):
        owner.entries({**debit_row, **row}, credit_row)


def test_a_balance_cannot_go_below_its_floor(owner: Forger) -> None:
    with refused("account_balance_no_overdraft"):
        owner.sql("UPDATE account_balance SET debits_posted = 101 WHERE min_available = 0")


def test_held_money_counts_against_the_floor(owner: Forger) -> None:
    with refused("account_balance_no_overdraft"):
        owner.sql("UPDATE account_balance SET debits_pending = 101 WHERE min_available = 0")


def test_a_balance_cannot_exceed_its_ceiling(owner: Forger) -> None:
    with refused("account_balance_within_limit"):
        owner.sql("UPDATE account_balance SET max_balance = 10 WHERE min_available = 0")


@pytest.mark.parametrize(
    "column", ["debits_posted", "credits_posted", "debits_pending", "credits_pending", "seq"]
)
def test_totals_are_never_negative(owner: Forger, column: str) -> None:
    with refused("account_balance_not_negative"):
        owner.sql(f"UPDATE account_balance SET {column} = -1 WHERE min_available IS NULL")


@pytest.mark.parametrize("change", ["captured = 6", "released = 6", "captured = 3, released = 3", "captured = -1", "released = -1"])  # fmt: skip # noqa: E501 - a table
def test_a_hold_cannot_be_exceeded(owner: Forger, change: str) -> None:
    with refused("hold_not_exceeded"):
        owner.sql(f"UPDATE hold SET {change} WHERE tenant_id = {owner.tenant_id}")


def test_a_transaction_is_reversed_once(owner: Forger) -> None:
    for id in (1, 2):
        owner.header(id)
    insert = HEADER.replace("content_hash)", "content_hash, reverses_id)").replace(
        "sha256(''))", "sha256(''), 1)"
    )
    owner.sql(insert.format(tenant=owner.tenant_id, id=3, legs=2))
    with refused("ledger_transaction_reversed_once"):
        owner.sql(insert.format(tenant=owner.tenant_id, id=4, legs=2))


def test_a_key_is_used_once(owner: Forger) -> None:
    owner.header(1)
    statement = HEADER.format(tenant=owner.tenant_id, id=2, legs=2)
    with refused("ledger_transaction_key_unique"):
        owner.sql(statement.replace("forged 2", "forged 1"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET amount = 1",
        "UPDATE entry SET amount = amount",
        "DELETE FROM entry",
        "DELETE FROM entry WHERE FALSE",
        "TRUNCATE entry",
        "UPDATE ledger_transaction SET description = ''",
        "DELETE FROM ledger_transaction",
        "TRUNCATE ledger_transaction",
        "DELETE FROM account_balance",
        "TRUNCATE account_balance",
        "DELETE FROM account",
        "TRUNCATE account CASCADE",
        "UPDATE account SET currency = 'USD'",
        "UPDATE account SET path = 'income:sales'",
        "DELETE FROM hold",
        "TRUNCATE hold",
        "UPDATE hold SET amount = 1000",
        "UPDATE hold SET expires_at = now()",
        "UPDATE account_type SET name = ''",
        "DELETE FROM account_type",
    ],
)
def test_even_the_owner_cannot_change_history(owner: Forger, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.sql(statement)


@pytest.fixture
def product(books: None, database_url: str, tenant_id: int) -> Iterator[Forger]:
    """The product's own role, in a unit of work of the tenant."""
    with psycopg.connect(database_url) as connection:
        connection.execute(f"SET LOCAL app.tenant = {tenant_id}".encode())
        yield Forger(connection, tenant_id)
        connection.rollback()


@pytest.mark.parametrize("table", [*TABLES, "account_type"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {table} DEFAULT VALUES",
        "UPDATE {table} SET {column} = {column}",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "SELECT * FROM {table} FOR NO KEY UPDATE",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TABLE {table}",
    ],
)
def test_the_product_cannot_write_the_books_itself(
    product: Forger, table: str, statement: str
) -> None:
    column = "code" if table == "account_type" else "tenant_id"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        product.sql(statement.format(table=table, column=column))


def test_the_product_may_only_read_the_books(product: Forger) -> None:
    for table in (*TABLES, "account_type"):
        for right in ("INSERT", "UPDATE", "REFERENCES"):
            row = product.connection.execute(
                "SELECT has_any_column_privilege('cf_app', %s, %s)", [table, right]
            ).fetchone()
            assert row == (False,), (table, right)
        for right in ("DELETE", "TRUNCATE", "TRIGGER"):
            row = product.connection.execute(
                "SELECT has_table_privilege('cf_app', %s, %s)", [table, right]
            ).fetchone()
            assert row == (False,), (table, right)


@pytest.mark.parametrize("role", ["cf_ledger", "cf_owner"])
def test_the_product_cannot_become_another_role(product: Forger, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        product.sql(f"SET ROLE {role}")


@pytest.mark.parametrize("table", TABLES)
def test_the_books_of_another_tenant_are_not_seen(product: Forger, table: str) -> None:
    def count() -> int:
        row = product.connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    assert count() > 0
    product.sql(f"SET LOCAL app.tenant = {product.tenant_id + 1}")
    assert count() == 0
    product.sql("SET LOCAL app.tenant = ''")
    assert count() == 0


def call(tenant: int, account_tenant: int, legs: str) -> str:
    return f"""
SELECT * FROM ledger_post(
  ARRAY[({account_tenant}, 'bank:main', 'EUR'), ({account_tenant}, 'income:sales', 'EUR')]::ledger_account_ref[],
  ARRAY[({tenant}, gen_random_uuid(), gen_random_uuid()::TEXT, 'raw@1', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, '', now(), '', '{{}}', FALSE, 'me')]::ledger_posting[],
  ARRAY[{legs}]::ledger_leg[])"""  # noqa: E501 - one statement


GOOD = "(1, 1, NULL, 0, 'D', 5), (1, 2, NULL, 0, 'C', 5)"


def test_the_function_posts_what_is_right(product: Forger) -> None:
    product.sql(call(product.tenant_id, product.tenant_id, GOOD))


@pytest.mark.parametrize(
    "legs",
    [
        "(1, 1, NULL, 0, 'D', 5), (1, 2, NULL, 0, 'C', 6)",
        "(1, 1, NULL, 0, 'D', 5), (1, 2, NULL, 0, 'D', -5)",
        "(1, 1, NULL, 0, 'D', 0), (1, 2, NULL, 0, 'C', 0)",
        "(1, 1, NULL, 0, 'D', 5)",
        "(1, 1, NULL, 1, 'D', 5), (1, 2, NULL, 1, 'C', 5)",
        "(1, 1, NULL, 2, 'D', 5), (1, 2, NULL, 2, 'C', 5)",
        "(1, 1, NULL, 0, 'X', 5), (1, 2, NULL, 0, 'C', 5)",
    ],
)
def test_the_function_refuses_wrong_legs(product: Forger, legs: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        product.sql(call(product.tenant_id, product.tenant_id, legs))


@pytest.mark.parametrize(("mine", "account"), [(False, False), (True, False), (False, True)])
def test_the_function_serves_only_the_tenant_of_the_unit_of_work(
    product: Forger, mine: bool, account: bool
) -> None:
    tenant = product.tenant_id if mine else product.tenant_id + 1
    account_tenant = product.tenant_id if account else product.tenant_id + 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        product.sql(call(tenant, account_tenant, GOOD))


def test_without_a_tenant_an_account_must_still_be_the_postings_own(product: Forger) -> None:
    product.sql("SET LOCAL app.tenant = ''")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        product.sql(call(product.tenant_id, product.tenant_id + 1, GOOD))


def test_an_account_named_twice_is_refused(product: Forger) -> None:
    statement = call(product.tenant_id, product.tenant_id, GOOD).replace(
        "income:sales", "bank:main"
    )
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        product.sql(statement)
