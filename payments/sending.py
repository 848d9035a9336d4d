"""Sending: from a committed intent to its conclusion, and to the next provider if it may.

    SENT committed ──▶ provider ──▶ conclude ──▶ done
                                       └─ declined or not executed, seen by this very dispatch:
                                          where another provider may be tried, the next attempt
                                          and its SENT are written in the same unit of work

Nothing here is open while a provider is called. Whatever kills us on the way leaves a row that says
how far it got; the worker goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from core.database import Tx
from core.errors import Conflict
from core.identifiers import encode, new_id
from core.killpoints import kill_point
from gateways import port
from gateways.accounts import ProviderAccount
from gateways.dispatcher import Dispatched, PreparedOperation
from gateways.failover import may_try_again, next_candidate
from gateways.port import HttpCall, Outcome, OutcomeStatus
from gateways.routing import RoutingDecision, RoutingRequest, route
from gateways.store import load_all
from gateways.transcript import Exchange, pack_call, unpack_call
from payments.amounts import shares_of_sale
from payments.change import Change
from payments.due import CREDIT_HELD
from payments.evidence import open_conclusion
from payments.facts import Fact, horizon_passed, intent, nothing_sent
from payments.model import (
    ATTEMPT_ENDED,
    OPENINGS,
    PAYMENT_ENDED,
    Aggregate,
    Attempt,
    Evidence,
    Operation,
    OperationKind,
    OperationStatus,
    Origin,
    Payment,
    Says,
)
from payments.returning import return_url_of
from payments.saved_methods import holder_of, provider_customers_of
from payments.services import PaymentServices
from payments.writing import Begun, Call

_RETRY_SECONDS: Final = 1.0
_RETRY_SECONDS_MAX: Final = 600.0
RETRY_HORIZON: Final = timedelta(hours=24)
"""How long a capture, void or refund is retried that could not be sent."""


class LeaseLost(Conflict):
    """Somebody else works on the operation by now; nothing was sent."""

    code = "LEASE_LOST"


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a provider is told about a payment. The token is never stored or shown in clear.

    `return_url` is where its page sends the shopper (payments.returning); `provider_customers` are
    the customer's names at the accounts where methods are or were kept.
    """

    payment: Payment
    token: str | None = field(default=None, repr=False)
    return_url: str | None = field(default=None, repr=False)
    provider_customers: Mapping[UUID, str | None] = field(default_factory=dict, repr=False)

    def operation(self, operation: Operation, account: ProviderAccount) -> port.Operation:
        """The operation as an adapter takes it."""
        payment = self.payment
        reference = {"reference": payment.reference} if payment.reference else {}
        return port.Operation(
            id=encode("op", operation.id),
            kind=operation.kind.value,
            idempotency_key=operation.idempotency_key,
            amount=operation.money,
            account=account.credentials(),
            provider_ref=operation.provider_ref,
            parent_ref=operation.parent_ref,
            token=self.token,
            final=operation.final,
            return_url=self.return_url,
            descriptor=payment.statement_descriptor,
            customer_id=payment.customer_id,
            metadata={"payment": encode("pay", payment.id), **reference},
            store_method=payment.keeps_method and operation.kind in OPENINGS,
            provider_customer=self.provider_customers.get(account.id),
        )


@dataclass(frozen=True, slots=True)
class Route:
    """Where a charge may go: the decision, the accounts behind it, and where it was tried."""

    decision: RoutingDecision
    accounts: Mapping[UUID, ProviderAccount]
    tried: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Sending:
    """An operation that is ours to send, ready, under one claim.

    `fence` numbers the try. `route` is there for charges only: nothing else changes provider.
    """

    operation: Operation
    instruction: Instruction
    account: ProviderAccount
    prepared: PreparedOperation
    fence: int = 1
    route: Route | None = None


# ---- preparing, without any I/O but reading the accounts


def token_place(payment_id: UUID) -> str:
    """Where a sealed token lives."""
    return f"payment.token/{payment_id}"


def _request_place(operation_id: UUID) -> str:
    return f"provider_operation.request/{operation_id}"


def seal_call(services: PaymentServices, operation_id: UUID, call: HttpCall | None) -> bytes | None:
    """The exact request, to be stored before it is sent."""
    if call is None:
        return None
    return services.vault.seal(pack_call(call), _request_place(operation_id))


async def stored_calls(
    tx: Tx, services: PaymentServices, tenant_id: int, operation_id: UUID
) -> tuple[HttpCall, ...]:
    """The requests that were sent for an operation, as they were."""
    sealed = await tx.fetchval(
        "SELECT request_sealed FROM provider_operation WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        operation_id,
    )
    if sealed is None:
        return ()
    return (unpack_call(services.vault.open(sealed, _request_place(operation_id))),)


def new_operation(
    payment: Payment,
    attempt_id: UUID,
    account: ProviderAccount,
    *,
    kind: OperationKind,
    amount: int,
    correlation_id: str,
    parent_ref: str | None = None,
    refund_id: UUID | None = None,
    final: bool = True,
    shares: tuple[int, ...] = (),
) -> Operation:
    """An operation of ours that is not written down yet."""
    id = new_id()
    return Operation(
        id=id,
        payment_id=payment.id,
        attempt_id=attempt_id,
        refund_id=refund_id,
        kind=kind,
        origin=Origin.OURS,
        provider_account_id=account.id,
        parent_ref=parent_ref,
        amount=amount,
        currency=payment.currency,
        final=final,
        shares=shares,
        idempotency_key=f"{encode('op', id)}.1",
        correlation_id=correlation_id,
    )


async def instruct(
    tx: Tx, services: PaymentServices, tenant_id: int, payment: Payment, token: str | None
) -> Instruction:
    """What a provider is told to charge."""
    return_url = await return_url_of(tx, services, tenant_id, payment)
    customers = await provider_customers_of(tx, tenant_id, payment)
    return Instruction(payment, token, return_url, customers)


async def find_route(
    tx: Tx, services: PaymentServices, tenant_id: int, payment: Payment, token: str
) -> Route:
    """Judge every provider account for this charge."""
    accounts = await load_all(tx, services.vault, tenant_id)
    kind = _opening_kind(payment).value
    wishes = payment.routing
    provider = wishes.get("provider_account_id")
    request = RoutingRequest(
        kind=kind,
        amount=payment.money(payment.provider_amount),
        method_type=payment.method.get("type", "card"),
        country=payment.country,
        provider=UUID(provider) if provider else None,
        excluded=frozenset(UUID(id) for id in wishes.get("exclude", ())),
        failover=wishes.get("allow_failover", True),
        holder=await holder_of(tx, tenant_id, payment),
    )
    candidates = services.dispatcher.candidates(accounts, kind, token)
    return Route(route(candidates, request), {account.id: account for account in accounts})


def _opening_kind(payment: Payment) -> OperationKind:
    return OperationKind.SALE if payment.capture_mode == "AUTOMATIC" else OperationKind.AUTHORIZE


def prepare_charge(
    services: PaymentServices, instruction: Instruction, found: Route, correlation_id: str
) -> tuple[Sending | None, Route]:
    """A charge ready for the first provider that can express it; None when none can."""
    while (account_id := found.decision.chosen) is not None:
        account, payment = found.accounts[account_id], instruction.payment
        kind = _opening_kind(payment)
        operation = new_operation(
            payment,
            new_id(),
            account,
            kind=kind,
            amount=payment.provider_amount,
            correlation_id=correlation_id,
            shares=shares_of_sale(payment) if kind is OperationKind.SALE else (),
        )
        found = replace(found, tried=found.tried | {account_id})
        prepared = services.dispatcher.prepare(account, instruction.operation(operation, account))
        if prepared.refusal is None:
            return Sending(operation, instruction, account, prepared, route=found), found
        failure = prepared.refusal.failure
        reason = failure.message if failure else "cannot be expressed"
        found = replace(found, decision=found.decision.after_failure(account_id, reason))
    return None, found


def begin_charge(services: PaymentServices, change: Change, sending: Sending) -> Sending:
    """Write down a further attempt and the intent to send it; SENT at once where possible."""
    assert sending.route is not None
    payment = change.after.payment
    change.begin_attempt(
        Attempt(
            id=sending.operation.attempt_id,
            payment_id=payment.id,
            number=len(change.after.attempts) + 1,
            provider_account_id=sending.account.id,
            routing=sending.route.decision.as_json(),
        )
    )
    reserved = (CREDIT_HELD,) if payment.store_credit else ()
    return begin_sending(services, change, sending, reserved)


def begin_sending(
    services: PaymentServices, change: Change, sending: Sending, posts: tuple[str, ...] = ()
) -> Sending:
    """Write down the intent to send an operation, leased to us."""
    call = sending.prepared.call
    request = seal_call(services, sending.operation.id, call)
    operation = change.begin_operation(
        Begun(sending.operation, request, services.lease_seconds),
        sent=call is not None,
        posts=posts,
    )
    if call is not None:
        sending.prepared.sent_is_committed()
    return replace(sending, operation=operation)


# ---- sending


@dataclass(frozen=True, slots=True)
class Carried:
    """How sending ended: the payment as it is now, and whether nobody could take the charge.

    `row` is the payment as it was written, if this changed it.
    """

    aggregate: Aggregate
    operation: Operation
    exhausted: RoutingDecision | None = None
    row: asyncpg.Record | None = None


async def carry_out(
    services: PaymentServices, tenant_id: int, actor: str, sending: Sending
) -> Carried:
    """Send, conclude, and go on to the next provider as long as that is allowed.

    Raises: LeaseLost, CommitOutcomeUnknown, DatabaseUnavailable before anything was sent;
    CancelledError at any time (the lease ends, and the worker finds out).
    """
    while True:
        kill_point("provider.before_bytes")
        dispatched = await services.dispatcher.send(
            sending.prepared,
            partial(_about_to_send, services, tenant_id, actor, sending),
            correlation_id=sending.operation.correlation_id,
        )
        kill_point("provider.answered")
        carried, following = await _conclude(services, tenant_id, actor, sending, dispatched)
        kill_point("conclude.committed")
        if following is None:
            return carried
        sending = following


async def _about_to_send(
    services: PaymentServices, tenant_id: int, actor: str, sending: Sending, call: HttpCall
) -> None:
    """Commit SENT with the exact request, fenced; if that is not certain, nothing is sent."""
    operation_id = sending.operation.id

    async def work(tx: Tx) -> None:
        told = intent(sending.operation, Says.SENT, sending.fence, services.clock.now())
        change, operation = await open_conclusion(
            tx, services, tenant_id, operation_id, [told], actor=actor, stage="sent"
        )
        if change.before.operation(operation_id).fence != sending.fence:
            raise LeaseLost(operation=operation_id, fence=sending.fence)
        if not operation.is_open:
            raise LeaseLost(operation=operation_id, status=operation.status)
        sealed = seal_call(services, operation_id, call)
        assert sealed is not None
        change.requests[operation_id] = sealed
        await change.write(tx)
        await _hold_lease(tx, tenant_id, sending)

    # The intent is committed: a sender that gives up here leaves it to a worker, much later.
    await services.database.run(tenant_id, work, patient=True)
    kill_point("sent.committed")


async def _hold_lease(tx: Tx, tenant_id: int, sending: Sending) -> None:
    """The fence is compared once more in the row itself: claims do not wait for our lock."""
    held = await tx.fetchval(
        """
        SELECT fence = $3 AND lease_until > clock_timestamp() FROM provider_operation
         WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
        """,
        tenant_id,
        sending.operation.id,
        sending.fence,
    )
    if not held:
        raise LeaseLost(operation=sending.operation.id, fence=sending.fence)


async def _conclude(
    services: PaymentServices,
    tenant_id: int,
    actor: str,
    sending: Sending,
    dispatched: Dispatched,
) -> tuple[Carried, Sending | None]:
    """Unit of work B."""

    async def work(tx: Tx) -> tuple[Carried, Sending | None]:
        told = _told(services, sending, dispatched.outcome)
        change, operation = await open_conclusion(
            tx,
            services,
            tenant_id,
            sending.operation.id,
            told,
            actor=actor,
            fence=sending.fence,
        )
        operation = _retry_later(services, change, sending, operation)
        following = _next_provider(services, change, sending, operation, dispatched.outcome)
        exhausted = _exhausted(sending, operation, dispatched.outcome) if not following else None
        change.calls.extend(as_calls(operation.id, "SEND", dispatched.exchanges))
        aggregate = await change.write(tx)
        return Carried(aggregate, operation, exhausted, change.row), following

    return await services.database.run(tenant_id, work, patient=True)


def _told(services: PaymentServices, sending: Sending, outcome: Outcome) -> list[Fact | Evidence]:
    """What the answer says. A capture, void or refund that could not be sent is tried again."""
    now, operation = services.clock.now(), sending.operation
    if operation.kind not in OPENINGS and may_try_again(outcome):
        told: list[Fact | Evidence] = [nothing_sent(operation, sending.fence, outcome.failure, now)]
        if operation.created_at is not None and now - operation.created_at > RETRY_HORIZON:
            told.append(horizon_passed(operation, now))
        return told
    return [
        Fact(
            source="RESPONSE",
            outcome=outcome,
            dedup_key=f"response:{sending.fence}",
            occurred_at=outcome.occurred_at or now,
            send=sending.fence,
            note=outcome.failure.code if outcome.failure else None,
        )
    ]


def _retry_later(
    services: PaymentServices, change: Change, sending: Sending, operation: Operation
) -> Operation:
    """Back to CREATED: the worker sends it again, later and later."""
    if operation.status is not OperationStatus.CREATED:
        return operation
    bound = min(_RETRY_SECONDS_MAX, _RETRY_SECONDS * 2.0 ** min(sending.fence, 20))
    wait = timedelta(seconds=services.random.uniform(0.1, bound))
    operation = replace(operation, next_action_at=change.at + wait)
    change.replace_operation(operation)
    return operation


def _next_provider(
    services: PaymentServices,
    change: Change,
    sending: Sending,
    operation: Operation,
    outcome: Outcome,
) -> Sending | None:
    """The following attempt, begun in this unit of work; None when this was the last word.

    Only if this dispatch itself saw the outcome, and the evidence as a whole agrees that the
    attempt has ended (a callback may have said otherwise meanwhile).
    """
    found = sending.route
    if found is None or change.before.operation(operation.id).fence != sending.fence:
        return None
    ended = change.after.attempt_of(operation).status in ATTEMPT_ENDED
    if not ended or change.after.payment.status in PAYMENT_ENDED:
        return None
    account_id = next_candidate(found.decision, outcome, found.tried)
    if account_id is None:
        return None
    reason = outcome.failure.message if outcome.failure else outcome.status.value
    decision = found.decision.after_failure(sending.account.id, reason)
    following, _ = prepare_charge(
        services, sending.instruction, replace(found, decision=decision), operation.correlation_id
    )
    return begin_charge(services, change, following) if following else None


def _exhausted(sending: Sending, operation: Operation, outcome: Outcome) -> RoutingDecision | None:
    """The decision, when nobody could take the charge and nothing was sent."""
    nobody = operation.status is OperationStatus.NOT_EXECUTED and operation.kind in OPENINGS
    if not nobody or sending.route is None or outcome.status is not OutcomeStatus.NOT_EXECUTED:
        return None
    reason = outcome.failure.message if outcome.failure else "nothing was sent"
    return sending.route.decision.after_failure(sending.account.id, reason)


def as_calls(operation_id: UUID, purpose: str, exchanges: Sequence[Exchange]) -> list[Call]:
    """What was said on the wire, as it is recorded."""
    return [
        Call(
            id=new_id(),
            operation_id=operation_id,
            purpose=purpose,
            method=exchange.method,
            url=exchange.url,
            status=exchange.status,
            error=exchange.error,
            latency_ms=round(exchange.latency_ms),
            at=exchange.started_at,
        )
        for exchange in exchanges
    ]


def open_token(services: PaymentServices, payment: Payment) -> str | None:
    """The method token of a payment."""
    if payment.token_sealed is None:
        return None
    opened: str = orjson.loads(services.vault.open(payment.token_sealed, token_place(payment.id)))
    return opened


def seal_token(services: PaymentServices, payment_id: UUID, token: str) -> bytes:
    """The method token, as it is stored."""
    return services.vault.seal(orjson.dumps(token), token_place(payment_id))
