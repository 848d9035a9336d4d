"""A tenant with two simulator accounts, and short ways to say what happens to it."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from core.claims import ClaimLoop
from core.clock import SystemClock
from core.crypto import Vault
from core.database import Database
from core.identifiers import encode, new_id
from core.money import Money
from gateways.breaker import Breakers
from gateways.dispatcher import Dispatcher
from gateways.metrics import GatewayMetrics
from gateways.port import ProviderEvent
from gateways.registry import make_registry
from gateways.simulator import SimulatorAdapter
from gateways.store import NewProviderAccount, add
from ledger import AccountRef, Direction, Leg, Posting, post
from payments import (
    Actor,
    CancelPayment,
    CaptureMode,
    CapturePayment,
    ConfirmPayment,
    CreatePayment,
    CreateRefund,
    Difference,
    Fact,
    Method,
    PaymentServices,
    PaymentWork,
    RuleCheck,
    SyncPayment,
    cancel,
    capture,
    conclude,
    confirm,
    create,
    find_operation,
    reading,
    record_external,
    refund,
    sync,
    verify,
)
from payments.model import Aggregate, OperationKind
from tests.gateways.builders import a_client
from tests.simulator.process import Merchant, SimulatorProcess

PUBLIC_URL = "https://pay.test"
VAULT = Vault(bytes(range(32)))
_keys = itertools.count(1)


def a_key() -> str:
    return f"test-key-{next(_keys)}"


class MovingClock(SystemClock):
    """The machine's clock, set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class World:
    """Everything one test works with."""

    database: Database
    services: PaymentServices
    tenant_id: int
    accounts: list[UUID]
    merchants: list[Merchant]
    clock: MovingClock
    scope: str = "server"
    correlation: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def actor(self) -> Actor:
        name = f"request-{next(self.correlation)}"
        return Actor(self.tenant_id, "key:test", self.scope, name)

    @property
    def simulator(self) -> SimulatorProcess:
        return self.merchants[0].simulator

    # ---- what a shop does

    async def pay(
        self, token: str | None = "tok_success", amount: int = 1000, **changes: Any
    ) -> UUID:
        command = a_payment(token, amount, **changes)
        return (await create(command, self.actor, self.services)).payment_id

    async def authorize(self, amount: int = 1000, **changes: Any) -> UUID:
        return await self.pay(amount=amount, capture_mode=CaptureMode.MANUAL, **changes)

    async def confirm(self, payment_id: UUID, token: str | None = None, key: str = "") -> UUID:
        method = Method(token) if token else None
        input = {"paymentId": str(payment_id), "token": token}
        command = ConfirmPayment(key or a_key(), input, payment_id, method)
        return (await confirm(command, self.actor, self.services)).payment_id

    async def capture(
        self, payment_id: UUID, amount: int | None = None, *, final: bool = True, key: str = ""
    ) -> None:
        input = {"paymentId": str(payment_id), "amount": amount, "final": final}
        money = None if amount is None else Money(amount, "EUR")
        command = CapturePayment(key or a_key(), input, payment_id, money, final)
        await capture(command, self.actor, self.services)

    async def cancel(self, payment_id: UUID, key: str = "") -> None:
        command = CancelPayment(key or a_key(), {"paymentId": str(payment_id)}, payment_id)
        await cancel(command, self.actor, self.services)

    async def refund(self, payment_id: UUID, amount: int | None = None, key: str = "") -> UUID:
        input = {"paymentId": str(payment_id), "amount": amount}
        money = None if amount is None else Money(amount, "EUR")
        command = CreateRefund(key or a_key(), input, payment_id, money)
        return (await refund(command, self.actor, self.services)).refund_id

    async def sync(self, payment_id: UUID) -> None:
        await sync(SyncPayment(payment_id), self.actor, self.services)

    async def authorize_then_refuse_capture(self) -> UUID:
        """A capture that could not be sent: CREATED, waiting for the worker."""
        self.simulator.client.delete("/_faults")
        payment_id = await self.authorize()
        self.simulator.fault("refuse")
        await self.capture(payment_id)
        return payment_id

    # ---- what happens by itself

    async def work(self) -> int:
        """One round of the worker over everything that is due."""
        loop = ClaimLoop("operations", PaymentWork(self.services), random.Random(1))
        return await loop.run_once()

    async def make_due(self, payment_id: UUID) -> None:
        """Let time pass for the operations of a payment: leases end, schedules come due."""
        async with self.database.unit_of_work(self.tenant_id) as tx:
            await tx.execute(
                """UPDATE provider_operation
                      SET lease_until = clock_timestamp() - INTERVAL '1 second',
                          next_action_at = clock_timestamp() - INTERVAL '1 second'
                    WHERE tenant_id = $1 AND payment_id = $2 AND next_action_at IS NOT NULL""",
                self.tenant_id,
                payment_id,
            )

    async def later(self, payment_id: UUID, rounds: int = 1, seconds: int = 10) -> None:
        """Time passes, the worker works."""
        for _ in range(rounds):
            self.clock.ahead += timedelta(seconds=seconds)
            await self.make_due(payment_id)
            await self.work()

    async def somebody_waits_for_a_lock(self) -> None:
        """Return once a statement stands at a lock that another one holds."""
        waiting = """SELECT 1 FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
                      WHERE NOT l.granted AND a.datname = current_database()"""
        while not await self.rows(waiting):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)

    async def tell(self, operation_id: UUID, *facts: Fact) -> Aggregate:
        """Facts about an operation, each in a unit of work of its own."""
        for fact in facts:

            async def work(tx: Any, fact: Fact = fact) -> Aggregate:
                return await conclude(tx, self.services, self.tenant_id, operation_id, [fact])

            told = await self.database.run(self.tenant_id, work)
        return told

    async def callback(self, event: ProviderEvent, account: int = 0) -> UUID | None:
        """What the processor of callbacks does with one event."""

        async def work(tx: Any) -> UUID | None:
            account_id = self.accounts[account]
            found = await find_operation(tx, self.tenant_id, account_id, event)
            if found is None:
                found = await record_external(
                    tx, self.services, self.tenant_id, account_id, event, "callback"
                )
            if found is None or event.outcome is None:
                return None
            fact = Fact(
                "WEBHOOK",
                event.outcome,
                f"webhook:{event.event_id}",
                event.occurred_at,
                event.event_id,
            )
            await conclude(tx, self.services, self.tenant_id, found, [fact])
            return found

        return await self.database.run(self.tenant_id, work)

    # ---- what can be seen

    async def see(self, payment_id: UUID) -> Aggregate:
        async with self.database.unit_of_work(self.tenant_id) as tx:
            seen = await reading.read(tx, self.tenant_id, payment_id)
        assert seen is not None
        return seen

    async def operation(self, payment_id: UUID, kind: str = "SALE") -> Any:
        seen = await self.see(payment_id)
        return [o for o in seen.operations if o.kind is OperationKind(kind)][-1]

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        async with self.database.unit_of_work(self.tenant_id) as tx:
            return list(await tx.fetch(sql, *arguments))

    async def balance(self, path: str, currency: str = "EUR") -> tuple[int, int]:
        """Posted and pending: debits minus credits."""
        rows = await self.rows(
            """SELECT b.debits_posted - b.credits_posted AS posted,
                      b.debits_pending - b.credits_pending AS pending
                 FROM account AS a JOIN account_balance AS b
                   ON b.tenant_id = a.tenant_id AND b.account_id = a.id
                WHERE a.tenant_id = $1 AND a.path = $2 AND a.currency = $3""",
            self.tenant_id,
            path,
            currency,
        )
        return (rows[0]["posted"], rows[0]["pending"]) if rows else (0, 0)

    async def events(self, payment_id: UUID) -> list[str]:
        rows = await self.rows(
            """SELECT type FROM outbox WHERE tenant_id = $1
                  AND (aggregate_id = $2 OR payload ->> 'payment_id' = $3) ORDER BY id""",
            self.tenant_id,
            payment_id,
            encode("pay", payment_id),
        )
        return [row["type"].removesuffix(".v1") for row in rows]

    async def discrepancies(self) -> list[str]:
        rows = await self.rows("SELECT kind FROM discrepancy WHERE tenant_id = $1", self.tenant_id)
        return sorted(row["kind"] for row in rows)

    def effects(self) -> list[tuple[str, int]]:
        """What the provider really did, over both accounts."""
        return [
            (effect["kind"], effect["amount"])
            for merchant in self.merchants
            for effect in merchant.effects()
        ]

    async def check(self) -> None:
        """Whatever happened: the evidence and the columns agree, and so do both books."""
        differences = [
            found
            async for found in verify(self.database, self.tenant_id)
            if isinstance(found, Difference)
        ]
        assert differences == []
        rows = await self.rows(
            """SELECT sum(debits_posted) - sum(credits_posted) AS posted,
                      sum(debits_pending) - sum(credits_pending) AS pending
                 FROM account_balance WHERE tenant_id = $1""",
            self.tenant_id,
        )
        assert (rows[0]["posted"] or 0, rows[0]["pending"] or 0) == (0, 0)
        await self._check_keys()
        for merchant in self.merchants:
            posted, _ = await self.balance(f"psp:{merchant.name}:clearing")
            assert posted == sum(map(_clearing, merchant.effects())), merchant.name

    async def _check_keys(self) -> None:
        """Each operation reached the provider under its own key, and as what it is."""
        rows = await self.rows(
            """SELECT o.id, o.idempotency_key, o.kind, o.amount, o.parent_ref
                 FROM provider_operation AS o WHERE o.tenant_id = $1""",
            self.tenant_id,
        )
        ours = {encode("op", row["id"]): row for row in rows}
        kinds = {"SALE": "charge", "AUTHORIZE": "authorization"}
        made = [
            effect
            for merchant in self.merchants
            for effect in merchant.effects()
            if effect["reference"] and effect["kind"] != "refund_failed"
        ]
        for effect in made:
            row = ours[effect["reference"]]
            assert effect["idempotency_key"] in (row["idempotency_key"], None)
            assert effect["kind"] == kinds.get(row["kind"], row["kind"].lower())
            assert row["kind"] == "SALE" or row["parent_ref"] in (effect["payment"], None)
        references = [effect["reference"] for effect in made]
        assert len(set(references)) == len(references), "one effect for one operation"


def _clearing(effect: dict[str, Any]) -> int:
    """What an effect at the provider does to our clearing account."""
    match effect["kind"]:
        case "charge" | "capture":
            return int(effect["amount"]) - int(effect["fee"])
        case "refund":
            return -int(effect["amount"])
        case "refund_failed":
            return int(effect["amount"])
        case _:
            return 0


def a_payment(
    token: str | None = "tok_success", amount: int = 1000, **changes: Any
) -> CreatePayment:
    """PaymentCreate of 10.00 EUR."""
    key = changes.pop("key", None) or a_key()
    shown = {name: str(value) for name, value in sorted(changes.items())}
    input = {"amount": amount, "token": token, **shown}
    return replace(
        CreatePayment(
            idempotency_key=key,
            canonical_input=input,
            amount=Money(amount, "EUR"),
            method=Method(token) if token else None,
        ),
        **changes,
    )


@asynccontextmanager
async def some_services(
    database: Database, clock: SystemClock | None = None, budget_seconds: float = 3.0
) -> AsyncIterator[PaymentServices]:
    """Services as the product wires them, with the simulator as the only adapter."""
    clock, rng = clock or SystemClock(), random.Random(7)
    async with a_client() as client:
        dispatcher = Dispatcher(
            registry=make_registry([SimulatorAdapter()], []),
            client=client,
            breakers=Breakers(clock, rng),
            clock=clock,
            rng=rng,
            metrics=GatewayMetrics(CollectorRegistry()),
            budget_seconds=budget_seconds,
        )
        yield PaymentServices(
            database=database,
            dispatcher=dispatcher,
            vault=VAULT,
            public_url=PUBLIC_URL,
            clock=clock,
            random=rng,
            risk_checks=(RuleCheck(),),
            lease_seconds=budget_seconds + 2,
        )


@asynccontextmanager
async def a_world(
    database: Database, tenant_id: int, simulator: SimulatorProcess
) -> AsyncIterator[World]:
    """A tenant with two accounts at the simulator, the first one preferred."""
    clock = MovingClock()
    merchants = [simulator.merchant(), simulator.merchant()]
    accounts = []
    async with database.unit_of_work(tenant_id) as tx:
        for priority, merchant in enumerate(merchants):
            accounts.append(await add(tx, VAULT, tenant_id, _account(merchant, priority), _KNOWN))
    async with some_services(database, clock) as services:
        yield World(database, services, tenant_id, accounts, merchants, clock)


_KNOWN = SimulatorAdapter.manifest


def _account(merchant: Merchant, priority: int) -> NewProviderAccount:
    return NewProviderAccount(
        name=merchant.name,
        adapter="simulator",
        base_url=merchant.simulator.url,
        secrets={
            "secret_key": [merchant.secret_key],
            "webhook_secret": [merchant.webhook_secret],
        },
        priority=priority,
    )


async def move(world: World, debit: str, credit: str, amount: int) -> None:
    """Move money in the books, as another part of the product would."""
    legs = (
        Leg(AccountRef(debit, "EUR"), Direction.DEBIT, amount),
        Leg(AccountRef(credit, "EUR"), Direction.CREDIT, amount),
    )
    key = f"test:{new_id()}"
    posting = Posting(key, "test@1", legs, "test", world.clock.now(), "test")
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await post(tx, world.tenant_id, [posting])


def at(seconds: float = 0) -> datetime:
    """An instant of the past."""
    return datetime(2026, 3, 1, 10, 0, tzinfo=UTC) + timedelta(seconds=seconds)
