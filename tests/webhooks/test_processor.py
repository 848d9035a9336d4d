"""The inbox worked through: facts reach the books once, nothing is lost or believed too soon."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from core.claims import Claim
from core.database import DatabaseUnavailable
from core.identifiers import encode
from tests.webhooks.desk import Desk, Row, a_movement, a_sale, an_event
from webhooks.processor import replay


async def an_unanswered_sale(desk: Desk) -> tuple[UUID, str, str]:
    """Charged at the provider, the answer lost: our payment, our operation, their payment."""
    world = desk.world
    world.simulator.fault("drop_after", times=1)
    payment_id = await world.pay()
    operation_id = encode("op", (await world.operation(payment_id)).id)
    ref = world.merchants[0].effects(reference=operation_id)[0]["payment"]
    return payment_id, operation_id, ref


async def ref_of(desk: Desk, payment_id: UUID, kind: str = "SALE") -> str:
    ref: str = (await desk.world.operation(payment_id, kind)).provider_ref
    return ref


async def status_of(desk: Desk, payment_id: UUID) -> str:
    return str((await desk.world.see(payment_id)).payment.status)


async def put_back(desk: Desk, row: Row) -> None:
    world = desk.world
    async with world.database.unit_of_work(world.tenant_id) as tx:
        assert await replay(tx, world.tenant_id, [row["id"]], world.clock.now()) == [row["id"]]


# ---- what is believed


async def test_an_event_settles_the_payment_whose_answer_was_lost(desk: Desk) -> None:
    payment_id, operation_id, ref = await an_unanswered_sale(desk)
    await desk.deliver(a_sale(ref, operation_id))

    await desk.work()

    row = await desk.only()
    assert (row["status"], row["error"], row["next_action_at"]) == ("PROCESSED", None, None)
    assert row["processed_at"] is not None
    assert await status_of(desk, payment_id) == "CAPTURED"
    assert await desk.transactions() == ["sale", "psp_fee"]
    await desk.world.check()


async def test_two_events_of_one_fact_are_posted_once(desk: Desk) -> None:
    _, operation_id, ref = await an_unanswered_sale(desk)
    for event in (a_sale(ref, operation_id), a_sale(ref, operation_id), a_sale(ref)):
        await desk.deliver(event)

    await desk.work(2)

    assert await desk.statuses() == ["PROCESSED"] * 3
    assert await desk.transactions() == ["sale", "psp_fee"]
    await desk.world.check()


async def test_an_event_that_is_replayed_after_it_was_posted_posts_nothing(desk: Desk) -> None:
    _, operation_id, ref = await an_unanswered_sale(desk)
    await desk.deliver(a_sale(ref, operation_id))
    await desk.work()

    await put_back(desk, await desk.only())
    assert await desk.statuses() == ["RECEIVED"]
    await desk.work()

    assert await desk.statuses() == ["PROCESSED"]
    assert await desk.transactions() == ["sale", "psp_fee"]


async def test_a_kind_nobody_acts_on_is_ignored_and_stays_visible(desk: Desk) -> None:
    await desk.deliver(an_event("moon.phase"))

    await desk.work(2)

    row = await desk.only()
    assert (row["status"], row["kind"], row["tries"]) == ("IGNORED", "moon.phase", 1)


async def test_an_event_of_another_account_that_names_our_operation_is_not_believed(
    desk: Desk,
) -> None:
    payment_id, operation_id, ref = await an_unanswered_sale(desk)
    await desk.deliver(a_sale(ref, operation_id), account=1)

    await desk.work()

    assert await desk.statuses() == ["DEFERRED"]
    assert await status_of(desk, payment_id) == "PROCESSING"
    assert await desk.transactions() == []


async def test_an_operation_that_is_no_id_is_looked_for_by_the_providers_object(
    desk: Desk,
) -> None:
    payment_id = await desk.world.pay("tok_pending")
    await desk.deliver(a_sale(await ref_of(desk, payment_id), "not-an-id'; --"))

    await desk.work()

    assert await status_of(desk, payment_id) == "CAPTURED"


async def test_an_event_of_one_kind_says_nothing_about_an_operation_of_another(
    desk: Desk,
) -> None:
    payment_id = await desk.world.pay("tok_pending")
    operation_id = encode("op", (await desk.world.operation(payment_id)).id)
    await desk.deliver(a_movement("refund", "sp_unknown", reference=operation_id))

    await desk.work()

    assert await desk.statuses() == ["DEFERRED"]
    assert await status_of(desk, payment_id) == "PROCESSING"


# ---- what somebody else started


async def test_a_refund_made_at_the_provider_is_posted_once(desk: Desk) -> None:
    world = desk.world
    payment_id = await world.pay()
    ref = await ref_of(desk, payment_id)
    made = world.simulator.control("/_dashboard/refunds", payment=ref, amount=400)
    for _ in range(2):
        await desk.deliver(a_movement("refund", ref, id=made["id"], amount=400))

    await desk.work()

    seen = await world.see(payment_id)
    assert await desk.statuses() == ["PROCESSED"] * 2
    assert [(r.origin, r.amount, r.status) for r in seen.refunds] == [
        ("EXTERNAL", 400, "SUCCEEDED")
    ]
    assert (await desk.transactions()).count("refund_external") == 1
    assert await world.balance("income:sales") == (-600, 0)
    await world.check()


async def test_a_capture_made_at_the_provider_is_posted_once(desk: Desk) -> None:
    world = desk.world
    payment_id = await world.authorize()
    ref = await ref_of(desk, payment_id, "AUTHORIZE")
    made = world.simulator.control("/_dashboard/captures", payment=ref, amount=1000)
    for _ in range(2):
        await desk.deliver(a_movement("capture", ref, id=made["id"], fee=made["fee"]))

    await desk.work()

    seen = await world.see(payment_id)
    captures = [o for o in seen.operations if o.kind == "CAPTURE"]
    assert [(o.origin, o.status) for o in captures] == [("EXTERNAL", "SUCCEEDED")]
    assert seen.payment.status == "CAPTURED"
    assert (await desk.transactions()).count("capture") == 1
    await world.check()


async def test_fifty_events_about_one_payment_at_once_are_posted_once(desk: Desk) -> None:
    """Ten external refunds, each told five times under ids of its own."""
    world = desk.world
    payment_id = await world.pay()
    ref = await ref_of(desk, payment_id)
    for _ in range(10):
        made = world.simulator.control("/_dashboard/refunds", payment=ref, amount=50)
        for _ in range(5):
            await desk.deliver(a_movement("refund", ref, id=made["id"], amount=50))

    await desk.work(5)  # some may have waited too long for the payment's lock

    assert set(await desk.statuses()) == {"PROCESSED"}
    assert (await desk.transactions()).count("refund_external") == 10
    assert (await world.see(payment_id)).payment.refunded_external == 500
    await world.check()


# ---- what belongs to nothing


async def test_what_belongs_to_nothing_waits_a_day_and_is_then_an_orphan(desk: Desk) -> None:
    await desk.deliver(a_movement("refund", "sp_unknown", id="sr_unknown"))

    await desk.work(12)
    await desk.pass_hours(23.9)
    await desk.work()
    assert await desk.statuses() == ["DEFERRED"]
    assert await desk.world.discrepancies() == []

    await desk.pass_hours(0.2)
    await desk.work(2)

    row = await desk.only()
    assert row["status"] == "DEAD"
    assert "ORPHAN_WEBHOOK" in row["error"]
    assert await desk.world.discrepancies() == ["ORPHAN_WEBHOOK"]
    [found] = await desk.world.rows(
        "SELECT subject_key, provider_ref FROM discrepancy WHERE tenant_id = $1",
        desk.world.tenant_id,
    )
    assert (found["subject_key"], found["provider_ref"]) == (str(row["id"]), "sr_unknown")
    assert await desk.transactions() == []


async def test_an_orphan_that_is_replayed_is_no_second_discrepancy(desk: Desk) -> None:
    await desk.deliver(a_movement("refund", "sp_unknown"))
    await desk.pass_hours(25)
    await desk.work()

    await put_back(desk, await desk.only())
    await desk.work()

    assert await desk.statuses() == ["DEAD"]
    assert await desk.world.discrepancies() == ["ORPHAN_WEBHOOK"]


async def test_what_came_before_its_payment_is_found_later(desk: Desk) -> None:
    payment_id, operation_id, ref = await an_unanswered_sale(desk)
    await desk.deliver(a_movement("refund", ref, amount=400))
    await desk.work()
    assert await desk.statuses() == ["DEFERRED"], "the payment is not known by that name yet"

    await desk.deliver(a_sale(ref, operation_id))
    await desk.work(2)

    assert await desk.statuses() == ["PROCESSED"] * 2
    assert (await desk.world.see(payment_id)).payment.refunded_external == 400
    assert await desk.world.balance("income:sales") == (-600, 0)


async def test_waiting_is_no_failure(desk: Desk) -> None:
    """A row that waited for long must not be given up at its first failure."""
    await desk.deliver(a_movement("refund", "sp_unknown"))
    await desk.work(20)

    desk.adapter.breaks_reading = RuntimeError("once")
    await desk.work()

    row = await desk.only()
    assert (row["status"], row["tries"]) == ("FAILED", 1)


async def test_what_waits_is_looked_at_less_and_less_often(desk: Desk) -> None:
    await desk.deliver(a_movement("refund", "sp_unknown"))
    waits = []
    for hours in (0, 0.01, 0.1, 23):
        await desk.pass_hours(hours)
        await desk.work()
        [row] = await desk.world.rows(
            """SELECT next_action_at - clock_timestamp() AS wait FROM inbound_webhook
                WHERE tenant_id = $1""",
            desk.world.tenant_id,
        )
        waits.append(row["wait"])

    assert waits == sorted(waits)
    assert waits[0] < timedelta(seconds=5)
    assert timedelta(minutes=7) < waits[-1] <= timedelta(minutes=15)


# ---- what cannot be processed


async def give_up(desk: Desk) -> list[str]:
    """The status after each of nine rounds."""
    seen = []
    for _ in range(9):
        await desk.work()
        seen += await desk.statuses()
    return seen


async def test_what_cannot_be_read_is_tried_eight_times_and_then_dead(desk: Desk) -> None:
    await desk.deliver(b"no json")

    assert await give_up(desk) == ["FAILED"] * 7 + ["DEAD"] * 2

    row = await desk.only()
    assert (row["tries"], row["next_action_at"], row["lease_until"]) == (8, None, None)
    assert row["error"].startswith("Unparseable")


@pytest.mark.parametrize(
    "poison",
    [
        KeyError("amount"),
        RecursionError(),
        ValueError("nul \0 and half a character \ud800"),
        asyncpg.DataError("bad"),
        TimeoutError(),
        AssertionError("ours"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_row_that_breaks_the_adapter_ends_dead_with_its_reason(
    desk: Desk, poison: Exception
) -> None:
    await desk.deliver(an_event())
    desk.adapter.breaks_reading = poison

    assert (await give_up(desk))[-2:] == ["DEAD", "DEAD"]

    error = (await desk.only())["error"]
    assert type(poison).__name__ in error
    assert "\0" not in error


async def test_a_fact_the_database_refuses_ends_dead_with_its_reason(desk: Desk) -> None:
    payment_id = await desk.world.pay()
    ref = await ref_of(desk, payment_id)
    await desk.deliver(a_movement("refund", ref, id="sr_\0"))

    assert (await give_up(desk))[-1] == "DEAD"

    assert "CharacterNotInRepertoire" in (await desk.only())["error"]
    assert (await desk.transactions()).count("refund_external") == 0


async def test_one_poison_row_does_not_hold_up_the_others(desk: Desk) -> None:
    await desk.deliver(b"poison")
    events = [an_event() for _ in range(20)]
    for event in events:
        await desk.deliver(event)

    await desk.work(8)

    assert sorted(await desk.statuses()) == ["DEAD"] + ["IGNORED"] * 20


async def test_that_we_are_not_available_is_not_the_fault_of_the_event(desk: Desk) -> None:
    await desk.deliver(an_event())
    desk.adapter.breaks_reading = DatabaseUnavailable()
    await desk.work(12)
    assert await desk.statuses() == ["FAILED"]

    desk.adapter.breaks_reading = None
    await desk.work()

    assert await desk.statuses() == ["IGNORED"]


async def test_a_dead_row_is_replayed_once_the_adapter_is_mended(desk: Desk) -> None:
    payment_id, operation_id, ref = await an_unanswered_sale(desk)
    await desk.deliver(a_sale(ref, operation_id))
    desk.adapter.breaks_reading = KeyError("amount")
    await desk.work(8)
    dead = await desk.only()
    assert (dead["status"], dead["tries"]) == ("DEAD", 8)

    desk.adapter.breaks_reading = None
    await put_back(desk, dead)
    await desk.work()

    row = await desk.only()
    assert (row["status"], row["error"], row["tries"]) == ("PROCESSED", None, 1)
    assert await status_of(desk, payment_id) == "CAPTURED"


async def test_what_was_not_understood_when_it_came_is_understood_on_replay(desk: Desk) -> None:
    """It was kept under the digest of its body; its events are kept under their own ids."""
    payment_id, operation_id, ref = await an_unanswered_sale(desk)
    event = a_sale(ref, operation_id)
    desk.adapter.breaks_reading = KeyError("amount")
    await desk.deliver({"batch": [event, an_event()]})
    await desk.work(8)
    assert await desk.statuses() == ["DEAD"]

    desk.adapter.breaks_reading = None
    await desk.deliver(event)
    await put_back(desk, (await desk.inbox())[0])
    await desk.work(2)

    assert sorted(await desk.statuses()) == ["IGNORED", "PROCESSED", "PROCESSED"]
    assert await status_of(desk, payment_id) == "CAPTURED"
    assert await desk.transactions() == ["sale", "psp_fee"]


# ---- who may work on it, and what a crash leaves


async def test_a_failure_half_way_leaves_no_trace_but_the_row(desk: Desk) -> None:
    """The whole effect is one unit of work: the refund's rows are gone, the event is not."""
    world = desk.world
    payment_id = await world.pay()
    ref = await ref_of(desk, payment_id)
    made = world.simulator.control("/_dashboard/refunds", payment=ref, amount=400)
    await desk.deliver(a_movement("refund", ref, id=made["id"], amount=400))
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await tx.fetch("SELECT 1 FROM payment WHERE tenant_id = $1 FOR UPDATE", world.tenant_id)
        claims = await desk.claim()
        working = [asyncio.create_task(desk.processor.advance(claim)) for claim in claims]
        await desk.world.somebody_waits_for_a_lock()  # the payment's, the row in hand
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    assert (await world.see(payment_id)).refunds == ()
    assert await desk.statuses() == ["RECEIVED"]
    await desk.work()
    assert await desk.statuses() == ["PROCESSED"]
    assert (await world.see(payment_id)).payment.refunded_external == 400
    await world.check()


async def test_a_row_is_leased_to_one_worker_until_its_lease_ends(desk: Desk) -> None:
    await desk.deliver(an_event())

    first, second = await desk.claim(), await desk.claim()
    await desk.make_due()
    third = await desk.claim()

    assert [len(first), len(second), len(third)] == [1, 0, 1]
    assert third[0].fence == first[0].fence + 1


async def test_a_claim_that_was_lost_does_nothing(desk: Desk) -> None:
    await desk.deliver(an_event())
    [late] = await desk.claim()
    await desk.make_due()
    [holder] = await desk.claim()

    await desk.processor.advance(late)

    assert await desk.statuses() == ["RECEIVED"]
    assert (await desk.only())["lease_until"] is not None, "the holder's lease stands"
    await desk.processor.advance(holder)
    assert await desk.statuses() == ["IGNORED"]


async def test_a_failure_under_a_lost_claim_is_not_written(desk: Desk) -> None:
    await desk.deliver(an_event())
    [late] = await desk.claim()
    await desk.make_due()
    [holder] = await desk.claim()
    before = dict(await desk.only())

    async with desk.world.database.unit_of_work(desk.world.tenant_id) as tx:
        lost = await desk.processor._failed(tx, late, RuntimeError("too late"))

    assert lost == "LOST"
    assert dict(await desk.only()) == before
    assert holder.fence > late.fence


async def test_a_row_that_is_done_is_not_worked_on_under_its_old_claim(desk: Desk) -> None:
    """As when the outcome of the first commit was not known to us."""
    await desk.deliver(an_event())
    [claim] = await desk.claim()
    await desk.processor.advance(claim)
    done = dict(await desk.only())

    await desk.processor.advance(claim)
    async with desk.world.database.unit_of_work(desk.world.tenant_id) as tx:
        await desk.processor._failed(tx, claim, RuntimeError("commit outcome unknown"))

    assert dict(await desk.only()) == done


async def test_a_claim_of_another_tenant_finds_nothing(desk: Desk) -> None:
    await desk.deliver(an_event())
    [claim] = await desk.claim()

    await desk.processor.advance(Claim(claim.tenant_id + 1_000_000, claim.id, claim.fence))

    assert await desk.statuses() == ["RECEIVED"]


async def test_a_row_keeps_what_was_proven(desk: Desk) -> None:
    await desk.deliver(an_event())

    for change in ("payload = 'x'", "provider_event_id = 'x'", "headers = '{}'"):
        with pytest.raises(asyncpg.PostgresError):
            await desk.world.rows(f"UPDATE inbound_webhook SET {change}")
