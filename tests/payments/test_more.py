"""Looking things up: by key, by asking the provider, by computing again."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest

from core.identifiers import new_id
from core.money import Money
from payments import Difference, Split, operation_by_idempotency_key, verify
from payments.amounts import capturable, refundable_of_row
from payments.errors import NotFound, RiskRejected, ValidationFailed
from payments.sending import open_token
from tests.payments.world import World, a_key, at


async def test_a_key_tells_what_became_of_its_request(world: World) -> None:
    key = a_key()
    payment_id = await world.pay(key=key)

    found = await operation_by_idempotency_key("paymentCreate", key, world.actor, world.services)

    assert found is not None
    assert (found.resource, found.in_progress, found.rejected) == (
        ("pay", payment_id),
        False,
        False,
    )
    for mutation, other in (("paymentCreate", a_key()), ("refundCreate", key)):
        nothing = await operation_by_idempotency_key(mutation, other, world.actor, world.services)
        assert nothing is None


async def test_asking_finds_out_at_once(world: World) -> None:
    payment_id = await world.pay("tok_timeout_after")
    assert (await world.operation(payment_id)).status == "UNKNOWN"

    await world.sync(payment_id)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    with pytest.raises(NotFound):
        await world.sync(new_id())


async def test_many_who_ask_at_once_do_not_disturb_each_other(world: World) -> None:
    payment_id = await world.pay("tok_timeout_after")

    await asyncio.gather(*(world.sync(payment_id) for _ in range(10)))

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert world.effects() == [("charge", 1000)]
    await world.check()


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("UPDATE payment SET status = 'CANCELED'", "status"),
        ("UPDATE payment SET captured_gross = 999", "captured_gross"),
        ("UPDATE payment_attempt SET status = 'PENDING'", "status"),
        ("UPDATE provider_operation SET moved_amount = 1", "moved_amount"),
        ("UPDATE provider_operation SET posted = '{}'", "posted"),
    ],
)
async def test_what_does_not_follow_from_the_evidence_is_found(
    world: World, admin_url: str, sql: str, column: str
) -> None:
    await world.pay()
    assert await differences(world) == []
    with psycopg.connect(admin_url) as admin:
        admin.execute(f"{sql} WHERE tenant_id = {world.tenant_id}".encode())

    assert column in [found.column for found in await differences(world)]


async def differences(world: World) -> list[Difference]:
    return [
        found
        async for found in verify(world.database, world.tenant_id)
        if isinstance(found, Difference)
    ]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("CUSTOMER", {"customer_id": "blocked"}),
        ("COUNTRY", {"country": "XX"}),
        ("CURRENCY", {}),
    ],
)
async def test_who_is_on_the_block_list_is_refused(
    world: World, kind: str, changes: dict[str, Any]
) -> None:
    value = {"CUSTOMER": "blocked", "COUNTRY": "XX", "CURRENCY": "EUR"}[kind]
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await tx.execute(
            "INSERT INTO block_list (tenant_id, kind, value, reason) VALUES ($1, $2, $3, 'test')",
            world.tenant_id,
            kind,
            value,
        )

    with pytest.raises(RiskRejected) as refused:
        await world.pay(**changes)

    assert refused.value.rule == f"block_list.{kind.lower()}"
    assert world.effects() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"splits": (Split("income:platform_fee", Money(1001, "EUR")),)},
        {"splits": (Split("income:platform_fee", Money(1, "USD")),)},
        {"splits": (Split("income:platform_fee", Money(-1, "EUR")),)},
        {"merchant_account": "nonsense:path"},
    ],
)
async def test_what_breaks_a_rule_writes_nothing(world: World, changes: dict[str, Any]) -> None:
    key = a_key()

    with pytest.raises(ValidationFailed):
        await world.pay(key=key, **changes)

    assert world.effects() == []
    assert await world.rows("SELECT 1 FROM payment WHERE tenant_id = $1", world.tenant_id) == []
    await world.pay(key=key)


async def test_a_reference_is_used_once(world: World) -> None:
    await world.pay(reference="order-1")

    with pytest.raises(ValidationFailed):
        await world.pay(reference="order-1")

    assert len(world.effects()) == 1


async def test_a_foreign_payment_is_not_found(world: World) -> None:
    for step in (world.capture, world.cancel, world.refund, world.confirm):
        with pytest.raises(NotFound):
            await step(new_id())


async def test_the_token_is_kept_only_while_a_try_can_follow(world: World) -> None:
    async def sealed(payment_id: UUID) -> tuple[bool, bool]:
        (row,) = await world.rows(
            """SELECT p.token_sealed IS NOT NULL AS token,
                      bool_or(o.request_sealed IS NOT NULL) AS request
                 FROM payment AS p LEFT JOIN provider_operation AS o ON o.payment_id = p.id
                WHERE p.id = $1 GROUP BY p.token_sealed""",
            payment_id,
        )
        return row["token"], bool(row["request"])

    assert await sealed(await world.pay(confirm=False)) == (True, False)
    assert await sealed(await world.pay("tok_timeout_after")) == (True, True)
    assert await sealed(await world.pay()) == (False, False)
    assert await sealed(await world.pay("tok_decline_hard")) == (False, False)


async def test_another_method_takes_the_place_of_the_token_that_was_kept(world: World) -> None:
    payment_id = await world.pay("tok_success", confirm=False)

    await world.confirm(payment_id, "tok_requires_action")

    seen = await world.see(payment_id)
    assert open_token(world.services, seen.payment) == "tok_requires_action"


async def test_what_can_be_captured_counts_what_is_on_its_way(world: World) -> None:
    payment_id = await world.authorize()
    world.simulator.fault("refuse")
    await world.capture(payment_id, 300, final=False)

    assert capturable(await world.see(payment_id)) == 700


def test_refundable_is_never_negative() -> None:
    assert refundable_of_row(100, 0, 30, 20, 10) == 40
    assert refundable_of_row(100, 50, 60, 0, 0) == 0


def test_the_past_is_aware_of_its_zone() -> None:
    assert at().tzinfo is not None


@pytest.mark.parametrize(
    "change",
    [
        "payment SET amount = amount + 1",
        "payment SET currency = 'USD'",
        "payment SET splits = '[]'",
        "refund SET card_amount = 1",
        "provider_operation SET amount = 1",
        "provider_operation SET idempotency_key = 'other'",
        "provider_operation SET provider_account_id = gen_random_uuid()",
    ],
)
async def test_what_was_agreed_cannot_be_changed_any_more(world: World, change: str) -> None:
    await world.refund(await world.pay(), 100)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await world.rows(f"UPDATE {change}")
