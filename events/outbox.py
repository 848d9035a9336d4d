"""The outbox: events written in the same unit of work as the change they tell of.

Rows wait there for the sequencer, which gives each a number after its commit; readers follow those
numbers, so nothing is notified from here.
"""

from collections.abc import Sequence
from typing import Any, Final

from core.database import Tx
from core.identifiers import new_id
from events.catalogue import Event

_COLUMNS: Final = "tenant_id, public_id, aggregate_type, aggregate_id, type, payload, headers"


def insert_from(parameter: str) -> str:
    """SQL that writes what `outbox_rows` gives, in its order; may be part of a larger statement."""
    return f"""
      INSERT INTO outbox ({_COLUMNS})
      SELECT {_COLUMNS} FROM jsonb_populate_recordset(NULL::outbox, {parameter}) WITH ORDINALITY
       ORDER BY ordinality
    """


def outbox_rows(tenant_id: int, events: Sequence[Event]) -> list[dict[str, Any]]:
    """What `insert_from` takes."""
    return [
        {
            "tenant_id": tenant_id,
            "public_id": str(new_id()),
            "aggregate_type": event.subject.value,
            "aggregate_id": str(event.subject_id),
            "type": event.type,
            "payload": event.fact.model_dump(mode="json"),
            "headers": _headers(event),
        }
        for event in events
    ]


async def append(tx: Tx, tenant_id: int, *events: Event) -> None:
    """Write events in one statement, in this order; the rows they are about are locked already."""
    if events:
        await tx.execute(insert_from("$1"), outbox_rows(tenant_id, events))


def _headers(event: Event) -> dict[str, str | None]:
    return {
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "occurred_at": event.occurred_at.isoformat(),
        "subject": event.subject_public_id,
    }
