"""The outbox: events written in the same unit of work as the change they tell of.

Rows wait there for the sequencer, which gives each a number after its commit; readers follow those
numbers, so nothing is notified from here.
"""

from core.database import Tx
from core.identifiers import new_id
from events.catalogue import Event


async def append(tx: Tx, tenant_id: int, *events: Event) -> None:
    """Write events in one statement, in this order; the rows they are about are locked already."""
    if not events:
        return
    await tx.execute(
        """
        INSERT INTO outbox
          (tenant_id, public_id, aggregate_type, aggregate_id, type, payload, headers)
        SELECT $1, e.public_id, e.aggregate_type, e.aggregate_id, e.type, e.payload, e.headers
          FROM unnest($2::UUID[], $3::TEXT[], $4::UUID[], $5::TEXT[], $6::JSONB[], $7::JSONB[])
            WITH ORDINALITY
            AS e(public_id, aggregate_type, aggregate_id, type, payload, headers, position)
         ORDER BY e.position
        """,
        tenant_id,
        [new_id() for _ in events],
        [event.subject.value for event in events],
        [event.subject_id for event in events],
        [event.type for event in events],
        [event.fact.model_dump(mode="json") for event in events],
        [_headers(event) for event in events],
    )


def _headers(event: Event) -> dict[str, str | None]:
    return {
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "occurred_at": event.occurred_at.isoformat(),
        "subject": event.subject_public_id,
    }
