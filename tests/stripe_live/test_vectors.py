"""The published signatures, byte for byte, at their own time: receiver, inbox, processor."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from core.clock import SystemClock
from core.database import Database
from core.identifiers import encode
from gateways.breaker import Breakers
from gateways.dispatcher import Dispatcher
from gateways.metrics import GatewayMetrics
from gateways.registry import make_registry
from gateways.store import NewProviderAccount, add
from gateways.stripe import StripeAdapter
from payments import PaymentServices
from tests.gateways.builders import a_client
from tests.payments.world import VAULT
from tests.stripe_live.vectors import OLD_SECRET, SECRET, STRICTER_THAN_THE_SDK, VECTORS
from webhooks.metrics import WebhookMetrics
from webhooks.processor import Processor
from webhooks.receiver import Receiver


class SetClock(SystemClock):
    """Shows what it was set to."""

    def __init__(self) -> None:
        self.shown = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.shown


@dataclass
class Door:
    """Two Stripe accounts of one tenant: with one secret, and while one is rotated."""

    database: Database
    tenant_id: int
    clock: SetClock
    receiver: Receiver
    processor: Processor
    accounts: dict[tuple[str, ...], UUID] = field(default_factory=dict)

    async def deliver(self, vector: dict[str, Any], *, account: UUID | None = None) -> int:
        """The status answered to a vector, at the vector's own time."""
        self.clock.shown = datetime.fromtimestamp(vector["now"], UTC)
        answer = await self.receiver.receive(
            encode("prv", account or self.accounts[tuple(vector["secrets"])]),
            {name.lower(): value for name, value in vector["header"].items()},
            {},
            vector["payload"].encode(),
            "vector",
        )
        return answer.status

    async def rows(self, query: str) -> list[Any]:
        async with self.database.unit_of_work(self.tenant_id) as tx:
            return list(await tx.fetch(query, self.tenant_id))

    async def inbox(self) -> list[tuple[str, str]]:
        found = await self.rows(
            "SELECT kind, status FROM inbound_webhook WHERE tenant_id = $1 ORDER BY kind, id"
        )
        return [(row["kind"], row["status"]) for row in found]

    async def work(self) -> None:
        await self.rows(
            """UPDATE inbound_webhook SET next_action_at = clock_timestamp(), lease_until = NULL
                WHERE tenant_id = $1 AND next_action_at IS NOT NULL"""
        )
        claims = await self.processor.claim(100)
        for claim in claims:
            if claim.tenant_id == self.tenant_id:
                await self.processor.advance(claim)


@pytest.fixture
async def door(database: Database, tenant_id: int) -> AsyncIterator[Door]:
    async with a_door(database, tenant_id) as made:
        with capture_logs():
            yield made


@asynccontextmanager
async def a_door(database: Database, tenant_id: int) -> AsyncIterator[Door]:
    clock, rng, metrics = SetClock(), random.Random(7), WebhookMetrics(CollectorRegistry())
    async with a_client() as client:
        dispatcher = Dispatcher(
            registry=make_registry([StripeAdapter()], []),
            client=client,
            breakers=Breakers(clock, rng),
            clock=clock,
            rng=rng,
            metrics=GatewayMetrics(CollectorRegistry()),
        )
        services = PaymentServices(
            database=database,
            dispatcher=dispatcher,
            vault=VAULT,
            public_url="https://pay.test",
            clock=clock,
            random=rng,
            risk_checks=(),
            lease_seconds=30,
        )
        receiver = Receiver(database, VAULT, dispatcher, clock, asyncio.Event(), metrics)
        door = Door(database, tenant_id, clock, receiver, Processor(services, rng, metrics))
        async with database.unit_of_work(tenant_id) as tx:
            for number, secrets in enumerate([(SECRET,), (SECRET, OLD_SECRET)]):
                account = NewProviderAccount(
                    name=f"stripe-{number}",
                    adapter="stripe",
                    base_url="https://psp.example",
                    secrets={"api_key": ["sk_test_1"], "webhook_secret": list(secrets)},
                )
                door.accounts[secrets] = await add(
                    tx, VAULT, tenant_id, account, StripeAdapter.manifest
                )
        yield door


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
async def test_a_published_signature_is_accepted_or_leaves_no_row(
    door: Door, vector: dict[str, Any]
) -> None:
    status = await door.deliver(vector)

    accepted = vector["expected"] == "valid" and vector["name"] != STRICTER_THAN_THE_SDK
    stale = vector["name"] in {STRICTER_THAN_THE_SDK, "invalid_too_old"}
    assert status == (200 if accepted else 400 if stale else 401)
    assert len(await door.inbox()) == accepted


async def test_the_published_deliveries_of_one_event_are_one_row_an_account(door: Door) -> None:
    """Five deliveries of one event to one account, one to another; two that say too little."""
    statuses = [await door.deliver(vector) for vector in VECTORS]

    assert (statuses.count(200), statuses.count(400), statuses.count(401)) == (7, 2, 8)
    assert await door.inbox() == [
        *[("payment_intent.succeeded", "RECEIVED")] * 2,
        *[("unparseable", "RECEIVED")] * 2,
    ]

    await door.work()
    assert await door.inbox() == [
        *[("payment_intent.succeeded", "DEFERRED")] * 2,
        *[("unparseable", "FAILED")] * 2,
    ]

    door.clock.shown += timedelta(hours=25)
    for _ in range(8):
        await door.work()
    assert {status for _, status in await door.inbox()} == {"DEAD"}
    found = await door.rows("SELECT kind, provider_ref FROM discrepancy WHERE tenant_id = $1")
    assert [(row["kind"], row["provider_ref"]) for row in found] == [
        ("ORPHAN_WEBHOOK", "pi_3SAMPLEord1001")
    ] * 2
    assert await door.rows("SELECT 1 FROM ledger_transaction WHERE tenant_id = $1") == []


async def test_while_a_secret_is_rotated_the_old_one_proves_at_that_account_only(
    door: Door,
) -> None:
    [vector] = [v for v in VECTORS if v["name"] == "valid_rotation_two_local_secrets"]

    assert await door.deliver(vector) == 200
    assert await door.deliver(vector, account=door.accounts[SECRET,]) == 401
