"""Four eyes: what became of an operation is said by two administrators, or it is not said."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core.identifiers import decode, encode, new_id
from core.money import Money
from gateways.port import Outcome, OutcomeStatus
from payments import (
    Actor,
    Fact,
    OperationResult,
    OperatorOutcome,
    ResolveOperation,
    resolve,
)
from payments.errors import (
    IdempotencyKeyReused,
    InvalidState,
    NotFound,
    OperationInProgress,
    ValidationFailed,
)
from tenants import issue, rotate
from tests.conftest import add_tenant
from tests.payments.world import World, a_key, at


@dataclass
class Office:
    """The administrators of a shop, and the operation they talk about."""

    world: World
    payment_id: UUID
    operation_id: UUID
    first: Actor
    second: Actor

    async def say(
        self,
        actor: Actor,
        outcome: str = "NOT_EXECUTED",
        reference: str | None = None,
        key: str | None = None,
    ) -> OperationResult:
        input = {"operationId": str(self.operation_id), "outcome": outcome, "ref": reference}
        command = ResolveOperation(
            key or a_key(),
            input,
            self.operation_id,
            OperatorOutcome(outcome),
            "seen in the dashboard",
            reference,
        )
        return await resolve(command, actor, self.world.services)

    async def missing(self, actor: Actor, *said: str | None) -> int:
        return (await self.say(actor, *said)).approvals_missing  # type: ignore[arg-type] # outcome, then reference

    async def refused(self, actor: Actor, *said: str | None) -> tuple[str, str]:
        """The field and the code of what is wrong."""
        with pytest.raises(ValidationFailed) as refused:
            await self.say(actor, *said)  # type: ignore[arg-type] # as above
        (problem,) = refused.value.fields
        return problem.path[-1], problem.code

    async def status(self) -> tuple[str, str]:
        """Of the operation and of the payment."""
        seen = await self.world.see(self.payment_id)
        return seen.operation(self.operation_id).status, seen.payment.status

    async def evidence(self) -> list[str]:
        rows = await self.world.rows(
            "SELECT source, says FROM evidence WHERE operation_id = $1 ORDER BY id",
            self.operation_id,
        )
        return [f"{row['source']} {row['says']}" for row in rows]

    async def audit(self) -> list[tuple[str, bool]]:
        rows = await self.world.rows(
            "SELECT actor, refused FROM audit_log WHERE subject = $1 ORDER BY id",
            encode("op", self.operation_id),
        )
        return [(row["actor"], row["refused"]) for row in rows]

    async def snapshot(self) -> Any:
        world = self.world
        entries = await world.rows("SELECT count(*) FROM entry")
        return await world.see(self.payment_id), entries, await world.events(self.payment_id)


async def a_person(world: World) -> Actor:
    async with world.database.unit_of_work(world.tenant_id) as tx:
        key = await issue(
            tx,
            world.tenant_id,
            name="admin",
            scopes=["ADMIN"],
            actor="test",
            correlation_id="cor-test",
        )
    return by_key(world, key.id)


def by_key(world: World, id: UUID) -> Actor:
    return replace(world.actor, name=f"key:{encode('key', id)}")


def by_token(world: World, subject: str) -> Actor:
    return replace(world.actor, name=f"jwt:{subject}")


async def successor(world: World, actor: Actor) -> Actor:
    """The key that replaces this actor's."""
    old = decode("key", actor.name.removeprefix("key:"))
    async with world.database.unit_of_work(world.tenant_id) as tx:
        grace, act = timedelta(hours=1), {"actor": "test", "correlation_id": "cor-test"}
        new = await rotate(tx, world.tenant_id, old, grace=grace, **act)
    return by_key(world, new.id)


async def in_review(world: World, payment_id: UUID, kind: str = "SALE") -> UUID:
    """The worker asked for as long as it does, and gave up."""
    await world.later(payment_id, seconds=366 * 86_400)
    operation = await world.operation(payment_id, kind)
    assert operation.status == "IN_REVIEW"
    return UUID(str(operation.id))


@pytest.fixture
async def office(world: World) -> Office:
    """A charge that never reached the provider, as nobody here knows."""
    world.simulator.fault("drop_before", match={"method": "POST"}, times=1)
    payment_id = await world.pay()
    operation_id = await in_review(world, payment_id)
    return Office(world, payment_id, operation_id, await a_person(world), await a_person(world))


async def test_what_one_says_changes_nothing_yet(office: Office) -> None:
    before = await office.snapshot()

    result = await office.say(office.first)

    assert (result.approvals_missing, result.replayed) == (1, False)
    assert await office.snapshot() == before
    assert await office.audit() == [(office.first.name, False)]


async def test_what_two_say_is_evidence_and_all_follows_from_it(office: Office) -> None:
    assert await office.missing(office.first) == 1
    assert await office.missing(office.second) == 0

    assert await office.status() == ("NOT_EXECUTED", "REQUIRES_CONFIRMATION")
    assert (await office.evidence())[-1] == "OPERATOR NOT_EXECUTED"
    assert await office.audit() == [(office.first.name, False), (office.second.name, False)]
    assert "payment.not_executed" in await office.world.events(office.payment_id)
    await office.world.confirm(office.payment_id, "tok_success")
    assert office.world.effects() == [("charge", 1000)]
    await office.world.check()


async def test_a_success_is_booked_in_full_and_once(office: Office) -> None:
    for actor in (office.first, office.second):
        await office.say(actor, "SUCCEEDED", "ch_1")

    world = office.world
    seen = await world.see(office.payment_id)
    assert (seen.payment.status, seen.payment.captured_gross) == ("CAPTURED", 1000)
    assert seen.operation(office.operation_id).provider_ref == "ch_1"
    assert await world.balance("income:sales") == (-1000, 0)
    assert await world.balance(f"psp:{world.merchants[0].name}:clearing") == (1000, 0)
    assert (await world.events(office.payment_id)).count("payment.captured") == 1


async def test_a_decline_lets_the_shopper_try_again(office: Office) -> None:
    for actor in (office.first, office.second):
        await office.say(actor, "DECLINED")

    seen = await office.world.see(office.payment_id)
    assert seen.payment.status == "REQUIRES_PAYMENT_METHOD"
    assert seen.payment.last_decline is not None
    assert seen.payment.last_decline["code"] == "declined_says_operator"
    await office.world.check()


async def test_a_refund_that_never_was_can_be_made_again(world: World) -> None:
    payment_id = await world.pay()
    world.simulator.fault("drop_before", match={"method": "POST"}, times=1)
    await world.refund(payment_id)
    id = await in_review(world, payment_id, "REFUND")
    office = Office(world, payment_id, id, await a_person(world), await a_person(world))

    for actor in (office.first, office.second):
        await office.say(actor)
    await world.refund(payment_id)

    assert (await world.see(payment_id)).payment.refunded == 1000
    await world.check()


# ---- whose eyes they are


async def test_one_key_twice_is_one_pair_of_eyes(office: Office) -> None:
    for _ in range(3):
        assert await office.missing(office.first) == 1

    assert await office.status() == ("IN_REVIEW", "IN_REVIEW")


async def test_a_key_and_those_that_replace_it_are_one_pair_of_eyes(office: Office) -> None:
    newer = await successor(office.world, office.first)
    newest = await successor(office.world, newer)
    fork = await successor(office.world, office.first)

    for actor in (newest, office.first, fork, newer):
        assert await office.missing(actor) == 1
    assert await office.missing(await successor(office.world, office.second)) == 0


async def test_each_subject_of_tokens_is_a_pair_of_eyes(office: Office) -> None:
    one, other = by_token(office.world, "anna"), by_token(office.world, "ben")

    assert await office.missing(one) == 1
    assert await office.missing(one) == 1
    assert await office.missing(other) == 0


async def test_a_key_and_a_token_are_two_pairs_of_eyes(office: Office) -> None:
    assert await office.missing(by_token(office.world, "anna")) == 1
    assert await office.missing(office.first) == 0


# ---- when they do not agree


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (("SUCCEEDED", "ch_1"), ("NOT_EXECUTED", None), "outcome"),
        (("SUCCEEDED", "ch_1"), ("SUCCEEDED", "ch_2"), "providerRef"),
        (("DECLINED", "ch_1"), ("DECLINED", None), "providerRef"),
    ],
)
async def test_who_says_something_else_is_refused(
    office: Office, first: tuple[str, str | None], second: tuple[str, str | None], field: str
) -> None:
    await office.say(office.first, *first)
    before = await office.snapshot()

    assert await office.refused(office.second, *second) == (field, "OPINIONS_DIFFER")

    assert await office.snapshot() == before
    assert await office.audit() == [(office.first.name, False), (office.second.name, True)]
    assert await office.missing(office.second, *first) == 0


async def test_the_first_may_think_again(office: Office) -> None:
    await office.say(office.first, "SUCCEEDED", "ch_1")
    await office.say(office.first, "NOT_EXECUTED")

    assert await office.refused(office.second, "SUCCEEDED", "ch_1") == (
        "outcome",
        "OPINIONS_DIFFER",
    )
    assert await office.missing(office.second, "NOT_EXECUTED") == 0


@pytest.mark.parametrize(("age", "missing"), [("23 hours 59 minutes", 0), ("24 hours", 1)])
async def test_an_opinion_counts_for_a_day(
    office: Office, admin_url: str, age: str, missing: int
) -> None:
    await office.say(office.first)
    with psycopg.connect(admin_url) as admin:
        admin.execute("SET session_replication_role = replica")  # it is append-only otherwise
        admin.execute("UPDATE operator_opinion SET given_at = given_at - %s::INTERVAL", [age])

    assert await office.missing(office.second) == missing


async def test_an_opinion_counts_no_more_once_something_was_learnt(office: Office) -> None:
    await office.say(office.first)
    pending = Outcome(OutcomeStatus.PENDING)
    await office.world.tell(office.operation_id, Fact("WEBHOOK", pending, "webhook:1", at()))

    assert await office.missing(office.second) == 1
    assert await office.missing(office.first) == 0


async def test_opinions_cannot_be_changed(office: Office, admin_url: str) -> None:
    await office.say(office.first)

    for statement in ("UPDATE operator_opinion SET holder = 'x'", "DELETE FROM operator_opinion"):
        with psycopg.connect(admin_url) as admin, pytest.raises(psycopg.Error, match="append-only"):
            admin.execute(statement.encode())


# ---- what cannot be said


async def test_what_is_certain_cannot_be_resolved(office: Office) -> None:
    payment_id = await office.world.pay()
    office.operation_id = (await office.world.operation(payment_id)).id

    with pytest.raises(InvalidState) as refused:
        await office.say(office.first)

    assert refused.value.current == "SUCCEEDED"
    assert refused.value.allowed == ("UNKNOWN", "IN_REVIEW")


async def test_another_tenants_operation_is_not_there(office: Office, admin_url: str) -> None:
    stranger = replace(office.first, tenant_id=add_tenant(admin_url))

    with pytest.raises(NotFound):
        await office.say(stranger)
    office.operation_id = new_id()
    with pytest.raises(NotFound):
        await office.say(office.first)


async def test_what_the_provider_said_cannot_be_talked_away(world: World) -> None:
    payment_id = await world.pay()
    operation = await world.operation(payment_id)
    declined = Outcome(OutcomeStatus.DECLINED)
    await world.tell(operation.id, Fact("LOOKUP", declined, "lookup:1", at()))
    office = Office(world, payment_id, operation.id, await a_person(world), await a_person(world))
    assert (await office.status())[0] == "IN_REVIEW"

    assert await office.refused(office.first, "DECLINED") == ("outcome", "CONTRADICTED")
    for actor in (office.first, office.second):
        await office.say(actor, "SUCCEEDED")

    assert await office.status() == ("SUCCEEDED", "CAPTURED")
    await world.check()


async def test_another_amount_is_no_success(office: Office) -> None:
    less = Outcome(OutcomeStatus.SUCCEEDED, "ch_1", Money(900, "EUR"))
    await office.world.tell(office.operation_id, Fact("LOOKUP", less, "lookup:1", at()))
    assert (await office.status())[0] == "IN_REVIEW"

    for outcome in ("SUCCEEDED", "DECLINED"):
        assert await office.refused(office.first, outcome) == ("outcome", "AMOUNT_MISMATCH")


async def test_a_success_needs_the_providers_reference_and_the_right_one(office: Office) -> None:
    other = await office.world.operation(await office.world.pay())

    assert await office.refused(office.first, "SUCCEEDED") == ("providerRef", "REQUIRED")
    assert await office.refused(office.first, "SUCCEEDED", other.provider_ref) == (
        "providerRef",
        "REFERENCE_TAKEN",
    )


async def test_a_reference_the_provider_told_stands(world: World) -> None:
    payment_id = await world.pay("tok_pending")
    id = await in_review(world, payment_id)
    office = Office(world, payment_id, id, await a_person(world), await a_person(world))

    assert await office.refused(office.first, "SUCCEEDED", "ch_other") == (
        "providerRef",
        "OTHER_REFERENCE",
    )
    known = (await world.operation(payment_id)).provider_ref
    assert await office.missing(office.first, "SUCCEEDED", known) == 1


async def test_while_the_provider_is_asked_nobody_decides(office: Office) -> None:
    lease = "UPDATE provider_operation SET lease_until = clock_timestamp() + $2 WHERE id = $1"
    async with office.world.database.unit_of_work(office.world.tenant_id) as tx:
        await tx.execute(lease, office.operation_id, timedelta(seconds=60))

    with pytest.raises(OperationInProgress):
        await office.say(office.first)


# ---- keys, and many at once


async def test_the_same_request_again_is_answered_as_it_is_now(office: Office) -> None:
    key = a_key()
    await office.say(office.first, key=key)
    before = await office.snapshot()

    again = await office.say(office.first, key=key)
    assert (again.approvals_missing, again.replayed) == (1, True)
    assert await office.snapshot() == before
    assert len(await office.audit()) == 1
    with pytest.raises(IdempotencyKeyReused):
        await office.say(office.first, "DECLINED", key=key)

    await office.say(office.second)
    again = await office.say(office.first, key=key)
    assert (again.approvals_missing, again.replayed) == (0, True)


async def test_a_request_that_was_refused_uses_up_no_key(office: Office) -> None:
    key = a_key()
    with pytest.raises(ValidationFailed):
        await office.say(office.first, "SUCCEEDED", key=key)

    result = await office.say(office.first, "SUCCEEDED", "ch_1", key=key)
    assert (result.approvals_missing, result.replayed) == (1, False)


WAITING = """SELECT count(*) AS two FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
              WHERE NOT l.granted AND a.datname = current_database()"""


async def test_two_at_once_are_two_and_it_happens_once(office: Office, admin_url: str) -> None:
    """Both are under way before either has written its opinion."""
    with psycopg.connect(admin_url) as admin:
        admin.execute("LOCK TABLE operator_opinion IN SHARE MODE")
        calls = [
            asyncio.create_task(office.say(who, "SUCCEEDED", "ch_1"))
            for who in (office.first, office.second)
        ]
        while (await office.world.rows(WAITING))[0]["two"] < 2:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    said = await asyncio.gather(*calls)

    assert sorted(one.approvals_missing for one in said) == [0, 1]
    assert Counter(await office.evidence())["OPERATOR SUCCEEDED"] == 1
    assert await office.world.balance("income:sales") == (-1000, 0)


async def test_one_who_asks_ten_times_at_once_is_still_one(office: Office) -> None:
    said = await asyncio.gather(*(office.missing(office.first) for _ in range(10)))

    assert set(said) == {1}
    assert await office.status() == ("IN_REVIEW", "IN_REVIEW")


async def test_a_request_sent_ten_times_at_once_is_one_opinion(office: Office) -> None:
    key = a_key()

    said = await asyncio.gather(*(office.say(office.first, key=key) for _ in range(10)))

    assert Counter(one.replayed for one in said) == {False: 1, True: 9}
    assert len(await office.audit()) == 1


@pytest.mark.parametrize("callback_first", [True, False])
async def test_a_callback_meanwhile_is_booked_once(office: Office, *, callback_first: bool) -> None:
    """Whoever is first; the other one finds it done, or says what is known."""
    await office.say(office.first, "SUCCEEDED", "ch_1")
    success = Outcome(OutcomeStatus.SUCCEEDED, "ch_1", Money(1000, "EUR"))
    fact = Fact("WEBHOOK", success, "webhook:1", at())

    calls = [
        office.world.tell(office.operation_id, fact),
        office.missing(office.second, "SUCCEEDED", "ch_1"),
    ]
    results = await asyncio.gather(
        *(calls if callback_first else calls[::-1]), return_exceptions=True
    )

    errors = [each for each in results if isinstance(each, BaseException)]
    assert [type(each) for each in errors] in ([], [InvalidState])
    assert await office.status() == ("SUCCEEDED", "CAPTURED")
    assert await office.world.balance("income:sales") == (-1000, 0)
    assert Counter(await office.evidence())["WEBHOOK SUCCEEDED"] == 1


async def test_what_the_provider_says_afterwards_still_contradicts(office: Office) -> None:
    for actor in (office.first, office.second):
        await office.say(actor, "NOT_EXECUTED")
    success = Outcome(OutcomeStatus.SUCCEEDED, "ch_1", Money(1000, "EUR"))

    await office.world.tell(office.operation_id, Fact("WEBHOOK", success, "webhook:1", at()))

    assert await office.status() == ("IN_REVIEW", "IN_REVIEW")


async def test_an_unknown_outcome_need_not_wait_for_the_worker_to_give_up(world: World) -> None:
    world.simulator.fault("drop_before", match={"method": "POST"}, times=1)
    payment_id = await world.pay()
    operation = await world.operation(payment_id)
    assert operation.status == "UNKNOWN"
    office = Office(world, payment_id, operation.id, await a_person(world), await a_person(world))

    for actor in (office.first, office.second):
        await office.say(actor)
    await world.later(payment_id, rounds=3)

    assert await office.status() == ("NOT_EXECUTED", "REQUIRES_CONFIRMATION")
    assert world.effects() == []
    await world.check()
