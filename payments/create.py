"""paymentCreate: one intent, at most one charge.

A  key → risk → payment, attempt, operation SENT → outbox → store credit held
   provider call
B  evidence → projection → outbox → entries
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import asyncpg

import ledger
from core.crypto import fingerprint
from core.database import Tx
from core.identifiers import new_id
from core.killpoints import kill_point
from payments.booking import accounts_of
from payments.change import Change
from payments.charging import Wish, check_keepable
from payments.commands import Actor, CaptureMode, CreatePayment, PaymentResult
from payments.errors import (
    FieldProblem,
    InsufficientFunds,
    NoProviderAvailable,
    NotFound,
    RiskRejected,
    ValidationFailed,
)
from payments.idempotency import Request, remember
from payments.methods import client_secret
from payments.model import Aggregate, Payment, PaymentStatus
from payments.replay import answer_again, keep_rejection
from payments.risk import assess
from payments.saved_methods import Chosen, choose, demand_unremoved
from payments.sending import (
    Route,
    Sending,
    begin_charge,
    carry_out,
    find_route,
    instruct,
    prepare_charge,
    seal_token,
)
from payments.services import PaymentServices

MUTATION: Final = "paymentCreate"


async def create(command: CreatePayment, actor: Actor, services: PaymentServices) -> PaymentResult:
    """Take one amount once, or only prepare it (`confirm` false, or no method yet).

    Raises: ValidationFailed, NotFound (no such saved method of the customer),
    IdempotencyKeyReused, OperationInProgress, RiskRejected, InsufficientFunds (store credit),
    NoProviderAvailable (the payment is kept; the same key tries
    again). A decline and an unknown outcome are states of the payment, not errors.
    """
    check(command)
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)
    intent = await _prepare(command, actor, services)
    try:
        new = await _begin(command, actor, services, request, intent)
    except (RiskRejected, InsufficientFunds) as rejection:
        if await keep_rejection(services, actor, request, ("pay", intent.payment.id), rejection):
            raise
        new = False
    if not new:
        return await answer_again(
            services, actor, request, Wish(command.method) if command.confirm else None
        )
    kill_point("create.committed")
    payment_id, row = intent.payment.id, None
    if intent.sending is not None:
        carried = await carry_out(services, actor.tenant_id, actor.name, intent.sending)
        if carried.exhausted is not None:
            raise NoProviderAvailable(carried.exhausted.as_json()["candidates"])
        row = carried.row
    elif intent.nobody is not None:
        raise NoProviderAvailable(intent.nobody.decision.as_json()["candidates"])
    kill_point("answer.before")
    return PaymentResult(payment_id, replayed=False, row=row)


@dataclass(frozen=True, slots=True)
class _Intent:
    """What is about to be written down. `nobody`: no provider account can take it.

    `refusal` is raised once the key proves to be new: an earlier request is answered as it was.
    """

    payment: Payment
    sending: Sending | None = None
    nobody: Route | None = None
    refusal: NotFound | None = None


def check(command: CreatePayment) -> None:
    """Rules between the fields of the input. Raises: ValidationFailed."""
    problems = [*_problems_of_amounts(command), *_problems_of_store_credit(command)]
    if problems:
        raise ValidationFailed(*problems)
    check_keepable(command.customer_id, save_method=command.save_method)


def _problem(path: str, code: str, message: str) -> FieldProblem:
    return FieldProblem(("input", *path.split(".")), code, message)


def _problems_of_amounts(command: CreatePayment) -> Iterator[FieldProblem]:
    amount = command.amount
    if amount.minor_units <= 0:
        yield _problem("amount", "NOT_POSITIVE", "The amount must be greater than zero.")
    parts = [("splits", split.amount) for split in command.splits]
    if command.store_credit is not None:
        parts.append(("storeCredit.amount", command.store_credit.amount))
    for path, part in parts:
        if part.currency != amount.currency:
            message = f"It must be in {amount.currency} as well."
            yield _problem(path, "CURRENCY_MISMATCH", message)
        if part.minor_units <= 0:
            yield _problem(path, "NOT_POSITIVE", "It must be greater than zero.")
    if sum(split.amount.minor_units for split in command.splits) > amount.minor_units:
        yield _problem("splits", "EXCEEDS_AMOUNT", "Shares may not exceed the amount.")


def _problems_of_store_credit(command: CreatePayment) -> Iterator[FieldProblem]:
    credit = command.store_credit
    if credit is None:
        return
    if credit.amount.minor_units > command.amount.minor_units:
        message = "Store credit may not exceed the amount."
        yield _problem("storeCredit.amount", "EXCEEDS_AMOUNT", message)
    if command.capture_mode is CaptureMode.MANUAL:
        yield _problem("captureMode", "STORE_CREDIT", "Store credit needs AUTOMATIC capture.")


async def _prepare(command: CreatePayment, actor: Actor, services: PaymentServices) -> _Intent:
    """Everything that can be decided before anything is written."""
    async with services.database.unit_of_work(actor.tenant_id) as tx:
        limit = await tx.fetchval(
            "SELECT attempt_limit FROM tenant WHERE tenant_id = $1", actor.tenant_id
        )
        try:
            chosen = await _chosen(tx, command, actor, services)
        except NotFound as refusal:
            return _Intent(_payment(command, actor, services, limit, None), refusal=refusal)
        payment = _payment(command, actor, services, limit, chosen)
        token = chosen.token if chosen else None
        if not command.confirm or token is None or not payment.provider_amount:
            return _Intent(payment)
        found = await find_route(tx, services, actor.tenant_id, payment, token)
        instruction = await instruct(tx, services, actor.tenant_id, payment, token)
    sending, found = prepare_charge(services, instruction, found, actor.correlation_id)
    return _Intent(payment, sending, None if sending else found)


async def _chosen(
    tx: Tx, command: CreatePayment, actor: Actor, services: PaymentServices
) -> Chosen | None:
    """What is paid with. Raises: NotFound."""
    if command.method is None:
        return None
    return await choose(tx, services.vault, actor, command.method, command.customer_id)


def _payment(
    command: CreatePayment,
    actor: Actor,
    services: PaymentServices,
    attempt_limit: int,
    chosen: Chosen | None,
) -> Payment:
    id, credit = new_id(), command.store_credit
    routing = command.routing
    provider = routing.provider_account_id
    ready = chosen is not None or (
        credit is not None and credit.amount.minor_units == command.amount.minor_units
    )
    return Payment(
        id=id,
        amount=command.amount.minor_units,
        currency=command.amount.currency,
        capture_mode=command.capture_mode.value,
        merchant_account=command.merchant_account,
        attempt_limit=attempt_limit,
        correlation_id=actor.correlation_id,
        status=PaymentStatus.REQUIRES_CONFIRMATION
        if ready
        else PaymentStatus.REQUIRES_PAYMENT_METHOD,
        reference=command.reference,
        method=chosen.shown if chosen else {},
        token_sealed=seal_token(services, id, chosen.token) if chosen else None,
        save_method=command.save_method,
        saved_method_id=chosen.saved_method_id if chosen else None,
        customer_id=command.customer_id,
        country=command.country,
        return_url=command.return_url,
        statement_descriptor=command.statement_descriptor,
        splits=tuple(
            {"path": split.account, "amount": split.amount.minor_units} for split in command.splits
        ),
        store_credit_account=credit.account if credit else None,
        store_credit=credit.amount.minor_units if credit else 0,
        routing={
            "provider_account_id": str(provider) if provider else None,
            "strategy": routing.strategy,
            "exclude": sorted(str(id) for id in routing.exclude),
            "allow_failover": routing.allow_failover,
        },
        metadata=dict(command.metadata),
    )


async def _begin(
    command: CreatePayment,
    actor: Actor,
    services: PaymentServices,
    request: Request,
    intent: _Intent,
) -> bool:
    """Unit of work A; False if the key was used before.

    Raises: NotFound, RiskRejected, InsufficientFunds, ValidationFailed (the reference is taken).
    """
    payment = intent.payment
    operation_id = intent.sending.operation.id if intent.sending else None

    async def work(tx: Tx) -> bool:
        if not await remember(tx, actor, request, ("pay", payment.id), operation_id=operation_id):
            return False
        kill_point("create.key_written")
        if intent.refusal is not None:
            raise intent.refusal
        await demand_unremoved(tx, actor.tenant_id, payment)
        await assess(tx, services.risk_checks, actor.tenant_id, payment)
        change = Change(
            stage="create",
            tenant_id=actor.tenant_id,
            actor=actor.name,
            correlation_id=actor.correlation_id,
            at=services.clock.now(),
            before=Aggregate(payment),
        )
        change.events.append(change.payment_event("payment.initiated.v1"))
        change.client_secret_hash = fingerprint(client_secret(services.vault, payment.id))
        await _open_accounts(tx, actor, payment)
        if intent.sending is not None:
            begin_charge(services, change, intent.sending)
        elif command.confirm and not payment.provider_amount:
            change.pay_by_store_credit()
        await _write(tx, change)
        return True

    return await services.database.run(actor.tenant_id, work)


async def _open_accounts(tx: Tx, actor: Actor, payment: Payment) -> None:
    """What the payment names must be there before money arrives for it.

    Raises: ValidationFailed.
    """
    try:
        await ledger.open_accounts(tx, actor.tenant_id, accounts_of(payment))
    except ledger.UnknownAccount as error:
        path = str(error.facts.get("account"))
        message = f"There is no account {path}."
        raise ValidationFailed(FieldProblem(("input",), "UNKNOWN_ACCOUNT", message)) from error


async def _write(tx: Tx, change: Change) -> None:
    """Raises: ValidationFailed (the reference is taken), InsufficientFunds."""
    try:
        await change.write(tx)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "payment_reference_unique":
            raise
        raise ValidationFailed(
            FieldProblem(
                ("input", "reference"), "TAKEN", "Another payment has this reference already."
            )
        ) from error
