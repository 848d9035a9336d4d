"""The audit log: written in the same unit of work as the act it tells of."""

from collections.abc import Mapping

from core.database import Tx
from core.identifiers import new_id


async def record(
    tx: Tx,
    tenant_id: int,
    *,
    actor: str,
    action: str,
    correlation_id: str,
    subject: str | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    refused: bool = False,
) -> None:
    """Append one line. `before` and `after` hold what changed and never a secret."""
    await tx.execute(
        """INSERT INTO audit_log
             (tenant_id, id, actor, action, subject, before, after, refused, correlation_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        tenant_id,
        new_id(),
        actor,
        action,
        subject,
        before,
        after,
        refused,
        correlation_id,
    )
