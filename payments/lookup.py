"""operationByIdempotencyKey: the answer to "did my timed-out call work?"."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from payments.commands import Actor
from payments.idempotency import find
from payments.services import PaymentServices


@dataclass(frozen=True, slots=True)
class IdempotentOperation:
    """What a key was used for. `resource` is the prefix and id of what it made or acted on."""

    mutation: str
    key: str
    in_progress: bool
    first_seen_at: datetime
    resource: tuple[str, UUID]
    rejected: bool


async def operation_by_idempotency_key(
    mutation: str, key: str, actor: Actor, services: PaymentServices
) -> IdempotentOperation | None:
    """The use of a key in the scope of this actor; None if it was never used."""
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        found = await find(tx, actor, mutation, key)
    if found is None:
        return None
    return IdempotentOperation(
        mutation=mutation,
        key=key,
        in_progress=found.in_progress,
        first_seen_at=found.created_at,
        resource=(found.resource_type, found.resource_id),
        rejected=found.rejection is not None,
    )
