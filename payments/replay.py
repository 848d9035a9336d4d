"""A request whose key was used before is answered again; a refusal is remembered with its key."""

from uuid import UUID

from core.database import Tx
from payments.charging import Wish, charge
from payments.commands import Actor, PaymentResult
from payments.errors import InsufficientFunds, RiskRejected
from payments.idempotency import Request, remember, renew, resume
from payments.model import Aggregate, AttemptStatus, PaymentStatus
from payments.services import PaymentServices


async def answer_again(
    services: PaymentServices, actor: Actor, request: Request, wish: Wish | None = None
) -> PaymentResult:
    """The key was used before: its payment as it is now, or one more try if nothing was sent.

    `wish` is what the request asked to try with; None if it asked for no try. Raises:
    IdempotencyKeyReused, OperationInProgress, the rejection of the first time, and what a try
    raises.
    """
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        remembered = await resume(tx, actor, request)
    payment_id = remembered.resource_id
    if wish is None:
        return PaymentResult(payment_id, replayed=True)

    async def claim_key(tx: Tx, operation_id: UUID | None) -> bool:
        return await renew(tx, actor, request, operation_id, remembered.operation_id)

    def nothing_was_sent(aggregate: Aggregate) -> bool:
        return _is_untried(aggregate, remembered.operation_id)

    tried = await charge(services, actor, payment_id, wish, claim_key, may_try=nothing_was_sent)
    return PaymentResult(payment_id, replayed=not tried)


def _is_untried(aggregate: Aggregate, operation_id: UUID | None) -> bool:
    """Whether neither this key's try nor any after it reached a provider.

    A decline is an answer: whatever another key did afterwards, this one is not tried again.
    """
    if aggregate.payment.status is not PaymentStatus.REQUIRES_CONFIRMATION:
        return False
    if operation_id is None:
        return True
    first = aggregate.attempt_of(aggregate.operation(operation_id)).number
    tries = [attempt for attempt in aggregate.attempts if attempt.number >= first]
    return all(attempt.status is AttemptStatus.NOT_EXECUTED for attempt in tries)


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
