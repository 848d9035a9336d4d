"""Saved methods that are removed: at once here, and surely at the provider afterwards."""

import asyncio
from uuid import UUID

import pytest

from core.identifiers import encode, new_id
from gateways.accounts import ProviderAccount
from gateways.store import load
from payments.errors import (
    IdempotencyKeyReused,
    NotFound,
)
from payments.saved_methods import open_token
from tests.payments.keeping import (
    ANNA,
    a_browser,
    confirm_as,
    detachments,
    kept,
    make_due,
    owner,
    pay_with,
    remove,
    saved,
    says_kept,
    tell_providers,
)
from tests.payments.test_races import outcomes
from tests.payments.world import VAULT, World, a_key


async def test_nothing_is_paid_with_a_removed_method(world: World) -> None:
    id = await kept(world)
    prepared = await pay_with(world, id, confirm=False)

    await remove(world, id)

    with pytest.raises(NotFound):
        await pay_with(world, id)
    with pytest.raises(NotFound):
        await confirm_as(world.actor, world, prepared)
    assert len(world.effects()) == 1
    assert (await world.see(prepared)).operations == ()


async def test_the_provider_forgets_it_and_so_do_we(world: World) -> None:
    id = await kept(world)

    await remove(world, id)
    assert detachments(world) == []
    await tell_providers(world)

    (row,) = await saved(world)
    assert detachments(world) == [200]
    assert row["detached_at"] is not None
    assert row["token_sealed"] is None


async def test_fifty_removals_at_once_are_one(world: World) -> None:
    id, key = await kept(world), a_key()
    keys = [key] * 25 + [a_key() for _ in range(25)]

    counted = await outcomes(*(remove(world, id, key=each) for each in keys))
    await asyncio.gather(*(tell_providers(world) for _ in range(5)))

    assert counted == {"done": 50}
    assert detachments(world) == [200]
    rows = await world.rows(
        """SELECT (SELECT count(*) FROM audit_log WHERE tenant_id = $1
                     AND action = 'saved_method.remove' AND subject = $2) AS told,
                  (SELECT count(*) FROM outbox WHERE tenant_id = $1
                     AND type = 'saved_method.removed.v1') AS events""",
        world.tenant_id,
        encode("sm", id),
    )
    assert (rows[0]["told"], rows[0]["events"]) == (1, 1)


async def test_a_key_removes_one_thing(world: World) -> None:
    first, second, key = await kept(world), await kept(world), a_key()

    assert await remove(world, first, key=key) is False
    assert await remove(world, first, key=key) is True
    with pytest.raises(IdempotencyKeyReused):
        await remove(world, second, key=key)

    assert [row["removed_at"] is None for row in await saved(world)] == [False, True]


async def test_only_its_owner_or_the_server_removes_it(world: World) -> None:
    id = await kept(world)
    page = a_browser(world, (await saved(world))[0]["payment_id"])

    for actor in (owner(world, "bert"), page):
        with pytest.raises(NotFound):
            await remove(world, id, actor)
    with pytest.raises(NotFound):
        await remove(world, new_id(), owner(world))
    await remove(world, id, owner(world))

    assert (await saved(world))[0]["removed_at"] is not None


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error_500_after", "garbage"])
async def test_a_provider_is_told_until_it_says_that_it_forgot(world: World, fault: str) -> None:
    id = await kept(world)
    await remove(world, id)
    world.simulator.fault(fault, times=1, match={"account": world.merchants[0].name})

    await tell_providers(world)
    (uncertain,) = await saved(world)
    await make_due(world)
    await tell_providers(world)

    (row,) = await saved(world)
    assert uncertain["detached_at"] is None
    assert uncertain["token_sealed"] is not None
    assert row["detached_at"] is not None
    assert detachments(world)[-1] == 200


async def test_a_worker_that_died_is_followed_by_another(world: World) -> None:
    id = await kept(world)
    await remove(world, id)
    async with world.database.unit_of_work(None) as tx:
        await tx.execute("SELECT claim_detachments(10, INTERVAL '1 minute')")

    await tell_providers(world)
    assert detachments(world) == []
    await make_due(world)
    await tell_providers(world)

    assert (await saved(world))[0]["detached_at"] is not None


async def test_a_late_callback_does_not_bring_it_back(world: World) -> None:
    id = await kept(world)
    (row,) = await saved(world)
    token = open_token(VAULT, id, row["token_sealed"])
    operation = await world.operation(row["payment_id"])
    await remove(world, id)
    await tell_providers(world)

    await world.tell(operation.id, says_kept(operation, "WEBHOOK", "late", token=token))

    (after,) = await saved(world)
    assert (after["id"], after["token_sealed"]) == (id, None)
    with pytest.raises(NotFound):
        await pay_with(world, id)


async def test_a_payment_is_made_or_the_method_is_removed_first(world: World) -> None:
    """Whichever commits first: what follows a removal is refused, and moves nothing."""
    for _ in range(8):
        id = await kept(world)
        before = len(world.effects())

        paid, _ = await asyncio.gather(
            pay_with(world, id), remove(world, id), return_exceptions=True
        )

        assert isinstance(paid, UUID | NotFound), paid
        assert len(world.effects()) - before == isinstance(paid, UUID)
    await world.check()


async def test_a_removal_waits_for_the_payment_that_holds_the_method(world: World) -> None:
    id = await kept(world)
    (row,) = await saved(world)
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await tx.fetch(
            "SELECT 1 FROM saved_method WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE",
            world.tenant_id,
            id,
        )
        paying = asyncio.create_task(pay_with(world, id))
        await world.somebody_waits_for_a_lock()
        await tx.execute(
            """UPDATE saved_method SET removed_at = clock_timestamp(),
                      next_action_at = clock_timestamp() WHERE tenant_id = $1 AND id = $2""",
            world.tenant_id,
            id,
        )

    with pytest.raises(NotFound):
        await paying
    assert row["removed_at"] is None
    assert len(world.effects()) == 1


async def test_the_provider_refuses_what_it_forgot(world: World) -> None:
    """Should a token leak all the same, it is worth nothing."""
    id = await kept(world)
    (row,) = await saved(world)
    token = open_token(VAULT, id, row["token_sealed"])
    await remove(world, id)
    await tell_providers(world)
    async with world.database.unit_of_work(world.tenant_id) as tx:
        account: ProviderAccount = await load(tx, VAULT, world.tenant_id, world.accounts[0])

    answer = world.simulator.client.post(
        "/v1/payments",
        json={
            "amount": 1,
            "currency": "EUR",
            "token": token,
            "reference": "x",
            "customer": ANNA,
        },
        headers={"authorization": f"Bearer {account.secrets['secret_key'][0]}"},
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "saved_method_unusable")
