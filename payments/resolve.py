"""operationResolve: two administrators say what became of an operation that nobody could find out.

    first opinion ──▶ kept, approvals missing: 1
    second, of another holder, the same ──▶ evidence (source OPERATOR) ──▶ all that follows from it

What they say is evidence like any other: it is refused where the evidence known already would
stand against it, and what comes later can still contradict it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import tenants
from core.database import Tx
from core.identifiers import encode, new_id
from gateways.port import DeclineKind, Failure, Outcome, OutcomeStatus
from payments import opinions, reading
from payments.commands import Actor, OperationResult, OperatorOutcome, ResolveOperation
from payments.errors import (
    FieldProblem,
    InvalidState,
    NotFound,
    OperationInProgress,
    ValidationFailed,
)
from payments.evidence import conclude
from payments.facts import Fact, as_evidence
from payments.idempotency import Request, remember, resume
from payments.model import OPENINGS, Evidence, Operation, OperationStatus, Source
from payments.opinions import APPROVALS_NEEDED, Opinion
from payments.projection import project_operation
from payments.services import PaymentServices

MUTATION: Final = "operationResolve"
ACTION: Final = "operation.resolve"
RESOLVABLE: Final = (OperationStatus.UNKNOWN, OperationStatus.IN_REVIEW)

_BECOMES: Final[Mapping[OperatorOutcome, Sequence[OperationStatus]]] = {
    OperatorOutcome.SUCCEEDED: (OperationStatus.SUCCEEDED, OperationStatus.REVERSED),
    OperatorOutcome.DECLINED: (OperationStatus.DECLINED,),
    OperatorOutcome.NOT_EXECUTED: (OperationStatus.NOT_EXECUTED,),
}
"""What the operation must become by it. A success that was reversed later is REVERSED."""
_WRONG_AMOUNT: Final = frozenset({"wrong_amount", "wrong_refund"})
_DECLINED: Final = Failure(
    "declined_says_operator", "The provider declined it, say two operators.", DeclineKind.OTHER
)


@dataclass(frozen=True, slots=True)
class _Question:
    """An operation under the lock of its payment, what is known of it, and who stands to what."""

    operation: Operation
    known: Sequence[Evidence]
    standing: Sequence[Opinion]


async def resolve(
    command: ResolveOperation, actor: Actor, services: PaymentServices
) -> OperationResult:
    """Say what became of an operation; the second who says so makes it take effect.

    Raises: NotFound, ValidationFailed, IdempotencyKeyReused, InvalidState, OperationInProgress.
    """
    request = Request.of(MUTATION, command.idempotency_key, command.canonical_input)

    async def work(tx: Tx) -> OperationResult:
        is_new = await remember(tx, actor, request, ("op", command.operation_id))
        if not is_new:
            await resume(tx, actor, request)
        question = await _ask(tx, actor, command)
        if not is_new:
            return OperationResult(command.operation_id, _missing(question), replayed=True)
        await _refuse_unless_open(tx, actor, question.operation)
        opinion = await _opinion(tx, actor, command, question)
        others = [one for one in question.standing if one.holder != opinion.holder]
        fact = _fact(command, question.operation, opinion, services)
        await _refuse_impossible(tx, actor, command, question, fact)
        _refuse_disagreement(opinion, others)
        await opinions.give(tx, actor.tenant_id, opinion)
        missing = APPROVALS_NEEDED - len({opinion.holder, *(one.holder for one in others)})
        before = {"status": question.operation.status.value}
        await _record(tx, actor, command, before=before, after={"approvals_missing": missing})
        if missing == 0:
            await conclude(
                tx,
                services,
                actor.tenant_id,
                command.operation_id,
                [fact],
                actor=actor.name,
                stage="operator",
            )
        return OperationResult(command.operation_id, missing, replayed=False)

    try:
        return await services.database.run(actor.tenant_id, work)
    except _Disagreement as refused:
        # Of two administrators who disagree, the second leaves no opinion but a line.
        await services.database.run(
            actor.tenant_id, lambda tx: _record(tx, actor, command, refused=True)
        )
        problem = FieldProblem(("input", refused.field), "OPINIONS_DIFFER", refused.message)
        raise ValidationFailed(problem) from None


class _Disagreement(Exception):
    """Another administrator said something else."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(field)


async def _ask(tx: Tx, actor: Actor, command: ResolveOperation) -> _Question:
    """Lock and read. Raises: NotFound."""
    tenant_id, id = actor.tenant_id, command.operation_id
    payment = await reading.lock_by_operation(tx, tenant_id, id)
    if payment is None:
        raise NotFound(encode("op", id))
    before, known = await reading.load_with_evidence(tx, tenant_id, payment, id)
    operation = before.operation(id)
    return _Question(operation, known, await opinions.standing(tx, tenant_id, id, len(known)))


def _missing(question: _Question) -> int:
    """How many must still say so; none once nothing is left to say."""
    if question.operation.status not in RESOLVABLE:
        return 0
    return APPROVALS_NEEDED - len(question.standing)


async def _refuse_unless_open(tx: Tx, actor: Actor, operation: Operation) -> None:
    """Raises: InvalidState; OperationInProgress while the provider is being asked.

    A request that is being repeated right now may still move money.
    """
    if operation.status not in RESOLVABLE:
        raise InvalidState(operation.status, RESOLVABLE)
    is_leased = await tx.fetchval(
        """
        SELECT o.lease_until > clock_timestamp() FROM provider_operation AS o
         WHERE o.tenant_id = $1 AND o.id = $2
        """,
        actor.tenant_id,
        operation.id,
    )
    if is_leased:
        raise OperationInProgress(1_000, ("op", operation.id))


async def _opinion(tx: Tx, actor: Actor, command: ResolveOperation, question: _Question) -> Opinion:
    return Opinion(
        id=new_id(),
        operation_id=command.operation_id,
        holder=await tenants.holder_of(tx, actor.tenant_id, actor.name),
        actor=actor.name,
        outcome=command.outcome.value,
        provider_ref=command.provider_ref,
        note=command.evidence_note,
        evidence_count=len(question.known),
        correlation_id=actor.correlation_id,
    )


def _fact(
    command: ResolveOperation, operation: Operation, opinion: Opinion, services: PaymentServices
) -> Fact:
    succeeded = command.outcome is OperatorOutcome.SUCCEEDED
    outcome = Outcome(
        OutcomeStatus(command.outcome.value),
        command.provider_ref,
        amount=operation.money if succeeded else None,
        failure=_DECLINED if command.outcome is OperatorOutcome.DECLINED else None,
    )
    return Fact(
        source=Source.OPERATOR.value,
        outcome=outcome,
        dedup_key=f"operator:{opinion.id}",
        occurred_at=services.clock.now(),
        note=command.evidence_note,
    )


async def _refuse_impossible(
    tx: Tx, actor: Actor, command: ResolveOperation, question: _Question, fact: Fact
) -> None:
    """What cannot become true by saying so. Raises: ValidationFailed."""
    operation = question.operation
    if not _WRONG_AMOUNT.isdisjoint(operation.posted):
        _refuse("outcome", "AMOUNT_MISMATCH", "The provider moved another amount than was asked.")
    after = project_operation(operation, [*question.known, as_evidence(operation, fact)])
    if after.status not in _BECOMES[command.outcome]:
        _refuse("outcome", "CONTRADICTED", "What the provider said stands against it.")
    if operation.provider_ref is not None and after.provider_ref != operation.provider_ref:
        message = f"The provider calls it {operation.provider_ref}."
        _refuse("providerRef", "OTHER_REFERENCE", message)
    if (
        command.outcome is OperatorOutcome.SUCCEEDED
        and operation.kind in OPENINGS
        and after.provider_ref is None
    ):
        message = "Give the provider's own reference: captures and refunds will need it."
        _refuse("providerRef", "REQUIRED", message)
    if command.provider_ref is not None and await _is_taken(tx, actor, operation, command):
        _refuse("providerRef", "REFERENCE_TAKEN", "Another operation is called so.")


def _refuse(field: str, code: str, message: str) -> None:
    raise ValidationFailed(FieldProblem(("input", field), code, message))


async def _is_taken(tx: Tx, actor: Actor, operation: Operation, command: ResolveOperation) -> bool:
    """Whether the provider's reference belongs to another operation of the same kind."""
    kinds = OPENINGS if operation.kind in OPENINGS else {operation.kind}
    taken: bool = await tx.fetchval(
        """
        SELECT EXISTS (
          SELECT FROM provider_operation AS o
           WHERE o.tenant_id = $1 AND o.provider_account_id = $2 AND o.provider_ref = $3
             AND o.kind = ANY($4) AND o.id <> $5)
        """,
        actor.tenant_id,
        operation.provider_account_id,
        command.provider_ref,
        [kind.value for kind in kinds],
        operation.id,
    )
    return taken


def _refuse_disagreement(opinion: Opinion, others: Sequence[Opinion]) -> None:
    """Raises: _Disagreement."""
    for other in others:
        if other.outcome != opinion.outcome:
            raise _Disagreement("outcome", f"Another administrator said {other.outcome}.")
        if not opinion.agrees_with(other):
            named = other.provider_ref or "no reference"
            raise _Disagreement("providerRef", f"Another administrator gave {named}.")


async def _record(
    tx: Tx,
    actor: Actor,
    command: ResolveOperation,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    refused: bool = False,
) -> None:
    """A line in the audit log: what was said, and what became of it."""
    said = {
        "outcome": command.outcome.value,
        "provider_ref": command.provider_ref,
        "note": command.evidence_note,
    }
    await tenants.record(
        tx,
        actor.tenant_id,
        actor=actor.name,
        action=ACTION,
        subject=encode("op", command.operation_id),
        before=before,
        after=said | dict(after or {}),
        refused=refused,
        correlation_id=actor.correlation_id,
    )
