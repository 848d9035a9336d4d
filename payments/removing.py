"""savedMethodRemove: from this commit on nothing is paid with the method.

    key → the method, locked → removed, due to be told → audit log → outbox

A payment that holds the method's row at that moment was first and goes on (payments.saved_methods).
"""

from typing import Final

from core.database import Tx
from core.identifiers import encode
from events import Event, Subject, append
from events.catalogue import SavedMethodFact
from payments.commands import Actor, RemoveSavedMethod, SavedMethodResult
from payments.errors import NotFound
from payments.idempotency import Request, remember, resume
from payments.services import PaymentServices
from tenants import record

MUTATION: Final = "savedMethodRemove"


async def remove_saved_method(
    command: RemoveSavedMethod, actor: Actor, services: PaymentServices
) -> SavedMethodResult:
    """Remove it, if it is there and the actor's to remove. One that is removed stays as it is.

    Raises: NotFound, IdempotencyKeyReused.
    """
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)

    async def work(tx: Tx) -> bool:
        new = await remember(tx, actor, request, ("sm", command.saved_method_id))
        if new:
            await _remove(tx, command, actor, services)
        else:
            await resume(tx, actor, request)
        return new

    new = await services.database.run(actor.tenant_id, work)
    return SavedMethodResult(command.saved_method_id, replayed=not new)


async def _remove(
    tx: Tx, command: RemoveSavedMethod, actor: Actor, services: PaymentServices
) -> None:
    id = command.saved_method_id
    row = await tx.fetchrow(
        """
        SELECT customer_id, payment_id, removed_at FROM saved_method
         WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
        """,
        actor.tenant_id,
        id,
    )
    if row is None or not actor.may_spend_of(row["customer_id"]):
        raise NotFound(encode("sm", id))
    if row["removed_at"] is not None:
        return
    await tx.execute(
        """
        UPDATE saved_method
           SET removed_at = clock_timestamp(), next_action_at = clock_timestamp(),
               correlation_id = $3
         WHERE tenant_id = $1 AND id = $2
        """,
        actor.tenant_id,
        id,
        actor.correlation_id,
    )
    await record(
        tx,
        actor.tenant_id,
        actor=actor.name,
        action="saved_method.remove",
        subject=encode("sm", id),
        correlation_id=actor.correlation_id,
    )
    fact = SavedMethodFact(
        saved_method_id=encode("sm", id),
        customer_id=row["customer_id"],
        payment_id=encode("pay", row["payment_id"]),
    )
    removed = Event(
        type="saved_method.removed.v1",
        subject=Subject.SAVED_METHOD,
        subject_id=id,
        fact=fact,
        actor=actor.name,
        correlation_id=actor.correlation_id,
        occurred_at=services.clock.now(),
    )
    await append(tx, actor.tenant_id, removed)
