"""What operators do to the books themselves: open accounts, and transfer between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from core.database import Tx
from core.identifiers import encode
from core.money import Money
from ledger import (
    AccountRef,
    Direction,
    KeyReused,
    Leg,
    Posting,
    Unbalanced,
    UnknownAccount,
    open_accounts,
    post,
)
from payments import Actor
from payments.errors import FieldProblem, NotFound, ValidationFailed
from payments.idempotency import Request, find, remember, resume
from resolvers.context import Context
from resolvers.ledger import account_at
from resolvers.loaders import load
from resolvers.views.ledger import Account, Transaction
from tenants import record

INPUT: Final = "input"


@dataclass(frozen=True, slots=True)
class TransferLeg:
    """One entry wanted. `direction` is DEBIT or CREDIT."""

    account_id: UUID
    direction: str
    amount: Money


@dataclass(frozen=True, slots=True)
class CreateTransfer:
    """Post a balanced set of entries of the operator's own."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    kind: str
    legs: Sequence[TransferLeg]
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Open an account of the chart. `kind` is what the caller takes it for."""

    idempotency_key: str
    canonical_input: Mapping[str, object]
    path: str
    currency: str
    kind: str


@dataclass(frozen=True, slots=True)
class TransactionPayload:
    """A transaction after a mutation."""

    transaction: Transaction
    replayed: bool


@dataclass(frozen=True, slots=True)
class AccountPayload:
    """An account after a mutation."""

    account: Account
    replayed: bool


async def transfer(context: Context, command: CreateTransfer) -> TransactionPayload:
    """Post it once under its key.

    Raises: NotFound (an account), ValidationFailed, IdempotencyKeyReused, ledger.InsufficientFunds,
    ledger.AccountFrozen, ledger.BalanceLimitExceeded, ledger.AmountOutOfRange.
    """
    actor = context.actor()
    posting = await _posting(context, command, actor)
    request = Request.of("transferCreate", command.idempotency_key, command.canonical_input)

    async def work(tx: Tx) -> tuple[UUID, bool]:
        if await find(tx, actor, request.mutation, request.key) is not None:
            return (await resume(tx, actor, request)).resource_id, True
        try:
            (posted,) = await post(tx, actor.tenant_id, [posting])
        except KeyReused:
            # Somebody used the key at the same moment for another input: that is told by name.
            return (await resume(tx, actor, request)).resource_id, True
        resource = ("txn", posted.transaction_id)
        if not await remember(tx, actor, request, resource):
            return (await resume(tx, actor, request)).resource_id, True
        after = {"kind": command.kind, "legs": [str(leg) for leg in posting.legs]}
        await _record(tx, actor, "transfer.create", encode(*resource), after)
        return posted.transaction_id, False

    transaction_id, replayed = await context.services.database.run(actor.tenant_id, work)
    context.forget()
    made = await load(context).transaction.load(transaction_id)
    assert made is not None, "it was posted"
    return TransactionPayload(made, replayed)


async def _posting(context: Context, command: CreateTransfer, actor: Actor) -> Posting:
    legs = []
    for index, wanted in enumerate(command.legs):
        account = await load(context).account.load(wanted.account_id)
        if account is None:
            raise NotFound(encode("acc", wanted.account_id))
        if account.currency != wanted.amount.currency:
            path = (INPUT, "legs", str(index), "amount", "currency")
            message = f"The account is in {account.currency}."
            raise ValidationFailed(FieldProblem(path, "CURRENCY_MISMATCH", message))
        reference = AccountRef(account.path, account.currency)
        legs.append(Leg(reference, Direction[wanted.direction], wanted.amount.minor_units))
    try:
        return Posting(
            key=f"{command.kind}@1:{actor.scope}:{command.idempotency_key}",
            recipe=f"{command.kind}@1",
            legs=tuple(legs),
            correlation_id=actor.correlation_id,
            effective_at=context.services.clock.now(),
            created_by=actor.name,
            description=command.description or "",
            metadata=command.metadata,
        )
    except Unbalanced as error:
        raise ValidationFailed(FieldProblem((INPUT, "legs"), error.code, error.message)) from error


async def open_account(context: Context, command: CreateAccount) -> AccountPayload:
    """Open it, unless it is open. Raises: ValidationFailed, IdempotencyKeyReused."""
    actor = context.actor()
    reference = AccountRef(command.path, command.currency)
    request = Request.of("accountCreate", command.idempotency_key, command.canonical_input)

    async def work(tx: Tx) -> bool:
        if await find(tx, actor, request.mutation, request.key) is not None:
            await resume(tx, actor, request)
            return True
        await open_accounts(tx, actor.tenant_id, [reference])
        row = await tx.fetchrow(_OPENED, actor.tenant_id, command.path, command.currency)
        assert row is not None, "it was opened in this unit of work"
        if row["class"] != command.kind:
            message = f"The chart makes it {row['class']}."
            raise ValidationFailed(FieldProblem((INPUT, "kind"), "WRONG_KIND", message))
        resource = ("acc", row["public_id"])
        if not await remember(tx, actor, request, resource):
            await resume(tx, actor, request)
            return True
        after = {"path": command.path, "currency": command.currency}
        await _record(tx, actor, "account.create", encode(*resource), after)
        return False

    try:
        replayed = await context.services.database.run(actor.tenant_id, work)
    except UnknownAccount as error:
        problem = FieldProblem((INPUT, "path"), error.code, error.message)
        raise ValidationFailed(problem) from error
    context.forget()
    made = await account_at(context, command.path, command.currency)
    assert made is not None, "it was opened"
    return AccountPayload(made, replayed)


_OPENED: Final = """
SELECT a.public_id, t.class
  FROM account AS a
  JOIN account_type AS t ON t.code = a.type_code
 WHERE a.tenant_id = $1 AND a.path = $2 AND a.currency = $3
"""


async def _record(
    tx: Tx, actor: Actor, action: str, subject: str, after: Mapping[str, object]
) -> None:
    await record(
        tx,
        actor.tenant_id,
        actor=actor.name,
        action=action,
        subject=subject,
        after=after,
        correlation_id=actor.correlation_id,
    )
