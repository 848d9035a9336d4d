from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from core.database import Database
from core.identifiers import new_id
from ledger import OpenHold, Posting, SettleHold, post
from ledger.verify import Finding, Kind, verify_ledger
from tests.ledger.builders import a_posting, a_transfer, credit, debit, pending

CLEARING, PAYABLE = "psp:one:clearing", "merchant:m1:payable"


async def findings(database: Database, tenant_id: int) -> list[Finding]:
    return [f async for f in verify_ledger(database, tenant_id) if isinstance(f, Finding)]


def some_business(hold_id: UUID) -> Sequence[Posting]:
    held = pending(debit(CLEARING, 50)), pending(credit(PAYABLE, 50))
    undone = pending(credit(CLEARING, 30)), pending(debit(PAYABLE, 30))
    return [
        a_transfer(CLEARING, PAYABLE, 100, metadata={"b": "ü", "a": "1"}, provider_ref="ch_1"),
        a_posting(*held, opens=OpenHold(hold_id, 50, "authorization"), payment_id=new_id()),
        a_posting(*undone, settles=SettleHold(hold_id, captured=20, released=10)),
        a_transfer(PAYABLE, "bank:main", 40, description="payout\n“quoted”"),
    ]


async def test_untouched_books_have_no_findings(database: Database, tenant_id: int) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        await post(tx, tenant_id, some_business(new_id()))

    assert await findings(database, tenant_id) == []


async def test_verify_tells_how_far_it_is(database: Database, tenant_id: int) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        await post(tx, tenant_id, some_business(new_id()))

    assert [f async for f in verify_ledger(database, tenant_id)] == [8, 12]


TAMPERINGS: Sequence[tuple[LiteralString, Kind]] = [
    ("UPDATE entry SET amount = amount + 1 WHERE seq = 1 AND direction = 'D'", Kind.UNBALANCED),
    ("UPDATE entry SET amount = amount + 1 WHERE seq = 1", Kind.COUNTER_MISMATCH),
    ("UPDATE entry SET direction = 'C' WHERE seq = 1", Kind.UNBALANCED),
    ("UPDATE entry SET layer = 1 WHERE seq = 1", Kind.COUNTER_MISMATCH),
    ("UPDATE entry SET currency = 'USD' WHERE seq = 1", Kind.UNKNOWN_ACCOUNT),
    (
        "UPDATE entry SET debits_posted_after = debits_posted_after + 1 WHERE seq = 2",
        Kind.COUNTER_MISMATCH,
    ),
    ("UPDATE entry SET seq = seq + 10 WHERE seq = 2", Kind.SEQUENCE_GAP),
    ("UPDATE entry SET leg_no = 3 - leg_no", Kind.HASH_MISMATCH),
    (
        "UPDATE entry SET effective_at = effective_at - INTERVAL '1 day' WHERE seq = 1",
        Kind.HASH_MISMATCH,
    ),
    (
        "UPDATE entry SET recorded_at = recorded_at + INTERVAL '1 day' WHERE seq = 1",
        Kind.TIME_GOES_BACK,
    ),
    ("DELETE FROM entry WHERE seq = 2", Kind.SEQUENCE_GAP),
    ("DELETE FROM entry WHERE seq = 1", Kind.INCOMPLETE),
    ("DELETE FROM ledger_transaction WHERE hold_id IS NULL", Kind.ENTRY_WITHOUT_TRANSACTION),
    ("UPDATE account_balance SET credits_posted = credits_posted + 1", Kind.BALANCE_MISMATCH),
    ("UPDATE account_balance SET seq = seq + 1", Kind.BALANCE_MISMATCH),
    ("UPDATE hold SET captured = captured + 1", Kind.HOLD_MISMATCH),
    ("UPDATE hold SET released = 0", Kind.HOLD_MISMATCH),
    ("DELETE FROM hold", Kind.HOLD_MISMATCH),
    *[
        (f"UPDATE ledger_transaction SET {change}", Kind.HASH_MISMATCH)
        for change in (
            "key = key || 'x'",
            "recipe = 'other@1'",
            "public_id = gen_random_uuid()",
            "payment_id = gen_random_uuid()",
            "refund_id = gen_random_uuid()",
            "operation_id = gen_random_uuid()",
            "provider_account_id = gen_random_uuid()",
            "provider_ref = 'ch_2'",
            "correlation_id = 'another'",
            "effective_at = effective_at + INTERVAL '1 microsecond'",
            "recorded_at = recorded_at + INTERVAL '1 microsecond'",
            "description = description || ' '",
            'metadata = \'{"a": "2"}\'',
            "external_fact = NOT external_fact",
            "created_by = 'nobody'",
            "reverses_id = id",
            "content_hash = sha256(content_hash)",
        )
    ],
]


@pytest.mark.parametrize(("statement", "kind"), TAMPERINGS)
async def test_tampering_is_found(
    database: Database, tenant_id: int, admin_url: str, statement: LiteralString, kind: Kind
) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        await post(tx, tenant_id, some_business(new_id()))

    with psycopg.connect(admin_url) as admin:
        admin.execute("SET session_replication_role = replica")  # no triggers
        separator = " AND" if "WHERE" in statement else " WHERE"
        changed = admin.execute(f"{statement}{separator} tenant_id = {tenant_id}".encode()).rowcount

    assert changed > 0
    assert kind in {finding.kind for finding in await findings(database, tenant_id)}
