"""paymentCancel: end a payment that took nothing, or give back what is authorized.

What a provider holds is ended by the provider only: a VOID is sent, and the payment is CANCELED
once that is proven.
"""

from dataclasses import replace
from typing import Final

from core.database import Tx
from gateways.port import Capability
from payments.charging import refuse_unknown
from payments.commands import Actor, CancelPayment, PaymentResult
from payments.errors import InvalidState, Unsupported
from payments.idempotency import Request
from payments.model import CONFIRMABLE, OperationKind, OperationStatus, PaymentStatus
from payments.replay import answer_again
from payments.sending import Sending
from payments.services import PaymentServices
from payments.step import Step, refuse_while_uncertain, take_step

MUTATION: Final = "paymentCancel"
VOIDABLE: Final = (
    PaymentStatus.REQUIRES_ACTION,
    PaymentStatus.AUTHORIZED,
    PaymentStatus.PARTIALLY_CAPTURED,
)


async def cancel(command: CancelPayment, actor: Actor, services: PaymentServices) -> PaymentResult:
    """Cancel; of a payment captured in part, only the rest.

    Raises: NotFound, IdempotencyKeyReused, OperationInProgress, InvalidState, OutcomeUnknown,
    VersionConflict.
    """
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)

    async def decide(tx: Tx, step: Step) -> Sending | None:
        payment = step.aggregate.payment
        refuse_unknown(step.aggregate)
        if payment.status in CONFIRMABLE:
            step.change.set_payment(replace(payment, cancel_requested_at=step.change.at))
            return None
        if payment.status not in VOIDABLE:
            raise InvalidState(payment.status, (*CONFIRMABLE, *VOIDABLE))
        refuse_while_uncertain(step.aggregate, (OperationKind.CAPTURE, OperationKind.VOID))
        try:
            account = await step.account(tx, Capability.VOID)
        except Unsupported as error:
            raise InvalidState(payment.status, CONFIRMABLE) from error
        sending = step.send(account, OperationKind.VOID, _left(step))
        step.change.set_payment(
            replace(step.change.after.payment, cancel_requested_at=step.change.at)
        )
        return sending

    taken = await take_step(
        services,
        actor,
        command.payment_id,
        request,
        decide,
        resource=("pay", command.payment_id),
        stage="cancel",
        expected_version=command.expected_version,
    )
    if not taken.new:
        return await answer_again(services, actor, request)
    return PaymentResult(command.payment_id, replayed=False)


def _left(step: Step) -> int:
    """What the void gives back: the authorization without its captures."""
    captured = sum(
        o.moved_amount or 0
        for o in step.aggregate.operations
        if o.kind is OperationKind.CAPTURE and o.status is OperationStatus.SUCCEEDED
    )
    return step.opening().amount - captured
