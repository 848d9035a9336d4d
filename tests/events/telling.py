"""Events to write, and how they lie in the outbox."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

from core.database import Database, Session
from core.identifiers import encode, new_id
from events import Event, Subject, append
from events.catalogue import Amount, PaymentFact

WAIT_SECONDS = 30.0


def an_event(
    type: str = "payment.captured.v1", *, id: UUID | None = None, version: int = 2
) -> Event:
    """An event about a payment, a new one unless its bare id is given."""
    id = id or new_id()
    fact = PaymentFact(
        payment_id=encode("pay", id),
        reference=None,
        status="CAPTURED",
        version=version,
        amount=Amount(amount_minor="1000", currency="EUR"),
        amount_captured=Amount(amount_minor="1000", currency="EUR"),
        amount_refunded=Amount(amount_minor="0", currency="EUR"),
    )
    return Event(
        type,
        Subject.PAYMENT,
        id,
        fact,
        "key:test",
        "request",
        datetime.now(UTC),  # noqa: TID251 - any instant
    )


async def tell(database: Database, tenant_id: int, *events: Event) -> None:
    """Write events in a unit of work of their own."""
    async with database.unit_of_work(tenant_id) as tx:
        await append(tx, tenant_id, *events)


async def number(session: Session, limit: int = 500) -> int:
    """One pass of a sequencer."""
    given: int = await session.fetchval("SELECT sequence_outbox($1)", limit)
    return given


async def sequences(database: Database, tenant_id: int) -> dict[int | None, tuple[UUID, int]]:
    """Aggregate and version by sequence, in the order of sequences."""
    async with database.unit_of_work(tenant_id) as tx:
        rows = await tx.fetch(
            "SELECT sequence, aggregate_id, (payload ->> 'version')::INT AS version"
            "  FROM outbox ORDER BY sequence"
        )
    return {row["sequence"]: (row["aggregate_id"], row["version"]) for row in rows}


async def waiting(database: Database) -> int:
    """How many events have no sequence yet, in the whole database."""
    async with database.unit_of_work(None) as tx:
        found: int = await tx.fetchval("SELECT waiting FROM measure_outbox()")
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, and not for ever."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():  # noqa: ASYNC110 - other processes tell us of no event
            await asyncio.sleep(0.01)
