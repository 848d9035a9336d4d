"""Something that does not add up: written down once, told to the world, left to a person."""

from dataclasses import dataclass
from uuid import UUID

from core.database import Tx
from core.identifiers import new_id


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """`kind` and `subject_key` together are unique: the same finding again is no news.

    `expected` and `actual` are minor units of `currency`.
    """

    kind: str
    subject_key: str
    note: str
    payment_id: UUID | None = None
    refund_id: UUID | None = None
    operation_id: UUID | None = None
    provider_account_id: UUID | None = None
    provider_ref: str | None = None
    expected: int | None = None
    actual: int | None = None
    currency: str | None = None


async def insert(tx: Tx, tenant_id: int, discrepancy: Discrepancy) -> UUID | None:
    """Write it down; None if it was found before."""
    id: UUID | None = await tx.fetchval(
        """
        INSERT INTO discrepancy
          (tenant_id, id, kind, subject_key, note, payment_id, refund_id, operation_id,
           provider_account_id, provider_ref, expected, actual, currency)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT ON CONSTRAINT discrepancy_subject_unique DO NOTHING
        RETURNING id
        """,
        tenant_id,
        new_id(),
        discrepancy.kind,
        discrepancy.subject_key,
        discrepancy.note,
        discrepancy.payment_id,
        discrepancy.refund_id,
        discrepancy.operation_id,
        discrepancy.provider_account_id,
        discrepancy.provider_ref,
        discrepancy.expected,
        discrepancy.actual,
        discrepancy.currency,
    )
    return id
