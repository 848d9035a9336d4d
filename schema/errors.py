"""Expected problems: members of the result of a mutation."""

from datetime import datetime

import strawberry

from resolvers import node
from resolvers import problems as views
from schema.base import edge, requires, shown, shows
from schema.directives import Scope
from schema.enums import Capability, ErrorCode
from schema.payments import RoutingCandidate
from schema.references import AccountType, OperationType
from schema.scalars import BigInt
from schema.shapes import Money, Node

_PAYMENTS = requires(Scope.PAYMENTS_READ)
_LEDGER = requires(Scope.LEDGER_READ)


@strawberry.interface(description="A problem that was to be expected: part of the result.")
class Error:
    code: ErrorCode = shown("What kind of problem it is.")
    message: str = shown("What is wrong, in one sentence.")
    retryable: bool = shown(
        "True: send the same request with the same idempotencyKey again, a little later."
    )
    correlation_id: strawberry.ID = shown("Names this request in logs and records.")
    docs: str = shown("Where this kind of problem is explained, on this server: `/errors#…`.")


@strawberry.type(description="What is wrong with one field of the input.")
class FieldError:
    path: list[str] = shown('Where in the input: ["input", "amount", "decimal"].')
    code: str = shown("What is wrong, as a stable code.")
    message: str = shown("What is wrong, in one sentence.")


@strawberry.type(description="The input breaks a rule. Nothing was written.")
class ValidationError(Error):
    is_type_of = shows(views.ValidationProblem)

    fields: list[FieldError] = shown("Each field that is wrong.")


@strawberry.type(description="There is nothing of this id that you may see.")
class NotFoundError(Error):
    is_type_of = shows(views.NotFoundProblem)

    id: strawberry.ID = shown("The id that was asked for.")


@strawberry.type(description="The same key with another input.")
class IdempotencyKeyReusedError(Error):
    is_type_of = shows(views.IdempotencyKeyReusedProblem)

    first_used_at: datetime = shown("When the key was used first.")
    differing_paths: list[str] = shown("Which fields of the input differ.")


@strawberry.type(description="The same key and input, and the first try is still running.")
class OperationInProgressError(Error):
    is_type_of = shows(views.OperationInProgressProblem)

    retry_after_ms: int = shown("When to send the same request again, in milliseconds.")

    resource = edge(node.resource_of, Node | None, "What the first try is making.", _PAYMENTS)


@strawberry.type(description="Not possible in the present state.")
class InvalidStateError(Error):
    is_type_of = shows(views.InvalidStateProblem)

    current: str = shown("The present state.")
    allowed: list[str] = shown("The states in which it is possible.")


@strawberry.type(description="More was asked for than there is.")
class AmountExceededError(Error):
    is_type_of = shows(views.AmountExceededProblem)

    requested: Money = shown("What was asked for.")
    available: Money = shown("What there is.")


@strawberry.type(description="An account does not hold enough.")
class InsufficientFundsError(Error):
    is_type_of = shows(views.InsufficientFundsProblem)

    available: Money = shown("What it holds.")

    account = edge(node.account_of_problem, AccountType, "The account.", _LEDGER)


@strawberry.type(description="No provider could take it. Nothing was sent.")
class NoProviderAvailableError(Error):
    is_type_of = shows(views.NoProviderAvailableProblem)

    candidates: list[RoutingCandidate] = shown(
        "Who was considered, and why nobody was taken.", _PAYMENTS
    )
    retry_after_ms: int | None = shown("When trying again may help, in milliseconds.")


@strawberry.type(description="The provider cannot do this.")
class UnsupportedError(Error):
    is_type_of = shows(views.UnsupportedProblem)

    capability: Capability = shown("What would be needed.")
    provider: str | None = shown("Name of the provider that lacks it.", _PAYMENTS)


@strawberry.type(description="It was changed since you read it.")
class VersionConflictError(Error):
    is_type_of = shows(views.VersionConflictProblem)

    expected: BigInt = shown("The version you gave.")
    actual: BigInt = shown("The version it has.")


@strawberry.type(
    description="An earlier operation has an unknown outcome; a new one could move money twice."
)
class OutcomeUnknownError(Error):
    is_type_of = shows(views.OutcomeUnknownProblem)

    operation = edge(node.operation_of_problem, OperationType, "The earlier operation.", _PAYMENTS)


@strawberry.type(description="The risk rules refuse it.")
class RiskRejectedError(Error):
    is_type_of = shows(views.RiskRejectedProblem)
