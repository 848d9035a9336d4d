"""Expected problems as data: the one place where an error of the domain becomes a result.

A decline is not among them: it is the state of a payment. What is not listed here (a scope that is
missing, a database that is away, a broken invariant) is an error of the whole request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import ledger
from core.errors import CounterfoilError
from core.identifiers import encode
from core.money import Money
from payments import errors as payments
from payments.errors import FieldProblem
from resolvers.context import Context
from resolvers.views.payments import RoutingCandidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What every problem says."""

    code: str
    message: str
    retryable: bool
    correlation_id: str

    @property
    def docs(self) -> str:
        """Where the code is explained, on this server."""
        return f"/errors#{self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationProblem(Problem):
    """The input breaks a rule."""

    fields: Sequence[FieldProblem]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFoundProblem(Problem):
    """There is nothing of this id, or it is somebody else's: the same answer."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKeyReusedProblem(Problem):
    """The key was used with another input."""

    first_used_at: datetime
    differing_paths: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationInProgressProblem(Problem):
    """The first call with the key is still running. `resource_id` is what it is making."""

    retry_after_ms: int
    resource_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidStateProblem(Problem):
    """Not possible now."""

    current: str
    allowed: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountExceededProblem(Problem):
    """More than there is."""

    requested: Money
    available: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class InsufficientFundsProblem(Problem):
    """An account lacks funds. `account_path` names it."""

    account_path: str
    available: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class NoProviderAvailableProblem(Problem):
    """Nobody could take it."""

    candidates: Sequence[RoutingCandidate]
    retry_after_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedProblem(Problem):
    """The provider cannot do it."""

    capability: str
    provider: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionConflictProblem(Problem):
    """It changed meanwhile."""

    expected: int
    actual: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknownProblem(Problem):
    """An earlier operation is not certain yet."""

    operation_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRejectedProblem(Problem):
    """The risk rules refuse it; which rule stays in our records."""


Translation = tuple[type[Problem], str, Callable[[Any], Mapping[str, object]]]


def _resource(resource: tuple[str, UUID] | None) -> str | None:
    return None if resource is None else encode(*resource)


def _whole_input(error: CounterfoilError) -> Mapping[str, object]:
    return {"fields": (FieldProblem(("input",), error.code, error.message),)}


_PAYMENTS: Final[Mapping[type[CounterfoilError], Translation]] = {
    payments.ValidationFailed: (ValidationProblem, "VALIDATION", lambda e: {"fields": e.fields}),
    payments.NotFound: (NotFoundProblem, "NOT_FOUND", lambda e: {"id": e.id}),
    payments.IdempotencyKeyReused: (
        IdempotencyKeyReusedProblem,
        "IDEMPOTENCY_KEY_REUSED",
        lambda e: {"first_used_at": e.first_used_at, "differing_paths": e.differing_paths},
    ),
    payments.OperationInProgress: (
        OperationInProgressProblem,
        "OPERATION_IN_PROGRESS",
        lambda e: {"retry_after_ms": e.retry_after_ms, "resource_id": _resource(e.resource)},
    ),
    payments.InvalidState: (
        InvalidStateProblem,
        "INVALID_STATE",
        lambda e: {"current": e.current, "allowed": e.allowed},
    ),
    payments.AmountExceeded: (
        AmountExceededProblem,
        "AMOUNT_EXCEEDED",
        lambda e: {"requested": e.requested, "available": e.available},
    ),
    payments.InsufficientFunds: (
        InsufficientFundsProblem,
        "INSUFFICIENT_FUNDS",
        lambda e: {"account_path": e.account, "available": e.available},
    ),
    payments.NoProviderAvailable: (
        NoProviderAvailableProblem,
        "NO_PROVIDER_AVAILABLE",
        lambda e: {
            "candidates": [RoutingCandidate.from_json(line) for line in e.candidates],
            "retry_after_ms": e.retry_after_ms,
        },
    ),
    payments.Unsupported: (
        UnsupportedProblem,
        "UNSUPPORTED",
        lambda e: {"capability": e.capability, "provider": e.provider},
    ),
    payments.VersionConflict: (
        VersionConflictProblem,
        "VERSION_CONFLICT",
        lambda e: {"expected": e.expected, "actual": e.actual},
    ),
    payments.OutcomeUnknown: (
        OutcomeUnknownProblem,
        "OUTCOME_UNKNOWN",
        lambda e: {"operation_id": e.operation_id},
    ),
    payments.RiskRejected: (RiskRejectedProblem, "RISK_REJECTED", lambda _: {}),
}

_LEDGER: Final[Mapping[type[CounterfoilError], Translation]] = {
    ledger.InsufficientFunds: (
        InsufficientFundsProblem,
        "INSUFFICIENT_FUNDS",
        lambda e: {
            "account_path": e.facts["account"],
            "available": Money(e.facts["available"], e.facts["currency"]),
        },
    ),
    ledger.AccountFrozen: (
        InvalidStateProblem,
        "INVALID_STATE",
        lambda _: {"current": "FROZEN", "allowed": ("OPEN",)},
    ),
    ledger.BalanceLimitExceeded: (ValidationProblem, "VALIDATION", _whole_input),
    ledger.AmountOutOfRange: (ValidationProblem, "VALIDATION", _whole_input),
}

TRANSLATIONS: Final[Mapping[type[CounterfoilError], Translation]] = {**_PAYMENTS, **_LEDGER}
"""By the exact class of the error."""


def problem_of(error: CounterfoilError, context: Context) -> Problem:
    """The problem an error is shown as. Raises: the error itself, if it is not an expected one."""
    translation = TRANSLATIONS.get(type(error))
    if translation is None:
        raise error
    problem, code, facts = translation
    return problem(
        code=code,
        message=error.message,
        retryable=error.retryable,
        correlation_id=context.correlation_id,
        **facts(error),
    )
