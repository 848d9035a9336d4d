"""A key whose charge could not be sent tries again; one that was answered never does."""

import pytest

from payments.errors import NoProviderAvailable
from tests.payments.world import World


async def test_nobody_to_charge_is_said_and_the_same_key_tries_again(world: World) -> None:
    await set_enabled(world, enabled=False)
    with pytest.raises(NoProviderAvailable) as refused:
        await world.pay(key="nobody-there")
    assert {line["verdict"] for line in refused.value.candidates} == {"SKIPPED_DISABLED"}
    await set_enabled(world, enabled=True)

    payment_id = await world.pay(key="nobody-there")

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert await world.pay(key="nobody-there") == payment_id
    assert world.effects() == [("charge", 1000)]
    await world.check()


async def test_a_key_that_was_answered_with_a_decline_never_charges_afterwards(
    world: World,
) -> None:
    """Not even where another key could not be sent since, so that the payment may be tried."""
    payment_id = await world.pay(None)
    await world.confirm(payment_id, "tok_decline_hard", key="declined")
    world.simulator.fault("refuse")
    with pytest.raises(NoProviderAvailable):
        await world.confirm(payment_id, "tok_success", key="nobody-there")
    world.simulator.client.delete("/_faults")

    await world.confirm(payment_id, "tok_decline_hard", key="declined")

    assert world.effects() == []
    await world.confirm(payment_id, "tok_success", key="nobody-there")
    assert world.effects() == [("charge", 1000)]
    await world.check()


async def test_a_key_tries_again_with_its_own_method(world: World) -> None:
    payment_id = await world.pay(None)
    await set_enabled(world, enabled=False)
    for token in ("tok_success", "tok_decline_hard"):
        with pytest.raises(NoProviderAvailable):
            await world.confirm(payment_id, token, key=token)
    await set_enabled(world, enabled=True)

    await world.confirm(payment_id, "tok_success", key="tok_success")

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert world.effects() == [("charge", 1000)]


async def set_enabled(world: World, *, enabled: bool) -> None:
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await tx.execute(
            "UPDATE provider_account SET enabled = $2 WHERE tenant_id = $1",
            world.tenant_id,
            enabled,
        )
