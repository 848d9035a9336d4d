"""A request whose key was used before is answered again; a refusal is remembered with its key."""

from uuid import UUID

from core.database import Tx
from core.identifiers import encode
from payments import reading
from payments.charging import Wish, charge
from payments.commands import Actor, PaymentResult
from payments.errors import InsufficientFunds, NotFound, RiskRejected
from payments.idempotency import Request, remember, renew, resume
from payments.model import PaymentStatus
from payments.services import PaymentServices


async def answer_again(
    services: PaymentServices, actor: Actor, request: Request, *, confirmed: bool
) -> PaymentResult:
    """The key was used before: its payment as it is now, or one more try if nothing was sent.

    `confirmed` says whether the request asked for a try at all. Raises: IdempotencyKeyReused,
    OperationInProgress, the rejection of the first time, and what a try raises.
    """
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        remembered = await resume(tx, actor, request)
        aggregate = await reading.read(tx, actor.tenant_id, remembered.resource_id)
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
