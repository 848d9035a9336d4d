"""paymentConfirm: try a prepared or declined payment, from a server or from a browser.

A  key → lock → risk → attempt, operation SENT → outbox → store credit held
   provider call
B  evidence → projection → outbox → entries
"""

from typing import Final
from uuid import UUID

from core.database import Tx
from payments.charging import Wish, charge
from payments.commands import Actor, ConfirmPayment, PaymentResult
from payments.errors import InsufficientFunds, RiskRejected
from payments.idempotency import Request, remember
from payments.replay import answer_again, keep_rejection
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

    wish = Wish(command.method, command.return_url, command.save_method)
    try:
        tried = await charge(services, actor, payment_id, wish, claim_key)
    except (RiskRejected, InsufficientFunds) as rejection:
        if await keep_rejection(services, actor, request, ("pay", payment_id), rejection):
            raise
        tried = False
    if tried:
        return PaymentResult(payment_id, replayed=False)
    return await answer_again(services, actor, request, wish)
