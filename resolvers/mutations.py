"""Commands to the domain. What comes back is read afresh, or as it was written last.

Every function answers with a payload or a problem; other errors concern the whole request. Inputs
are parsed inside, by the functions given, so that what is wrong with them is a problem as well.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import payments
from core.card_numbers import mask_card_numbers
from core.database import Tx
from core.errors import CounterfoilError
from core.identifiers import encode
from payments import (
    CancelPayment,
    CapturePayment,
    ConfirmPayment,
    CreatePayment,
    CreateRefund,
    PaymentResult,
    ResolveOperation,
    SyncPayment,
)
from payments.errors import NotFound
from resolvers import bookkeeping
from resolvers.bookkeeping import CreateAccount, CreateTransfer
from resolvers.context import Context
from resolvers.loaders import load
from resolvers.paging import PAGE_SIZE_MAX, BadPageSize
from resolvers.payments import bare_id, open_client_secret
from resolvers.problems import Problem, problem_of
from resolvers.views.payments import Payment, ProviderOperation, Refund
from tenants import record
from webhooks.processor import replay

Given = ParamSpec("Given")
Payload = TypeVar("Payload")
FieldPath = tuple[str, ...]

_ECHO_MAX = 80


@dataclass(frozen=True, slots=True)
class PaymentPayload:
    """A payment after a mutation."""

    payment: Payment
    replayed: bool


@dataclass(frozen=True, slots=True)
class RefundPayload:
    """A refund and its payment after a mutation."""

    refund: Refund
    payment: Payment
    replayed: bool


@dataclass(frozen=True, slots=True)
class OperationPayload:
    """An operation after a mutation. `approvals_missing`: how many others must still say so."""

    operation: ProviderOperation
    approvals_missing: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class RequeuePayload:
    """How many things were put back into their queue."""

    requeued: int


def answers(
    mutation: Callable[Concatenate[Context, Given], Awaitable[Payload]],
) -> Callable[Concatenate[Context, Given], Coroutine[Any, Any, Payload | Problem]]:
    """An expected error becomes a problem in the answer."""

    @wraps(mutation)
    async def answer(
        context: Context, /, *args: Given.args, **named: Given.kwargs
    ) -> Payload | Problem:
        try:
            return await mutation(context, *args, **named)
        except CounterfoilError as error:
            return problem_of(error, context)

    return answer


async def _payment_now(context: Context, payment_id: UUID) -> Payment:
    payment = await load(context).payment.load(payment_id)
    assert payment is not None, "what a use case returns exists"
    return payment


async def _after(context: Context, result: PaymentResult) -> PaymentPayload:
    context.forget()
    if result.row is not None:
        load(context).payment.prime(result.payment_id, Payment(result.row))
    return PaymentPayload(await _payment_now(context, result.payment_id), result.replayed)


@answers
async def create(
    context: Context,
    named_accounts: Callable[[], Mapping[FieldPath, UUID]],
    parse: Callable[[Mapping[FieldPath, str]], CreatePayment],
) -> PaymentPayload:
    """PaymentCreate. The domain knows accounts by path, so those of the input are looked up."""
    paths = {}
    for field, account_id in named_accounts().items():
        account = await load(context).account.load(account_id)
        if account is None:
            raise NotFound(encode("acc", account_id))
        paths[field] = account.path
    result = await payments.create(parse(paths), context.actor(), context.services.payments)
    return await _after(context, result)


@answers
async def confirm(
    context: Context,
    named_payment: Callable[[], tuple[UUID | None, str | None]],
    parse: Callable[[UUID], ConfirmPayment],
) -> PaymentPayload:
    """paymentConfirm, from a server by id or from a browser by client secret."""
    payment_id, client_secret = named_payment()
    behind_secret = None
    if client_secret is not None:
        behind_secret = await open_client_secret(context, client_secret)
    elif payment_id != context.caller.payment_id:
        context.demand("PAYMENTS_WRITE")
    target = payment_id or behind_secret
    if target is None:
        raise NotFound("clientSecret")
    command, actor = parse(target), context.actor(behind_secret)
    return await _after(context, await payments.confirm(command, actor, context.services.payments))


@answers
async def capture(context: Context, parse: Callable[[], CapturePayment]) -> PaymentPayload:
    """PaymentCapture."""
    result = await payments.capture(parse(), context.actor(), context.services.payments)
    return await _after(context, result)


@answers
async def cancel(context: Context, parse: Callable[[], CancelPayment]) -> PaymentPayload:
    """PaymentCancel."""
    result = await payments.cancel(parse(), context.actor(), context.services.payments)
    return await _after(context, result)


@answers
async def sync(context: Context, payment_id: str) -> PaymentPayload:
    """PaymentSync."""
    bare = bare_id("pay", payment_id)
    if bare is None:
        raise NotFound(mask_card_numbers(payment_id[:_ECHO_MAX]))
    command, actor = SyncPayment(bare), context.actor()
    return await _after(context, await payments.sync(command, actor, context.services.payments))


@answers
async def refund(context: Context, parse: Callable[[], CreateRefund]) -> RefundPayload:
    """RefundCreate."""
    result = await payments.refund(parse(), context.actor(), context.services.payments)
    context.forget()
    made = await load(context).refund.load(result.refund_id)
    assert made is not None, "what a use case returns exists"
    return RefundPayload(made, await _payment_now(context, result.payment_id), result.replayed)


@answers
async def resolve(context: Context, parse: Callable[[], ResolveOperation]) -> OperationPayload:
    """OperationResolve."""
    result = await payments.resolve(parse(), context.actor(), context.services.payments)
    context.forget()
    operation = await load(context).operation.load(result.operation_id)
    assert operation is not None, "what a use case returns exists"
    return OperationPayload(operation, result.approvals_missing, result.replayed)


@answers
async def transfer(
    context: Context, parse: Callable[[], CreateTransfer]
) -> bookkeeping.TransactionPayload:
    """TransferCreate."""
    return await bookkeeping.transfer(context, parse())


@answers
async def open_account(
    context: Context, parse: Callable[[], CreateAccount]
) -> bookkeeping.AccountPayload:
    """AccountCreate."""
    return await bookkeeping.open_account(context, parse())


@answers
async def replay_webhooks(context: Context, ids: Sequence[str]) -> RequeuePayload:
    """inboundWebhookReplay: all of them or, if one is not there, none. Raises: BadPageSize."""
    if len(ids) > PAGE_SIZE_MAX:
        raise BadPageSize(asked=len(ids), maximum=PAGE_SIZE_MAX)
    wanted = {id: bare_id("whk", id) for id in ids}
    actor = context.actor()
    bare = [each for each in wanted.values() if each is not None]

    async def work(tx: Tx) -> int:
        found = await replay(tx, actor.tenant_id, bare, context.services.clock.now())
        for id, each in wanted.items():
            if each not in found:
                raise NotFound(mask_card_numbers(id[:_ECHO_MAX]))
        for id in wanted:
            await record(
                tx,
                actor.tenant_id,
                actor=actor.name,
                action="webhook.replay",
                subject=id,
                correlation_id=actor.correlation_id,
            )
        return len(found)

    return RequeuePayload(await context.services.database.run(actor.tenant_id, work))
