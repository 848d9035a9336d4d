"""Rules of payments a caller can break, one class each; the API shows every one as data.

    Rejected     ValidationFailed, NotFound, IdempotencyKeyReused, InvalidState, AmountExceeded,
                 InsufficientFunds, Unsupported, OutcomeUnknown, RiskRejected
    Conflict     VersionConflict
    Unavailable  OperationInProgress, NoProviderAvailable

A decline is none of them: the payment comes back and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.errors import Conflict, Rejected, Unavailable
from core.money import Money


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of the input; `path` starts at the input."""

    path: tuple[str, ...]
    code: str
    message: str


class ValidationFailed(Rejected):
    """The input breaks a rule."""

    code = "VALIDATION"

    def __init__(self, *fields: FieldProblem) -> None:
        self.fields = fields
        super().__init__(fields=[".".join(field.path) for field in fields])


class NotFound(Rejected):
    """There is no such thing here."""

    code = "NOT_FOUND"

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(id=id)


class IdempotencyKeyReused(Rejected):
    """The idempotency key was used before with another input."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, first_used_at: datetime, differing_paths: Sequence[str]) -> None:
        self.first_used_at = first_used_at
        self.differing_paths = tuple(differing_paths)
        super().__init__(differing_paths=self.differing_paths)


class OperationInProgress(Unavailable):
    """The first request with this key is still running; send the same request again."""

    code = "OPERATION_IN_PROGRESS"

    def __init__(self, retry_after_ms: int, resource: tuple[str, UUID] | None) -> None:
        self.retry_after_ms = retry_after_ms
        self.resource = resource
        """Prefix ("pay", "ref") and id of what the first request is making."""
        super().__init__(retry_after_seconds=retry_after_ms / 1000, resource=resource)


class InvalidState(Rejected):
    """Not possible in the current state."""

    code = "INVALID_STATE"

    def __init__(self, current: str, allowed: Sequence[str]) -> None:
        self.current = current
        self.allowed = tuple(allowed)
        """The states in which it is possible."""
        super().__init__(current=current, allowed=self.allowed)


class AmountExceeded(Rejected):
    """More is asked for than is left."""

    code = "AMOUNT_EXCEEDED"

    def __init__(self, requested: Money, available: Money) -> None:
        self.requested = requested
        self.available = available
        super().__init__(requested=str(requested), available=str(available))


class InsufficientFunds(Rejected):
    """The account does not hold enough."""

    code = "INSUFFICIENT_FUNDS"

    def __init__(self, account: str, available: Money) -> None:
        self.account = account
        """Ledger path of the account that lacks funds."""
        self.available = available
        super().__init__(account=account, available=str(available))


class NoProviderAvailable(Unavailable):
    """No provider could take it; nothing was sent."""

    code = "NO_PROVIDER_AVAILABLE"

    def __init__(
        self, candidates: Sequence[Mapping[str, object]], retry_after_ms: int | None = None
    ) -> None:
        self.candidates = tuple(candidates)
        """As in the routing decision: provider_account_id, rank, verdict, reason."""
        self.retry_after_ms = retry_after_ms
        super().__init__(
            retry_after_seconds=1.0 if retry_after_ms is None else retry_after_ms / 1000,
            candidates=len(self.candidates),
        )


class Unsupported(Rejected):
    """The provider cannot do this."""

    code = "UNSUPPORTED"

    def __init__(self, capability: str, provider: str | None) -> None:
        self.capability = capability
        self.provider = provider
        super().__init__(capability=capability, provider=provider)


class VersionConflict(Conflict):
    """The payment changed since it was read."""

    code = "VERSION_CONFLICT"

    def __init__(self, expected: int, actual: int) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(expected=expected, actual=actual)


class OutcomeUnknown(Rejected):
    """An earlier operation has an unknown outcome; a new one could move money twice."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self, operation_id: UUID) -> None:
        self.operation_id = operation_id
        super().__init__(operation_id=operation_id)


class RiskRejected(Rejected):
    """Refused by the risk check."""

    code = "RISK_REJECTED"

    def __init__(self, rule: str) -> None:
        self.rule = rule
        """Which rule; for the records, not for the shopper."""
        super().__init__(rule=rule)
