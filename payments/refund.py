"""refundCreate: send captured money back, never more than was taken.

A  key → lock → how much is left → refund, operation SENT → outbox → its money reserved
   provider call
B  evidence → projection → outbox → entries
"""

from typing import Final

from core.database import Tx
from core.identifiers import new_id
from gateways.port import Capability
from payments.amounts import refundable, shares_of_refund
from payments.capture import amount_of
from payments.charging import refuse_unknown
from payments.commands import Actor, CreateRefund, RefundResult
from payments.due import REQUESTED
from payments.errors import InsufficientFunds, InvalidState
from payments.idempotency import Request, resume
from payments.model import (
    REFUND_FREED,
    Aggregate,
    OperationKind,
    Origin,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from payments.projection import counts_as_taken
from payments.replay import keep_rejection
from payments.sending import Sending
from payments.services import PaymentServices
from payments.step import Step, take_step

MUTATION: Final = "refundCreate"
REFUNDABLE: Final = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_CAPTURED)


async def refund(command: CreateRefund, actor: Actor, services: PaymentServices) -> RefundResult:
    """Return captured money: to the card first, up to what it paid, then to store credit.

    Concurrent refunds are limited under the payment's lock. Raises: NotFound, ValidationFailed,
    IdempotencyKeyReused, OperationInProgress, InvalidState, AmountExceeded, InsufficientFunds (a
    seller's balance), Unsupported, OutcomeUnknown.
    """
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)
    refund_id = new_id()

    async def decide(tx: Tx, step: Step) -> Sending | None:
        payment, change = step.aggregate.payment, step.change
        if payment.status not in REFUNDABLE:
            refuse_unknown(step.aggregate)
            raise InvalidState(payment.status, REFUNDABLE)
        amount = amount_of(command.amount, refundable(payment), payment)
        card = min(amount, _card_left(step.aggregate))
        change.begin_refund(
            Refund(
                id=refund_id,
                payment_id=payment.id,
                origin=Origin.OURS,
                amount=amount,
                currency=payment.currency,
                card_amount=card,
                store_credit_amount=amount - card,
                shares=shares_of_refund(step.aggregate, amount),
                reason=command.reason.value,
                correlation_id=actor.correlation_id,
                note=command.note,
                metadata=dict(command.metadata),
                status=RefundStatus.CREATED,
            )
        )
        if not card:
            change.own_postings.append("store_credit_refund")
            return None
        account = await step.account(tx, Capability.REFUND)
        if amount < payment.captured_gross:
            step.demand(account, Capability.PARTIAL_REFUND)
        return step.send(
            account, OperationKind.REFUND, card, refund_id=refund_id, posts=(REQUESTED,)
        )

    try:
        taken = await take_step(
            services,
            actor,
            command.payment_id,
            request,
            decide,
            resource=("ref", refund_id),
            stage="refund",
        )
    except InsufficientFunds as rejection:
        if await keep_rejection(services, actor, request, ("ref", refund_id), rejection):
            raise
    else:
        if taken.new:
            return RefundResult(refund_id, command.payment_id, replayed=False)
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        remembered = await resume(tx, actor, request)
    return RefundResult(remembered.resource_id, command.payment_id, replayed=True)


def _card_left(aggregate: Aggregate) -> int:
    """What the card paid and has not got back."""
    paid = sum(o.moved_amount or 0 for o in aggregate.operations if counts_as_taken(aggregate, o))
    returned = sum(r.card_amount for r in aggregate.refunds if r.status not in REFUND_FREED)
    return max(0, paid - returned)
