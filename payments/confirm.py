"""paymentConfirm: try a prepared or declined payment, from a server or from a browser.

A  key → lock → risk → attempt, operation SENT → store credit held → outbox
   provider call
B  evidence → projection → entries → outbox
"""

from typing import Final
from uuid import UUID

from core.database import Tx
from core.identifiers import encode
from payments import store
from payments.charging import Wish, charge
from payments.commands import Actor, ConfirmPayment, PaymentResult
from payments.errors import InsufficientFunds, NotFound, RiskRejected
from payments.idempotency import Request, remember, renew, resume
from payments.model import PaymentStatus
from payments.services import PaymentServices

MUTATION: Final = "paymentConfirm"


async def confirm(
    command: ConfirmPayment, actor: Actor, services: PaymentServices
) -> PaymentResult:
    """Try the payment now, with `command.method` or the method it has.

    Raises: NotFound, ValidationFailed (no method), IdempotencyKeyReused, OperationInProgress,
    InvalidState, OutcomeUnknown, RiskRejected, InsufficientFunds, NoProviderAvailable.
    """
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)
    payment_id = command.payment_id

    async def claim_key(tx: Tx, operation_id: UUID | None) -> bool:
        return await remember(tx, actor, request, ("pay", payment_id), operation_id=operation_id)

    try:
        wish = Wish(command.method, command.return_url)
        tried = await charge(services, actor, payment_id, wish, claim_key)
    except (RiskRejected, InsufficientFunds) as rejection:
        if await keep_rejection(services, actor, request, ("pay", payment_id), rejection):
            raise
        tried = False
    if tried:
        return PaymentResult(payment_id, replayed=False)
    return await answer_again(services, actor, request, confirmed=True)


async def answer_again(
    services: PaymentServices, actor: Actor, request: Request, *, confirmed: bool
) -> PaymentResult:
    """The key was used before: its payment as it is now, or one more try if nothing was sent.

    `confirmed` says whether the request asked for a try at all. Raises: IdempotencyKeyReused,
    OperationInProgress, the rejection of the first time, and what a try raises.
    """
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        remembered = await resume(tx, actor, request)
        aggregate = await store.read(tx, actor.tenant_id, remembered.resource_id)
    if aggregate is None:
        raise NotFound(encode("pay", remembered.resource_id))
    payment = aggregate.payment
    if not confirmed or payment.status is not PaymentStatus.REQUIRES_CONFIRMATION:
        return PaymentResult(payment.id, replayed=True)

    async def claim_key(tx: Tx, operation_id: UUID | None) -> bool:
        return await renew(tx, actor, request, operation_id, remembered.operation_id)

    tried = await charge(services, actor, payment.id, Wish(), claim_key)
    return PaymentResult(payment.id, replayed=not tried)


async def keep_rejection(
    services: PaymentServices,
    actor: Actor,
    request: Request,
    resource: tuple[str, UUID],
    rejection: RiskRejected | InsufficientFunds,
) -> bool:
    """Remember a refusal with its key; False if the key got another answer meanwhile."""

    async def work(tx: Tx) -> bool:
        return await remember(tx, actor, request, resource, rejection=rejection)

    return await services.database.run(actor.tenant_id, work)
