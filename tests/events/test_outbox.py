"""Events: valid when made, written in order with the change they tell of."""

import pytest
from pydantic import ValidationError

from core.database import Database
from core.identifiers import encode
from events import append
from events.catalogue import DiscrepancyFact
from tests.events.telling import an_event


async def test_events_are_written_in_order_with_their_change(
    database: Database, tenant_id: int
) -> None:
    events = [an_event() for _ in range(5)]
    async with database.unit_of_work(tenant_id) as tx:
        await append(tx, tenant_id, *events)
        await append(tx, tenant_id)

    async with database.unit_of_work(tenant_id) as tx:
        rows = await tx.fetch("SELECT * FROM outbox ORDER BY id")
    assert [row["aggregate_id"] for row in rows] == [event.subject_id for event in events]
    assert rows[0]["payload"]["amount"] == {"amount_minor": "1000", "currency": "EUR"}
    assert rows[0]["headers"]["subject"] == encode("pay", events[0].subject_id)
    assert rows[0]["sequence"] is None


async def test_what_is_rolled_back_is_never_told(database: Database, tenant_id: int) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.unit_of_work(tenant_id) as tx:
            await append(tx, tenant_id, an_event())
            raise ZeroDivisionError

    async with database.unit_of_work(tenant_id) as tx:
        assert await tx.fetchval("SELECT count(*) FROM outbox") == 0


def test_an_event_of_no_contract_cannot_be_made() -> None:
    with pytest.raises(AssertionError):
        an_event("payment.dreamt_of.v1")
    with pytest.raises(ValidationError):
        DiscrepancyFact.model_validate({"discrepancy_id": "dis_1", "kind": "X", "secret": "y"})
