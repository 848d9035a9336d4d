"""The oracle agrees with what is right, and names each way in which it could be wrong."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from core.clock import SystemClock
from core.database import Database
from core.identifiers import encode, new_id
from counterfoil.bootstrap import (
    SimulatorUnreachable,
    ensure_simulator_accounts,
    register_at_simulator,
)
from counterfoil.oracle import Comparison, compare
from gateways.accounts import ProviderAccount
from ledger import AccountRef, Direction, Leg, Posting, post
from payments.model import Operation
from tests.payments.world import VAULT, MovingClock, World, some_services
from tests.simulator.process import Merchant, SimulatorProcess

NAMES = (("first", 10), ("second", 20))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    with SimulatorProcess(folder) as running:
        running.control("/_webhooks", pause=True)
        yield running


@pytest.fixture
async def world(
    database: Database, tenant_id: int, process: SimulatorProcess
) -> AsyncIterator[World]:
    """Two accounts of the names the gateway itself gives them at the simulator."""
    accounts = await ensure_simulator_accounts(database, VAULT, tenant_id, process.url, NAMES)
    await register_at_simulator(accounts, process.url, "http://127.0.0.1:9")
    clock = MovingClock()
    merchants = [_merchant(process, account) for account in accounts]
    async with some_services(database, clock) as services:
        yield World(database, services, tenant_id, [a.id for a in accounts], merchants, clock)


def _merchant(process: SimulatorProcess, account: ProviderAccount) -> Merchant:
    secrets = account.secrets
    name = encode("prv", account.id)
    return Merchant(process, name, secrets["secret_key"][0], secrets["webhook_secret"][0])


async def compared(world: World, page_size: int = 1_000) -> Comparison:
    url = world.simulator.url
    return await compare(world.database, world.tenant_id, url, page_size=page_size)


async def kinds(world: World) -> set[str]:
    return {difference.kind.value for difference in (await compared(world)).differences}


async def a_story(world: World) -> None:
    """Of everything something."""
    paid = await world.pay()
    await world.refund(paid, 300)
    held = await world.authorize()
    await world.capture(held, 400, final=False)
    await world.capture(held, 300)
    await world.cancel(await world.authorize())
    await world.pay("tok_decline_hard")
    lost = await world.pay("tok_timeout_after")
    await world.later(lost)
    wrong = await world.pay("tok_wrong_amount")
    await world.later(wrong)


async def test_a_story_told_rightly_has_no_differences(world: World) -> None:
    await a_story(world)

    comparison = await compared(world)

    assert [str(difference) for difference in comparison.differences] == []
    assert comparison.agrees
    assert (comparison.effects, comparison.operations) == (9, 10)
    assert list(comparison.lines())[-1].endswith(": equal")


async def test_the_size_of_a_page_makes_no_difference(world: World) -> None:
    await a_story(world)

    assert await compared(world, page_size=1) == await compared(world, page_size=1_000)


async def test_another_tenants_books_are_not_looked_at(world: World, admin_url: str) -> None:
    await world.pay()

    assert await compare(world.database, world.tenant_id + 10_000, world.simulator.url) == (
        Comparison(0, 0, 0, ())
    )


async def test_money_that_moved_for_nothing_we_know_is_told(world: World) -> None:
    stranger = encode("op", new_id())
    world.merchants[0].pay("tok_success", stranger)

    comparison = await compared(world)

    (difference,) = comparison.differences
    assert str(difference) == (
        f"UNKNOWN_OPERATION: charge of {stranger}: the provider says 1000 EUR, we say nothing"
    )


async def test_a_movement_in_the_dashboard_we_never_heard_of_is_told(world: World) -> None:
    operation = await world.operation(await world.pay())
    world.simulator.control("/_dashboard/refunds", payment=operation.provider_ref, amount=100)

    assert await kinds(world) == {"UNKNOWN_OPERATION"}


async def test_a_second_charge_under_another_key_is_told_four_times(world: World) -> None:
    operation = await world.operation(await world.pay())
    world.merchants[0].pay("tok_success", encode("op", operation.id), key="another-key")

    # The second charge is another payment at the provider than the one we know.
    assert await kinds(world) == {
        "COUNT",
        "FEE",
        "SEVERAL_KEYS",
        "OTHER_KEY",
        "CHARGED_TWICE",
        "WRONG_PAYMENT",
    }


async def test_a_charge_that_is_not_in_the_books_is_told(world: World) -> None:
    operation = await a_declined_operation(world)
    pay_behind_our_back(world, operation)

    assert {"NOT_POSTED", "FEE"} <= await kinds(world)


async def test_a_charge_that_never_was_is_told(world: World) -> None:
    operation = await a_declined_operation(world)
    await post_behind_its_back(world, operation, 1000)

    assert await kinds(world) == {"NOT_MOVED"}


async def test_another_amount_is_told(world: World) -> None:
    operation = await a_declined_operation(world)
    pay_behind_our_back(world, operation)
    await post_behind_its_back(world, operation, 999)

    comparison = await compared(world)

    (amount,) = [d for d in comparison.differences if d.kind == "AMOUNT"]
    assert (amount.provider_says, amount.books_say) == ("1000 EUR", "999 EUR")


async def test_another_currency_is_told(world: World) -> None:
    operation = await a_declined_operation(world)
    pay_behind_our_back(world, operation)
    await post_behind_its_back(world, operation, 1000, currency="USD")

    assert "CURRENCY" in await kinds(world)


async def test_a_charge_posted_twice_is_told(world: World) -> None:
    operation = await world.operation(await world.pay())
    await post_behind_its_back(world, operation, 1000)

    comparison = await compared(world)

    (count,) = comparison.differences
    assert str(count).startswith("COUNT: charge of op_")
    assert str(count).endswith("the provider says 1000 EUR, we say 2000 EUR in 2 parts")


async def test_another_fee_is_told(world: World) -> None:
    operation = await world.operation(await world.pay())
    await post_behind_its_back(world, operation, 1, recipe="psp_fee@1", swapped=True)

    (difference,) = (await compared(world)).differences
    assert (difference.kind, difference.provider_says, difference.books_say) == ("FEE", "59", "60")


async def test_a_posting_at_another_provider_is_told(world: World) -> None:
    operation = await a_declined_operation(world)
    await post_behind_its_back(world, operation, 1000, provider="second")

    assert await kinds(world) == {"NOT_MOVED", "WRONG_PROVIDER"}


async def test_a_posting_without_an_operation_is_told(world: World) -> None:
    await post_behind_its_back(world, None, 1000)

    assert await kinds(world) == {"NO_OPERATION"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("status = 'SUCCEEDED'", "NO_EFFECT"),
        ("status = 'REVERSED'", "NO_EFFECT"),
    ],
)
async def test_a_success_without_an_effect_is_told(
    world: World, admin_url: str, change: LiteralString, kind: str
) -> None:
    operation = await a_declined_operation(world)
    tamper(admin_url, change, operation.id)

    assert await kinds(world) == {kind}


async def test_an_effect_on_another_payment_is_told(world: World, admin_url: str) -> None:
    operation = await world.operation(await world.pay())
    tamper(admin_url, "provider_ref = 'sp_another'", operation.id)

    assert await kinds(world) == {"WRONG_PAYMENT"}


async def test_an_effect_at_another_account_is_told(world: World) -> None:
    operation = await a_declined_operation(world)
    world.merchants[1].pay("tok_success", encode("op", operation.id), key=operation.idempotency_key)

    assert "WRONG_PROVIDER" in await kinds(world)


async def test_a_simulator_that_does_not_answer_is_an_error(world: World) -> None:
    with pytest.raises(SimulatorUnreachable):
        await compare(world.database, world.tenant_id, "http://127.0.0.1:9")


async def a_declined_operation(world: World) -> Operation:
    """An operation the provider knows and did nothing for."""
    found: Operation = await world.operation(await world.pay("tok_decline_hard"))
    return found


def pay_behind_our_back(world: World, operation: Operation) -> None:
    """The provider charges for an operation of ours; we are not told."""
    world.merchants[0].pay("tok_success", encode("op", operation.id), key="behind-our-back")


async def post_behind_its_back(
    world: World,
    operation: Operation | None,
    amount: int,
    *,
    currency: str = "EUR",
    provider: str = "first",
    recipe: str = "sale@1",
    swapped: bool = False,
) -> None:
    """Post as if the provider had told us so; it knows nothing of it."""
    sides = (Direction.CREDIT, Direction.DEBIT) if swapped else (Direction.DEBIT, Direction.CREDIT)
    accounts = (f"psp:{provider}:clearing", "income:sales")
    posting = Posting(
        key=f"test:{new_id()}",
        recipe=recipe,
        legs=tuple(
            Leg(AccountRef(path, currency), side, amount)
            for path, side in zip(accounts, sides, strict=True)
        ),
        correlation_id="test",
        effective_at=SystemClock().now(),
        created_by="test",
        operation_id=operation.id if operation else None,
    )
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await post(tx, world.tenant_id, [posting])


def tamper(admin_url: str, change: LiteralString, operation_id: UUID) -> None:
    with psycopg.connect(admin_url) as admin:
        admin.execute(f"UPDATE provider_operation SET {change} WHERE id = %s", [operation_id])
