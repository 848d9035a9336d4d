"""paymentCapture: take what was authorized, at once or in parts.

A  key → lock → how much is left → operation SENT → outbox
   provider call
B  evidence → projection → outbox → entries
"""

from typing import Final

from core.database import Tx
from core.errors import Rejected
from core.money import Money
from gateways.port import Capability
from payments.amounts import capturable, shares_of_capture
from payments.charging import refuse_unknown
from payments.commands import Actor, CapturePayment, PaymentResult
from payments.errors import AmountExceeded, FieldProblem, InvalidState, ValidationFailed
from payments.idempotency import Request
from payments.model import OperationKind, Payment, PaymentStatus
from payments.replay import answer_again
from payments.sending import Sending
from payments.services import PaymentServices
from payments.step import Step, refuse_while_uncertain, take_step

MUTATION: Final = "paymentCapture"
CAPTURABLE: Final = (PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_CAPTURED)


async def capture(
    command: CapturePayment, actor: Actor, services: PaymentServices
) -> PaymentResult:
    """Take money that was authorized before.

    Idempotent by its key. Raises: NotFound, ValidationFailed, IdempotencyKeyReused,
    OperationInProgress, InvalidState, AmountExceeded, Unsupported, OutcomeUnknown,
    VersionConflict.
    """
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)

    async def decide(tx: Tx, step: Step) -> Sending:
        aggregate, payment = step.aggregate, step.aggregate.payment
        refuse_unknown(aggregate)
        if payment.status not in CAPTURABLE:
            raise InvalidState(payment.status, CAPTURABLE)
        refuse_while_uncertain(aggregate, (OperationKind.VOID,))
        left = capturable(aggregate)
        amount = amount_of(command.amount, left, payment)
        account = await step.account(tx, Capability.CAPTURE)
        if amount < left:
            step.demand(account, Capability.PARTIAL_CAPTURE)
        if not command.final and amount < left:
            step.demand(account, Capability.MULTI_CAPTURE)
        return step.send(
            account,
            OperationKind.CAPTURE,
            amount,
            final=command.final or amount == left,
            shares=shares_of_capture(aggregate, amount),
        )

    taken = await take_step(
        services,
        actor,
        command.payment_id,
        request,
        decide,
        resource=("pay", command.payment_id),
        stage="capture",
        expected_version=command.expected_version,
    )
    if not taken.new:
        return await answer_again(services, actor, request)
    return PaymentResult(command.payment_id, replayed=False)


def amount_of(asked: Money | None, left: int, payment: Payment) -> int:
    """What is asked for, or all that is left.

    Raises: ValidationFailed (currency, not positive), AmountExceeded.
    """
    if asked is None:
        asked = payment.money(left)
        if not left:
            raise AmountExceeded(asked, payment.money(0))
    problem = _problem(asked, payment)
    if problem is not None:
        raise problem
    if asked.minor_units > left:
        raise AmountExceeded(asked, payment.money(left))
    return asked.minor_units


def _problem(asked: Money, payment: Payment) -> Rejected | None:
    path = ("input", "amount")
    if asked.currency != payment.currency:
        message = f"The payment is in {payment.currency}."
        return ValidationFailed(FieldProblem((*path, "currency"), "CURRENCY_MISMATCH", message))
    if asked.minor_units <= 0:
        message = "The amount must be greater than zero."
        return ValidationFailed(FieldProblem(path, "NOT_POSITIVE", message))
    return None
