"""One more try of a payment that exists: shared by paymentConfirm and by a key that tries again.

Which provider, and what exactly is sent, is decided before the payment is locked; if the payment
changed meanwhile, it is decided again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from core.database import Tx
from core.errors import Conflict
from core.identifiers import encode
from core.killpoints import kill_point
from payments import reading
from payments.change import Change
from payments.commands import Actor, Method, SavedMethod
from payments.errors import (
    FieldProblem,
    InvalidState,
    NoProviderAvailable,
    NotFound,
    OutcomeUnknown,
    ValidationFailed,
)
from payments.model import CONFIRMABLE, Aggregate, OperationStatus, Payment
from payments.risk import assess
from payments.saved_methods import choose, demand_unremoved
from payments.sending import (
    Route,
    Sending,
    begin_charge,
    carry_out,
    find_route,
    instruct,
    open_token,
    prepare_charge,
    seal_token,
)
from payments.services import PaymentServices

_LOOKS_MAX: Final = 5

ClaimKey = Callable[[Tx, UUID | None], Awaitable[bool]]
"""Writes the idempotency key with the operation it starts; False if the key was used before."""


class PaymentMoved(Conflict):
    """The payment changed between looking and locking; look again."""

    code = "PAYMENT_MOVED"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller brings along: another method, another way back, a word on keeping it."""

    method: Method | SavedMethod | None = None
    return_url: str | None = None
    save_method: bool | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is about to be written. `nobody`: no provider account can take the charge.

    `refusal` is raised once the key proves to be new: an earlier request is answered as it was.
    """

    payment: Payment
    token: str | None
    sending: Sending | None = None
    nobody: Route | None = None
    refusal: NotFound | ValidationFailed | None = None


async def charge(
    services: PaymentServices,
    actor: Actor,
    payment_id: UUID,
    wish: Wish,
    claim_key: ClaimKey,
    *,
    may_try: Callable[[Aggregate], bool] | None = None,
) -> bool:
    """Try the payment once more; False if nothing was done: the key was used before, or the
    payment is not one that `may_try`.

    Raises: NotFound, ValidationFailed, InvalidState, OutcomeUnknown, RiskRejected,
    InsufficientFunds, NoProviderAvailable.
    """
    for _ in range(_LOOKS_MAX):
        plan = await _plan(services, actor, payment_id, wish, may_try)
        if plan is None:
            return False
        try:
            if not await _begin(services, actor, plan, claim_key):
                return False
        except PaymentMoved:
            continue
        kill_point("confirm.committed")
        await _send(services, actor, plan)
        return True
    raise PaymentMoved(id=payment_id)


async def _plan(
    services: PaymentServices,
    actor: Actor,
    payment_id: UUID,
    wish: Wish,
    may_try: Callable[[Aggregate], bool] | None,
) -> _Plan | None:
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        aggregate = await reading.read(tx, actor.tenant_id, payment_id)
        if aggregate is None:
            raise NotFound(encode("pay", payment_id))
        if may_try is not None and not may_try(aggregate):
            return None
        try:
            payment = await _wished(tx, services, actor, aggregate.payment, wish)
        except (NotFound, ValidationFailed) as refusal:
            return _Plan(aggregate.payment, None, refusal=refusal)
        token = open_token(services, payment)
        if token is None or not payment.provider_amount or payment.status not in CONFIRMABLE:
            return _Plan(payment, token)
        found = await find_route(tx, services, actor.tenant_id, payment, token)
        instruction = await instruct(tx, services, actor.tenant_id, payment, token)
    sending, found = prepare_charge(services, instruction, found, actor.correlation_id)
    return _Plan(payment, token, sending, None if sending else found)


async def _wished(
    tx: Tx, services: PaymentServices, actor: Actor, payment: Payment, wish: Wish
) -> Payment:
    """The payment with what the caller brings along. Raises: NotFound, ValidationFailed."""
    if wish.return_url is not None:
        payment = replace(payment, return_url=wish.return_url)
    if wish.save_method is not None:
        check_keepable(payment.customer_id, save_method=wish.save_method)
        payment = replace(payment, save_method=wish.save_method)
    if wish.method is None:
        return payment
    chosen = await choose(tx, services.vault, actor, wish.method, payment.customer_id)
    return replace(
        payment,
        method=chosen.shown,
        token_sealed=seal_token(services, payment.id, chosen.token),
        saved_method_id=chosen.saved_method_id,
    )


def check_keepable(customer_id: str | None, *, save_method: bool) -> None:
    """Raises: ValidationFailed, when there is nobody to keep a method for."""
    if save_method and customer_id is None:
        message = "Only a payment with a customerId can keep its method."
        raise ValidationFailed(FieldProblem(("input", "saveMethod"), "NO_CUSTOMER", message))


async def _begin(services: PaymentServices, actor: Actor, plan: _Plan, claim_key: ClaimKey) -> bool:
    """Unit of work A."""
    wanted = plan.payment

    async def work(tx: Tx) -> bool:
        operation_id = plan.sending.operation.id if plan.sending else None
        if not await claim_key(tx, operation_id):
            return False
        kill_point("confirm.key_written")
        if plan.refusal is not None:
            raise plan.refusal
        locked = await reading.lock(tx, actor.tenant_id, wanted.id)
        assert locked is not None, "payments are never deleted"
        before = await reading.load(tx, actor.tenant_id, locked)
        check_confirmable(before, has_method=plan.token is not None)
        if locked.version != wanted.version:
            raise PaymentMoved(id=wanted.id)
        await demand_unremoved(tx, actor.tenant_id, wanted)
        await assess(tx, services.risk_checks, actor.tenant_id, wanted)
        change = Change(
            "confirm",
            actor.tenant_id,
            actor.name,
            actor.correlation_id,
            services.clock.now(),
            before,
        )
        change.set_payment(wanted)
        if plan.sending is not None:
            begin_charge(services, change, plan.sending)
        elif not wanted.provider_amount:
            change.pay_by_store_credit()
        await change.write(tx)
        return True

    return await services.database.run(actor.tenant_id, work)


def check_confirmable(aggregate: Aggregate, *, has_method: bool) -> None:
    """Raises: OutcomeUnknown, InvalidState, ValidationFailed."""
    payment = aggregate.payment
    if payment.status not in CONFIRMABLE:
        refuse_unknown(aggregate)
        raise InvalidState(payment.status, CONFIRMABLE)
    if payment.provider_amount and not has_method:
        raise ValidationFailed(
            FieldProblem(("input", "method"), "REQUIRED", "The payment needs a method.")
        )


def refuse_unknown(aggregate: Aggregate) -> None:
    """Nothing new may move money while it is not known what an earlier call did.

    Raises: OutcomeUnknown.
    """
    for operation in aggregate.operations:
        if operation.status is OperationStatus.UNKNOWN:
            raise OutcomeUnknown(operation.id)


async def _send(services: PaymentServices, actor: Actor, plan: _Plan) -> None:
    if plan.sending is not None:
        carried = await carry_out(services, actor.tenant_id, actor.name, plan.sending)
        if carried.exhausted is not None:
            raise NoProviderAvailable(carried.exhausted.as_json()["candidates"])
    elif plan.nobody is not None:
        raise NoProviderAvailable(plan.nobody.decision.as_json()["candidates"])
    kill_point("answer.before")
