"""Receiver and processor around a tenant, and short ways to have callbacks come in."""

import asyncio
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from core.claims import Claim
from core.identifiers import encode, new_id
from gateways.dispatcher import Dispatcher
from gateways.metrics import GatewayMetrics
from gateways.port import CallbackRequest, ProviderEvent
from gateways.registry import make_registry
from gateways.simulator import SimulatorAdapter
from simulator.deliveries import sign
from tests.payments.world import VAULT, World
from webhooks.metrics import WebhookMetrics
from webhooks.processor import Processor
from webhooks.receiver import Answer, Receiver

Row = Mapping[str, Any]
_numbers = itertools.count(1)


class ScriptedAdapter(SimulatorAdapter):
    """The simulator's, which also reads `{"batch": [event, …]}`, and breaks when told to."""

    def __init__(self) -> None:
        self.breaks_reading: Exception | None = None
        self.breaks_proving: Exception | None = None

    def verify_webhook(self, request: CallbackRequest, secrets: Sequence[str]) -> None:
        if self.breaks_proving is not None:
            raise self.breaks_proving
        super().verify_webhook(request, secrets)

    def parse_webhook(self, request: CallbackRequest) -> list[ProviderEvent]:
        if self.breaks_reading is not None:
            raise self.breaks_reading
        document = json.loads(request.body) if request.body.startswith(b'{"batch"') else None
        if document is None:
            return super().parse_webhook(request)
        bodies = [json.dumps(event).encode() for event in document["batch"]]
        return [
            event
            for body in bodies
            for event in SimulatorAdapter.parse_webhook(self, replace(request, body=body))
        ]


def an_event(type: str = "payment.pinged", **changes: Any) -> dict[str, Any]:
    """One event; unless told otherwise of a kind nobody acts on."""
    data = changes.pop("data", {})
    base = {"id": f"evt_{new_id()}", "type": type, "created": "2026-03-01T12:00:05.000Z"}
    return {**base, "data": data, **changes}


def a_sale(ref: str, operation_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """A payment of 10.00 EUR that was captured."""
    document = {
        "object": "payment",
        "id": ref,
        "reference": operation_id,
        "status": "captured",
        "amount": 1000,
        "amount_authorized": 1000,
        "currency": "EUR",
        "fee": 59,
        "capture": True,
        "next_action": None,
        "decline": None,
        "created": "2026-03-01T12:00:00.000Z",
        "updated": "2026-03-01T12:00:01.000Z",
        **changes,
    }
    return an_event("payment.captured", data=document)


def a_movement(kind: str, payment_ref: str, **changes: Any) -> dict[str, Any]:
    """A capture or refund of 10.00 EUR that was done."""
    id = changes.pop("event_id", f"evt_{new_id()}")
    document = {
        "object": kind,
        "id": f"sx_{next(_numbers)}",
        "payment": payment_ref,
        "reference": None,
        "status": "succeeded",
        "amount": 1000,
        "currency": "EUR",
        "fee": 0,
        "reason": None,
        "created": "2026-03-01T12:00:00.000Z",
        **changes,
    }
    return an_event(f"{kind}.succeeded", data=document, id=id)


@dataclass
class Desk:
    """Where callbacks of one tenant arrive and are worked through."""

    world: World
    adapter: ScriptedAdapter
    receiver: Receiver
    processor: Processor
    registry: CollectorRegistry = field(repr=False)

    # ---- what a provider does

    async def deliver(
        self,
        event: object,
        *,
        account: int = 0,
        secret: str | None = None,
        seconds: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A callback signed now (or `seconds` later), as the account's provider would sign it."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if secret is None:
            secret = self.world.merchants[account].webhook_secret
        at = int(self.world.clock.now().timestamp()) + seconds
        sent = {"simulator-signature": sign(secret, body, at), **(headers or {})}
        return await self.post(self.account_id(account), sent, body)

    async def post(self, account_id: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return await self.receiver.receive(account_id, headers, {}, body, "callback-1")

    def account_id(self, account: int = 0) -> str:
        return encode("prv", self.world.accounts[account])

    # ---- what happens by itself

    async def claim(self) -> list[Claim]:
        """The due callbacks of this tenant; others in this database belong to other tests."""
        claims = await self.processor.claim(100)
        return [claim for claim in claims if claim.tenant_id == self.world.tenant_id]

    async def work(self, rounds: int = 1) -> None:
        """What waits comes due, and is worked on."""
        for _ in range(rounds):
            await self.make_due()
            await asyncio.gather(*(self.processor.advance(claim) for claim in await self.claim()))

    async def make_due(self) -> None:
        async with self.world.database.unit_of_work(self.world.tenant_id) as tx:
            await tx.execute(
                """UPDATE inbound_webhook
                      SET next_action_at = clock_timestamp(), lease_until = NULL
                    WHERE tenant_id = $1 AND next_action_at IS NOT NULL""",
                self.world.tenant_id,
            )

    async def pass_hours(self, hours: float) -> None:
        self.world.clock.ahead += timedelta(hours=hours)

    # ---- what can be seen

    async def inbox(self) -> list[Row]:
        return await self.world.rows(
            "SELECT * FROM inbound_webhook WHERE tenant_id = $1 ORDER BY id", self.world.tenant_id
        )

    async def only(self) -> Row:
        [row] = await self.inbox()
        return row

    async def statuses(self) -> list[str]:
        return [row["status"] for row in await self.inbox()]

    async def transactions(self) -> list[str]:
        """Recipes posted so far."""
        rows = await self.world.rows(
            "SELECT recipe FROM ledger_transaction WHERE tenant_id = $1 ORDER BY id",
            self.world.tenant_id,
        )
        return [row["recipe"].partition("@")[0] for row in rows]

    def counted(self, answer: str, adapter: str = "simulator") -> float:
        labels = {"adapter": adapter, "answer": answer}
        name = "counterfoil_webhooks_received_total"
        return self.registry.get_sample_value(name, labels) or 0.0


def a_desk(world: World) -> Desk:
    adapter, registry = ScriptedAdapter(), CollectorRegistry()
    known = world.services.dispatcher
    dispatcher = Dispatcher(
        registry=make_registry([adapter], []),
        client=known.client,
        breakers=known.breakers,
        clock=world.clock,
        rng=random.Random(7),
        metrics=GatewayMetrics(CollectorRegistry()),
        budget_seconds=known.budget_seconds,
    )
    metrics = WebhookMetrics(registry)
    receiver = Receiver(world.database, VAULT, dispatcher, world.clock, asyncio.Event(), metrics)
    services = replace(world.services, dispatcher=dispatcher)
    processor = Processor(services, random.Random(7), metrics)
    return Desk(world, adapter, receiver, processor, registry)
