"""The frame of capture, cancel and refund: key, lock, check, intent; then send and conclude.

Each of them acts on a payment that exists, through the provider account it was charged at.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from core.database import Tx
from core.identifiers import encode
from core.killpoints import kill_point
from gateways.accounts import ProviderAccount
from gateways.port import Capability
from gateways.store import load as load_account
from payments import reading
from payments.change import Change
from payments.commands import Actor
from payments.errors import (
    InvalidState,
    NotFound,
    OperationInProgress,
    Unsupported,
    VersionConflict,
)
from payments.idempotency import Request, remember
from payments.model import (
    Aggregate,
    Operation,
    OperationKind,
    OperationStatus,
    opening_of,
)
from payments.sending import Instruction, Sending, begin_sending, carry_out, new_operation
from payments.services import PaymentServices

Decide = Callable[[Tx, "Step"], Awaitable[Sending | None]]
"""Checks and adds to the change; returns what is to be sent, None if nothing is."""


@dataclass(slots=True)
class Step:
    """One step on a locked payment."""

    services: PaymentServices
    actor: Actor
    change: Change

    @property
    def aggregate(self) -> Aggregate:
        """The payment as it is in the database, locked."""
        return self.change.before

    def opening(self) -> Operation:
        """The charge the step acts on. Raises: InvalidState (there is none)."""
        attempt = self.aggregate.current_attempt
        found = opening_of(self.aggregate.operations_of(attempt)) if attempt else None
        if found is None:
            raise InvalidState(self.aggregate.payment.status, ())
        return found

    async def account(self, tx: Tx, capability: Capability) -> ProviderAccount:
        """Where the charge was made. Raises: Unsupported."""
        opening = self.opening()
        account = await load_account(
            tx, self.services.vault, self.actor.tenant_id, opening.provider_account_id
        )
        self.demand(account, capability)
        return account

    def demand(self, account: ProviderAccount, capability: Capability) -> None:
        """Raises: Unsupported."""
        adapter = self.services.dispatcher.registry.of(account.adapter)
        if capability not in account.capabilities(adapter.manifest):
            raise Unsupported(capability.value, account.name)

    def send(
        self,
        account: ProviderAccount,
        kind: OperationKind,
        amount: int,
        *,
        refund_id: UUID | None = None,
        final: bool = True,
        shares: tuple[int, ...] = (),
        posts: tuple[str, ...] = (),
    ) -> Sending:
        """Write down the intent of a further provider call on the charge."""
        payment, opening = self.aggregate.payment, self.opening()
        operation = new_operation(
            payment,
            opening.attempt_id,
            account,
            kind=kind,
            amount=amount,
            correlation_id=self.actor.correlation_id,
            parent_ref=opening.provider_ref,
            refund_id=refund_id,
            final=final,
            shares=shares,
        )
        instruction = Instruction(payment)
        prepared = self.services.dispatcher.prepare(
            account, instruction.operation(operation, account)
        )
        if prepared.refusal is not None:
            raise Unsupported(kind.value, account.name)
        sending = Sending(operation, instruction, account, prepared)
        return begin_sending(self.services, self.change, sending, posts)


@dataclass(frozen=True, slots=True)
class Taken:
    """How a step was taken. `new` is False if its key was used before."""

    new: bool
    sending: Sending | None = None


async def take_step(
    services: PaymentServices,
    actor: Actor,
    payment_id: UUID,
    request: Request,
    decide: Decide,
    *,
    resource: tuple[str, UUID],
    stage: str,
    expected_version: int | None = None,
) -> Taken:
    """Unit of work A of a step, then its provider call and unit of work B.

    Raises: NotFound, VersionConflict, and whatever `decide` raises; nothing is written then.
    """

    async def work(tx: Tx) -> Taken:
        if not await remember(tx, actor, request, resource):
            return Taken(new=False)
        kill_point(f"{stage}.key_written")
        payment = await reading.lock(tx, actor.tenant_id, payment_id)
        if payment is None:
            raise NotFound(encode("pay", payment_id))
        if expected_version is not None and expected_version != payment.version:
            raise VersionConflict(expected_version, payment.version)
        before = await reading.load(tx, actor.tenant_id, payment)
        change = Change(
            stage,
            actor.tenant_id,
            actor.name,
            actor.correlation_id,
            services.clock.now(),
            before,
        )
        sending = await decide(tx, Step(services, actor, change))
        await change.write(tx)
        if sending is not None:
            await _name_operation(tx, actor, request, sending.operation.id)
        return Taken(new=True, sending=sending)

    taken = await services.database.run(actor.tenant_id, work)
    if taken.new:
        kill_point(f"{stage}.committed")
    if taken.sending is not None:
        await carry_out(services, actor.tenant_id, actor.name, taken.sending)
        kill_point("answer.before")
    return taken


async def _name_operation(tx: Tx, actor: Actor, request: Request, operation_id: UUID) -> None:
    """The key's row is ours since this unit of work inserted it."""
    await tx.execute(
        """
        UPDATE idempotency_key SET operation_id = $5
         WHERE tenant_id = $1 AND principal_scope = $2 AND mutation = $3 AND key = $4
        """,
        actor.tenant_id,
        actor.scope,
        request.mutation,
        request.key,
        operation_id,
    )


def refuse_while_uncertain(aggregate: Aggregate, kinds: tuple[OperationKind, ...]) -> None:
    """A step of one of these kinds is on its way: wait for it.

    Raises: OperationInProgress.
    """
    for operation in aggregate.operations:
        if operation.kind in kinds and operation.status in (
            OperationStatus.CREATED,
            OperationStatus.SENT,
            OperationStatus.PENDING,
        ):
            raise OperationInProgress(1_000, ("pay", aggregate.payment.id))
