"""paymentSync: ask the provider now about everything that is not certain yet."""

from uuid import UUID

from core.claims import Claim
from core.database import Tx
from core.identifiers import encode
from gateways.port import Capability
from gateways.store import load as load_account
from payments import reading
from payments.advance import advance
from payments.commands import Actor, PaymentResult, SyncPayment
from payments.errors import NotFound, Unsupported
from payments.model import Operation, OperationStatus
from payments.sending import LeaseLost
from payments.services import PaymentServices

_ASKED = (
    OperationStatus.SENT,
    OperationStatus.UNKNOWN,
    OperationStatus.PENDING,
    OperationStatus.REQUIRES_ACTION,
)


async def sync(command: SyncPayment, actor: Actor, services: PaymentServices) -> PaymentResult:
    """Do now what the worker would do later; what somebody else works on is left alone.

    Raises: NotFound, Unsupported (the provider cannot be asked).
    """
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        aggregate = await reading.read(tx, actor.tenant_id, command.payment_id)
        if aggregate is None:
            raise NotFound(encode("pay", command.payment_id))
        uncertain = [o for o in aggregate.operations if o.status in _ASKED]
        for operation in uncertain:
            await _check(tx, services, actor, operation)
    for operation in uncertain:
        claim = await _claim(services, actor, operation.id)
        if claim is not None:
            await _advance(services, claim)
    return PaymentResult(command.payment_id, replayed=False)


async def _check(tx: Tx, services: PaymentServices, actor: Actor, operation: Operation) -> None:
    """Raises: Unsupported."""
    account = await load_account(tx, services.vault, actor.tenant_id, operation.provider_account_id)
    manifest = services.dispatcher.registry.of(account.adapter).manifest
    if operation.provider_ref is None and (
        not {Capability.LOOKUP_BY_OP_ID, Capability.IDEMPOTENCY} & manifest.capabilities
    ):
        raise Unsupported(Capability.LOOKUP_BY_OP_ID.value, account.name)


async def _claim(services: PaymentServices, actor: Actor, operation_id: UUID) -> Claim | None:
    """Lease one operation to us, due or not, unless somebody holds it."""
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        fence = await tx.fetchval(
            """
            UPDATE provider_operation
               SET lease_until = clock_timestamp() + make_interval(secs => $3),
                   fence = fence + 1, tries = tries + 1
             WHERE tenant_id = $1 AND id = $2
               AND (lease_until IS NULL OR lease_until <= clock_timestamp())
            RETURNING fence
            """,
            actor.tenant_id,
            operation_id,
            services.lease_seconds,
        )
    return None if fence is None else Claim(actor.tenant_id, operation_id, fence)


async def _advance(services: PaymentServices, claim: Claim) -> None:
    try:
        await advance(services, claim)
    except LeaseLost:
        return  # somebody else was faster
