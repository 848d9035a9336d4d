"""Undoing a transaction: the same posted legs on the other side, once."""

from datetime import datetime
from typing import Final
from uuid import UUID

from core.database import Tx
from ledger.errors import NotReversible
from ledger.types import AccountRef, Direction, Leg, Posting

_LEGS: Final = """
SELECT a.path, e.currency, e.direction, e.amount,
       t.payment_id, t.refund_id, t.operation_id, t.provider_account_id
  FROM ledger_transaction AS t
  JOIN entry AS e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.layer = 0
  JOIN account AS a ON a.tenant_id = e.tenant_id AND a.id = e.account_id
 WHERE t.tenant_id = $1 AND t.public_id = $2
 ORDER BY e.leg_no
"""


async def reversal_of(
    tx: Tx,
    tenant_id: int,
    transaction_id: UUID,
    *,
    effective_at: datetime,
    correlation_id: str,
    created_by: str,
    reason: str,
) -> Posting:
    """The posting that undoes a transaction; give it to `post`.

    A hold the transaction settled stays settled. Whether it was reversed already, or is itself a
    reversal, is decided when it is posted. Raises: NotReversible (no such transaction, or only
    pending legs: settle the hold instead).
    """
    rows = await tx.fetch(_LEGS, tenant_id, transaction_id)
    if not rows:
        raise NotReversible(transaction_id=str(transaction_id))
    legs = tuple(
        Leg(
            AccountRef(row["path"], row["currency"]),
            Direction(row["direction"]).opposite,
            row["amount"],
        )
        for row in rows
    )
    first = rows[0]
    return Posting(
        key=f"reversal@1:{transaction_id}",
        recipe="reversal@1",
        legs=legs,
        correlation_id=correlation_id,
        effective_at=effective_at,
        created_by=created_by,
        payment_id=first["payment_id"],
        refund_id=first["refund_id"],
        operation_id=first["operation_id"],
        provider_account_id=first["provider_account_id"],
        description=reason,
        reverses=transaction_id,
    )
