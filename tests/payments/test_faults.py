"""What fails on the way: providers that are away, workers that die, answers that come too late."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.claims import Claim
from core.database import CommitOutcomeUnknown, Database
from core.money import Money
from gateways.dispatcher import Dispatched, Dispatcher
from gateways.port import Outcome, OutcomeStatus
from payments import Fact
from payments.advance import PaymentWork, advance
from payments.errors import NoProviderAvailable
from payments.sending import LeaseLost
from tests.payments.world import World, a_key, at


async def test_a_refusal_without_effect_goes_to_the_next_provider(world: World) -> None:
    world.simulator.fault("refuse", match={"account": world.merchants[0].name})

    payment_id = await world.pay()

    seen = await world.see(payment_id)
    assert [a.status for a in seen.attempts] == ["NOT_EXECUTED", "CAPTURED"]
    assert seen.attempts[0].superseded
    assert [e["account"] for e in world.merchants[1].effects()] == [world.merchants[1].name]
    verdicts = [line["verdict"] for line in seen.attempts[1].routing["candidates"]]
    assert verdicts == ["TRIED_FAILED", "CHOSEN"]
    await world.check()


async def test_an_unknown_outcome_never_goes_to_another_provider(world: World) -> None:
    world.simulator.fault("drop_after", match={"account": world.merchants[0].name}, times=1)

    payment_id = await world.pay()
    assert len((await world.see(payment_id)).attempts) == 1
    await world.later(payment_id)

    assert (await world.see(payment_id)).payment.status == "CAPTURED"
    assert world.effects() == [("charge", 1000)]
    assert world.merchants[1].effects() == []
    await world.check()


async def test_a_bound_token_stays_with_its_provider(world: World) -> None:
    world.simulator.fault("refuse", match={"account": world.merchants[0].name})

    with pytest.raises(NoProviderAvailable):
        await world.pay("bound_success")

    assert world.effects() == []


async def test_when_nobody_could_be_reached_the_payment_waits_for_another_try(
    world: World,
) -> None:
    world.simulator.fault("refuse")
    key = a_key()
    with pytest.raises(NoProviderAvailable) as refused:
        await world.pay(key=key)
    assert {line["verdict"] for line in refused.value.candidates} == {"TRIED_FAILED"}
    world.simulator.client.delete("/_faults")

    payment_id = await world.pay(key=key)

    seen = await world.see(payment_id)
    assert seen.payment.status == "CAPTURED"
    assert [a.status for a in seen.attempts] == ["NOT_EXECUTED", "NOT_EXECUTED", "CAPTURED"]
    assert world.effects() == [("charge", 1000)]
    await world.check()


@pytest.mark.parametrize("kind", ["CAPTURE", "VOID", "REFUND"])
async def test_a_step_that_could_not_be_sent_waits_and_is_sent_later(
    world: World, kind: str
) -> None:
    payment_id = await (world.pay() if kind == "REFUND" else world.authorize())
    world.simulator.fault("refuse")
    match kind:
        case "CAPTURE":
            await world.capture(payment_id)
        case "VOID":
            await world.cancel(payment_id)
        case _:
            await world.refund(payment_id)
    assert (await world.operation(payment_id, kind)).status == "CREATED"
    world.simulator.client.delete("/_faults")

    await world.later(payment_id)

    assert (await world.operation(payment_id, kind)).status == "SUCCEEDED"
    assert len(world.effects()) == 2
    await world.check()


async def test_a_caller_who_leaves_mid_call_changes_nothing(world: World) -> None:
    world.simulator.fault("slow", delay_ms=500, times=1)
    call = asyncio.create_task(world.pay())
    await eventually_sent(world)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    ((payment_id,),) = await world.rows(
        "SELECT id FROM payment WHERE tenant_id=$1", world.tenant_id
    )
    assert (await world.operation(payment_id)).status == "SENT"

    while (await world.see(payment_id)).payment.status != "CAPTURED":
        await world.later(payment_id)  # the provider still works on it at first

    assert world.effects() == [("charge", 1000)]
    await world.check()


async def test_a_late_worker_cannot_send_but_what_it_learnt_is_kept(world: World) -> None:
    world.simulator.fault("refuse")
    payment_id = await world.authorize_then_refuse_capture()
    operation = await world.operation(payment_id, "CAPTURE")
    await world.make_due(payment_id)
    (stale,) = await PaymentWork(world.services).claim(1)
    assert stale.id == operation.id
    world.simulator.client.delete("/_faults")
    await world.make_due(payment_id)
    (fresh,) = await PaymentWork(world.services).claim(1)

    await PaymentWork(world.services).advance(stale)
    assert world.effects() == [("authorization", 1000)]
    await PaymentWork(world.services).advance(fresh)

    assert world.effects() == [("authorization", 1000), ("capture", 1000)]
    await world.check()


@pytest.mark.parametrize("taken_over", [True, False])
async def test_a_worker_whose_lease_ends_before_it_sends_sends_nothing(
    world: World, *, taken_over: bool
) -> None:
    payment_id = await world.authorize_then_refuse_capture()
    world.simulator.client.delete("/_faults")
    await world.make_due(payment_id)
    (claim,) = await PaymentWork(world.services).claim(1)

    async def time_passes() -> None:
        await world.make_due(payment_id)
        if taken_over:
            await PaymentWork(world.services).claim(1)

    stopped = replace(world.services, dispatcher=StoppedDispatcher(world, time_passes))
    with pytest.raises(LeaseLost):
        await advance(stopped, claim)

    assert world.effects() == [("authorization", 1000)]
    await world.later(payment_id)
    assert world.effects() == [("authorization", 1000), ("capture", 1000)]
    await world.check()


async def test_an_answer_that_comes_after_the_lease_is_still_an_answer(world: World) -> None:
    world.simulator.fault("slow", delay_ms=700, times=1)
    call = asyncio.create_task(world.pay())
    operation_id = await eventually_sent(world)
    ((payment_id,),) = await world.rows(
        "SELECT id FROM payment WHERE tenant_id=$1", world.tenant_id
    )
    await world.make_due(payment_id)
    (claim,) = await PaymentWork(world.services).claim(1)
    assert (claim.id, claim.fence) == (operation_id, 2)

    await call

    seen = await world.see(payment_id)
    assert seen.payment.status == "CAPTURED"
    await PaymentWork(world.services).advance(claim)
    assert world.effects() == [("charge", 1000)]
    sources = await world.rows(
        "SELECT source FROM evidence WHERE operation_id = $1 AND says = 'SUCCEEDED'", operation_id
    )
    assert [row["source"] for row in sources] == ["RESPONSE"]
    await world.check()


async def test_nothing_is_sent_when_the_commit_of_sent_is_not_certain(world: World) -> None:
    world.simulator.fault("refuse")
    payment_id = await world.authorize_then_refuse_capture()
    world.simulator.client.delete("/_faults")
    await world.make_due(payment_id)
    (claim,) = await PaymentWork(world.services).claim(1)
    pools = world.database
    uncertain = UncertainDatabase(pools.pool, pools.readers, pools._settings)

    with pytest.raises(CommitOutcomeUnknown):
        await advance(replace(world.services, database=uncertain), claim)

    assert world.effects() == [("authorization", 1000)]
    assert (await world.operation(payment_id, "CAPTURE")).status == "SENT"
    await world.later(payment_id, rounds=2)
    assert world.effects() == [("authorization", 1000), ("capture", 1000)]
    await world.check()


async def test_asking_ends_with_a_person_not_with_a_guess(world: World) -> None:
    world.simulator.fault("drop_before")
    payment_id = await world.pay()

    world.clock.ahead += timedelta(days=8)
    await world.make_due(payment_id)
    await world.work()

    assert (await world.see(payment_id)).payment.status == "IN_REVIEW"
    assert await world.discrepancies() == ["UNKNOWN_OUTCOME_EXPIRED"]
    operation = await world.operation(payment_id)
    assert operation.next_action_at is None
    paid = Outcome(OutcomeStatus.SUCCEEDED, "sp_report", Money(1000, "EUR"))
    await world.tell(operation.id, Fact("REPORT", paid, "report:1", at()))
    assert (await world.see(payment_id)).payment.status == "CAPTURED"


async def test_a_request_nobody_saw_is_given_up_in_the_end(world: World) -> None:
    world.simulator.fault("drop_before", match={"method": "POST"})
    payment_id = await world.pay()

    await world.later(payment_id, rounds=8)

    seen = await world.see(payment_id)
    assert seen.operations[0].status == "NOT_EXECUTED"
    assert seen.payment.status == "REQUIRES_CONFIRMATION"
    assert (await world.events(payment_id))[-1] == "payment.not_executed"
    world.simulator.client.delete("/_faults")
    await world.confirm(payment_id)
    assert world.effects() == [("charge", 1000)]
    await world.check()


async def test_a_stale_claim_of_a_finished_operation_does_nothing(world: World) -> None:
    payment_id = await world.pay()
    operation = await world.operation(payment_id)

    await advance(world.services, Claim(world.tenant_id, operation.id, operation.fence))

    assert world.effects() == [("charge", 1000)]


class UncertainDatabase(Database):
    """Loses the connection while committing: what was written is there, but nobody says so."""

    async def run(self, tenant_id: int, work: Any, *, patient: bool = False) -> Any:
        await super().run(tenant_id, work, patient=patient)
        raise CommitOutcomeUnknown


class StoppedDispatcher(Dispatcher):
    """Stands still, as a stopped process would, after its look at the row and before it sends."""

    def __init__(self, world: World, time_passes: Callable[[], Awaitable[None]]) -> None:
        known = world.services.dispatcher
        super().__init__(
            known.registry,
            known.client,
            known.breakers,
            known.clock,
            known.rng,
            known.metrics,
            known.budget_seconds,
        )
        self._time_passes = time_passes

    async def send(self, *arguments: Any, **named: Any) -> Dispatched:
        await self._time_passes()
        return await super().send(*arguments, **named)


async def eventually_sent(world: World) -> Any:
    """Wait until an operation is SENT and the provider has its request."""
    while True:
        rows = await world.rows(
            "SELECT id FROM provider_operation WHERE tenant_id = $1 AND status = 'SENT'",
            world.tenant_id,
        )
        if rows and world.effects():
            return rows[0]["id"]
        await asyncio.sleep(0.01)
