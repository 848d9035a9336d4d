"""The worker: takes over what a sender left behind, and finds out what is not known.

    CREATED                      send it
    SENT, its lease ended        nobody knows: evidence `unknown`, then find out
    UNKNOWN, PENDING,            look it up; repeat the very same request where that is safe and
    REQUIRES_ACTION              nothing is there; ask again later; after the horizon a person looks

Never guesses, never changes provider, never sends with another key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from core.claims import Claim, lease
from core.database import CommitOutcomeUnknown, DatabaseUnavailable, Tx
from core.killpoints import kill_point
from core.telemetry import correlation
from core.tracing import Flow, root_span
from gateways.accounts import ProviderAccount
from gateways.dispatcher import LookedUp
from gateways.port import Capability, HttpCall, Manifest, Outcome, OutcomeStatus
from gateways.routing import RoutingDecision
from gateways.store import load as load_account
from gateways.store import load_all
from payments import reading
from payments.evidence import open_conclusion
from payments.facts import Fact, horizon_passed, unanswered
from payments.model import OPENINGS, Aggregate, Evidence, Operation, OperationStatus
from payments.sending import (
    Instruction,
    LeaseLost,
    Route,
    Sending,
    as_calls,
    carry_out,
    instruct,
    open_token,
    stored_calls,
)
from payments.services import PaymentServices
from payments.writing import Call

ACTOR: Final = "worker"
RESENDS_MAX: Final = 5
"""Looks after which a request the provider never saw is not sent again: the intent is too old."""
WINDOW_MARGIN: Final = timedelta(hours=1)
"""How long before a provider forgets keys we stop repeating requests."""


@dataclass(frozen=True, slots=True)
class PaymentWork:
    """Due operations as durable work (core.claims.Work)."""

    services: PaymentServices

    async def claim(self, limit: int) -> Sequence[Claim]:
        """Lease due operations of any tenant, in a unit of work of its own."""
        async with self.services.database.unit_of_work(None) as tx:
            rows = await tx.fetch(
                "SELECT tenant_id, operation_id, fence FROM claim_operations($1, $2)",
                limit,
                lease(self.services.lease_seconds),
            )
        return [Claim(row["tenant_id"], row["operation_id"], row["fence"]) for row in rows]

    async def advance(self, claim: Claim) -> None:
        """Take one claimed operation one step further."""
        try:
            await advance(self.services, claim)
        except (LeaseLost, CommitOutcomeUnknown, DatabaseUnavailable):
            return  # nothing was sent under this claim; the lease brings the row back


@dataclass(frozen=True, slots=True)
class _Task:
    """An operation under our claim, with what is needed to act on it."""

    services: PaymentServices
    claim: Claim
    aggregate: Aggregate
    operation: Operation
    account: ProviderAccount
    calls: tuple[HttpCall, ...]

    @property
    def manifest(self) -> Manifest:
        return self.services.dispatcher.registry.of(self.account.adapter).manifest

    def can(self, capability: Capability) -> bool:
        return capability in self.manifest.capabilities


async def advance(services: PaymentServices, claim: Claim) -> None:
    """One step of one operation, under the claim that leased it to us."""
    task = await _load(services, claim)
    if task is None:
        return
    operation = task.operation
    with (
        correlation(operation.correlation_id) as id,
        root_span("operation.advance", Flow(id), "consumer", kind=operation.kind.value) as traced,
    ):
        traced.note(status=operation.status.value)
        await _advance(task)


async def _advance(task: _Task) -> None:
    services, claim = task.services, task.claim
    match task.operation.status:
        case OperationStatus.CREATED:
            await _send(task)
        case OperationStatus.SENT:
            told = unanswered(task.operation, claim.fence - 1, services.clock.now())
            found = await _learn(task, [told], reschedule=False)
            await _resolve(replace(task, operation=found))
        case _:
            await _resolve(task)


async def _load(services: PaymentServices, claim: Claim) -> _Task | None:
    """What was claimed, as it is now; None if there is nothing left to do."""
    async with services.database.unit_of_work(claim.tenant_id) as tx:
        payment = await reading.lock_by_operation(tx, claim.tenant_id, claim.id)
        assert payment is not None, claim
        aggregate = await reading.load(tx, claim.tenant_id, payment)
        operation = aggregate.operation(claim.id)
        if operation.fence != claim.fence or not operation.is_open:
            return None
        account = await load_account(
            tx, services.vault, claim.tenant_id, operation.provider_account_id
        )
        calls = await stored_calls(tx, services, claim.tenant_id, claim.id)
    return _Task(services, claim, aggregate, operation, account, calls)


# ---- sending what was only intended


async def _send(task: _Task) -> None:
    services, operation = task.services, task.operation
    instruction = await _instruction(task)
    prepared = services.dispatcher.prepare(
        task.account, instruction.operation(operation, task.account)
    )
    sending = Sending(
        operation,
        instruction,
        task.account,
        prepared,
        fence=task.claim.fence,
        route=await _route(task),
    )
    await carry_out(services, task.claim.tenant_id, ACTOR, sending)


async def _instruction(task: _Task) -> Instruction:
    """What the provider is told; only what charges has a token and a way back."""
    services, payment = task.services, task.aggregate.payment
    if task.operation.kind not in OPENINGS:
        return Instruction(payment)
    token = open_token(services, payment)
    async with services.database.unit_of_work(task.claim.tenant_id) as tx:
        return await instruct(tx, services, task.claim.tenant_id, payment, token)


async def _route(task: _Task) -> Route | None:
    """The routing decision of the attempt, for going on from it."""
    if task.operation.kind not in OPENINGS:
        return None
    async with task.services.database.unit_of_work(task.claim.tenant_id) as tx:
        accounts = await load_all(tx, task.services.vault, task.claim.tenant_id)
    attempt = task.aggregate.attempt_of(task.operation)
    tried = frozenset(a.provider_account_id for a in task.aggregate.attempts)
    decision = RoutingDecision.from_json(dict(attempt.routing))
    return Route(decision, {account.id: account for account in accounts}, tried)


# ---- finding out


async def _resolve(task: _Task) -> None:
    """One look, by the best way there is; then either it is known, or it is looked at later."""
    now = task.services.clock.now()
    since = task.operation.sent_at or task.operation.created_at or now
    if now - since > task.manifest.lookup_horizon:
        await _learn(task, [horizon_passed(task.operation, now)])
        return
    if task.operation.provider_ref is None and not task.can(Capability.LOOKUP_BY_OP_ID):
        if _may_resend(task, now - since):
            await _resend(task)
        else:
            await _learn(task, [])
        return
    await _look_up(task, now - since)


async def _look_up(task: _Task, age: timedelta) -> None:
    kill_point("lookup.before")
    looked = await task.services.dispatcher.lookup(
        task.account,
        Instruction(task.aggregate.payment).operation(task.operation, task.account),
        correlation_id=task.operation.correlation_id,
    )
    kill_point("lookup.answered")
    outcome = looked.result.outcome
    if outcome is not None:
        await _learn(task, [_looked(task, outcome)], looked)
        return
    absent = looked.answered and looked.result.not_found_is_conclusive
    unknown = task.operation.status is OperationStatus.UNKNOWN
    if not absent or not unknown or age < task.manifest.lookup_delay:
        await _learn(task, [], looked)
    elif _may_resend(task, age):
        await _resend(task, looked)
    else:
        never = Outcome(OutcomeStatus.NOT_EXECUTED)
        await _learn(task, [_looked(task, never)], looked)


def _looked(task: _Task, outcome: Outcome) -> Fact:
    """What a look says: the same answer again is the same fact."""
    amount = outcome.amount.minor_units if outcome.amount else ""
    return Fact(
        source="LOOKUP",
        outcome=outcome,
        dedup_key=f"lookup:{outcome.status}:{outcome.provider_ref or ''}:{amount}",
        occurred_at=outcome.occurred_at or task.services.clock.now(),
        note=outcome.failure.code if outcome.failure else None,
    )


def _may_resend(task: _Task, age: timedelta) -> bool:
    """Whether the very same request may be sent again: the provider knows its key and has not
    seen it, or would answer as before. Never under another key, never elsewhere.
    """
    window = task.manifest.idempotency_window
    return (
        task.can(Capability.IDEMPOTENCY)
        and window is not None
        and age < window - WINDOW_MARGIN
        and bool(task.calls)
        and task.operation.status is OperationStatus.UNKNOWN
        and task.operation.resolution_tries < RESENDS_MAX
        and task.operation.decline is None
    )


async def _resend(task: _Task, looked: LookedUp | None = None) -> None:
    """Repeat the stored request with its key, to learn what it came to."""
    services, operation = task.services, task.operation
    instruction = await _instruction(task)
    if operation.kind in OPENINGS and instruction.token is None:
        await _learn(task, [], looked)
        return
    kill_point("resend.before")

    async def refuse(call: HttpCall) -> None:
        raise LeaseLost(operation=operation.id, call=call.idempotency_key)

    dispatched = await services.dispatcher.replay(
        task.account,
        instruction.operation(operation, task.account),
        task.calls,
        refuse,
        correlation_id=operation.correlation_id,
    )
    kill_point("resend.answered")
    outcome = dispatched.outcome
    fact = Fact(
        source="RESPONSE",
        outcome=outcome,
        dedup_key=f"response:{task.claim.fence}",
        occurred_at=outcome.occurred_at or services.clock.now(),
        send=task.claim.fence,
        note=outcome.failure.code if outcome.failure else None,
    )
    calls = as_calls(task.claim.id, "REPLAY", dispatched.exchanges)
    await _learn(task, [fact], looked, calls)


async def _learn(
    task: _Task,
    told: Sequence[Fact | Evidence],
    looked: LookedUp | None = None,
    resent: Sequence[Call] = (),
    *,
    reschedule: bool = True,
) -> Operation:
    """Unit of work B of the worker. Without news it only says when to look again."""
    services, claim = task.services, task.claim

    async def work(tx: Tx) -> Operation:
        change, operation = await open_conclusion(
            tx,
            services,
            claim.tenant_id,
            claim.id,
            told,
            actor=ACTOR,
            stage="resolve",
            fence=claim.fence if reschedule else None,
            looks=1 if reschedule else 0,
        )
        if looked is not None:
            change.calls.extend(as_calls(claim.id, "LOOKUP", looked.exchanges))
        change.calls.extend(resent)
        await change.write(tx)
        return operation

    found = await services.database.run(claim.tenant_id, work, patient=True)
    kill_point("resolve.committed")
    return found
