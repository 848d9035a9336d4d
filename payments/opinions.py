"""What administrators said became of an operation and is not evidence yet.

Read and written under the lock on the payment. An opinion counts for a day of the database's clock,
and only while nothing has been learnt since it was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from core.database import Tx

LASTS_HOURS: Final = 24
APPROVALS_NEEDED: Final = 2


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one holder says. `evidence_count` is how many facts were known then."""

    id: UUID
    operation_id: UUID
    holder: str
    actor: str
    outcome: str
    provider_ref: str | None
    note: str
    evidence_count: int
    correlation_id: str

    def agrees_with(self, other: "Opinion") -> bool:
        """Whether both would have the same effect."""
        return (self.outcome, self.provider_ref) == (other.outcome, other.provider_ref)


async def standing(
    tx: Tx, tenant_id: int, operation_id: UUID, evidence_count: int
) -> Sequence[Opinion]:
    """The newest opinion of each holder, of those that count."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT ON (o.holder)
               o.id, o.operation_id, o.holder, o.actor, o.outcome, o.provider_ref, o.note,
               o.evidence_count, o.correlation_id
          FROM operator_opinion AS o
         WHERE o.tenant_id = $1 AND o.operation_id = $2 AND o.evidence_count = $3
           AND o.given_at > clock_timestamp() - make_interval(hours => $4)
         ORDER BY o.holder, o.id DESC
        """,
        tenant_id,
        operation_id,
        evidence_count,
        LASTS_HOURS,
    )
    return [Opinion(**dict(row)) for row in rows]


async def give(tx: Tx, tenant_id: int, opinion: Opinion) -> None:
    """Write one down."""
    await tx.execute(
        """
        INSERT INTO operator_opinion
          (tenant_id, id, operation_id, holder, actor, outcome, provider_ref, note, evidence_count,
           correlation_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        tenant_id,
        opinion.id,
        opinion.operation_id,
        opinion.holder,
        opinion.actor,
        opinion.outcome,
        opinion.provider_ref,
        opinion.note,
        opinion.evidence_count,
        opinion.correlation_id,
    )
