"""The composition root: every part of the product, made once from the settings and handed on."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import httpx
from prometheus_client import CollectorRegistry

from core.clock import SystemClock
from core.crypto import Vault
from core.database import Database, DatabaseSettings
from counterfoil.breaker_reports import BreakerReports
from counterfoil.figures import (
    WaitingMetrics,
    count_process,
    keep_measuring,
    keep_watching_loop,
)
from counterfoil.settings import Settings
from events import EventMetrics, Feed, Sequencer
from gateways.breaker import Breakers
from gateways.dispatcher import Dispatcher
from gateways.metrics import GatewayMetrics
from gateways.registry import Registry, make_registry
from gateways.simulator import SimulatorAdapter
from gateways.stripe import StripeAdapter
from gateways.wire import make_client
from payments import PaymentServices, RuleCheck
from webhooks.metrics import WebhookMetrics
from webhooks.processor import Processor
from webhooks.receiver import Receiver

STRANGER_ACQUIRE_SECONDS: Final = 0.5
REQUEST_ACQUIRE_SECONDS: Final = 30.0
REQUEST_LOCK_SECONDS: Final = 0.75
"""Refusing is cheapest at the door. Whoever got in is served, so that what was spent on him is not
wasted: the deadlines of the endpoint end it. For locks only what is begun waits longer."""
WEBHOOK_ACQUIRE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Databases:
    """Connections in compartments: who is overloaded takes none from the others."""

    requests: Database
    webhooks: Database
    background: Database

    def by_name(self) -> dict[str, Database]:
        return {"requests": self.requests, "webhooks": self.webhooks, "background": self.background}


@dataclass(frozen=True, slots=True)
class Product:
    """Everything one process works with.

    `payments` is for requests; `background` is the same over connections of its own, for workers.
    """

    settings: Settings
    database: Database
    payments: PaymentServices
    background: PaymentServices
    receiver: Receiver
    processor: Processor
    event_metrics: EventMetrics
    sequencer: Sequencer
    feed: Feed

    async def ask_database(self) -> None:
        """Raises unless the database answers. Too many requests do not make a process unready."""
        async with self.background.database.unit_of_work(None) as tx:
            await tx.execute("SELECT 1")


def built_in_adapters() -> Registry:
    """Our own adapters and those other packages bring. Raises: AdapterRefused."""
    return make_registry([SimulatorAdapter(), StripeAdapter()])


@asynccontextmanager
async def open_product(settings: Settings, metrics: CollectorRegistry) -> AsyncIterator[Product]:
    """Connect and wire; everything is closed at the end. Raises: DatabaseUnavailable."""
    async with (
        _open_databases(settings) as databases,
        make_client() as client,
        asyncio.TaskGroup() as tasks,
    ):
        reports = BreakerReports()
        product = _wire(settings, databases, client, metrics, reports)
        database = databases.background
        count_process(metrics, databases.by_name())
        waiting = WaitingMetrics(metrics)
        beside = [
            tasks.create_task(reports.write(database), name="breaker-reports"),
            tasks.create_task(product.feed.follow(), name="feed"),
            tasks.create_task(
                keep_measuring(database, product.event_metrics, waiting), name="figures"
            ),
            tasks.create_task(keep_watching_loop(metrics), name="loop-lag"),
        ]
        try:
            yield product
        finally:
            for task in beside:
                task.cancel()


@asynccontextmanager
async def _open_databases(settings: Settings) -> AsyncIterator[Databases]:
    """Raises: DatabaseUnavailable."""
    url = settings.app_database_url
    async with AsyncExitStack() as stack:

        async def opened(of: DatabaseSettings) -> Database:
            database = await Database.open(of)
            stack.push_async_callback(database.close)
            return database

        yield Databases(
            requests=await opened(
                DatabaseSettings(
                    url,
                    pool_size=settings.pool_size,
                    opened_at_once=settings.pool_size,
                    acquire_timeout_seconds=REQUEST_ACQUIRE_SECONDS,
                    stranger_timeout_seconds=STRANGER_ACQUIRE_SECONDS,
                    lock_timeout_seconds=REQUEST_LOCK_SECONDS,
                )
            ),
            webhooks=await opened(
                DatabaseSettings(
                    url,
                    pool_size=settings.webhook_pool_size,
                    acquire_timeout_seconds=WEBHOOK_ACQUIRE_SECONDS,
                    stranger_timeout_seconds=WEBHOOK_ACQUIRE_SECONDS,
                )
            ),
            background=await opened(DatabaseSettings(url, pool_size=settings.background_pool_size)),
        )


def _wire(
    settings: Settings,
    databases: Databases,
    client: httpx.AsyncClient,
    metrics: CollectorRegistry,
    reports: BreakerReports,
) -> Product:
    clock, rng = SystemClock(), random.SystemRandom()
    vault = Vault(settings.encryption_key_bytes)
    gateway_metrics = GatewayMetrics(metrics)
    dispatcher = Dispatcher(
        registry=built_in_adapters(),
        client=client,
        breakers=Breakers(clock, rng, [gateway_metrics.breaker_changed, reports.changed]),
        clock=clock,
        rng=rng,
        metrics=gateway_metrics,
        budget_seconds=settings.provider_call_budget_seconds,
    )
    payments = PaymentServices(
        database=databases.requests,
        dispatcher=dispatcher,
        vault=vault,
        public_url=settings.public_url,
        clock=clock,
        random=rng,
        risk_checks=(RuleCheck(),),
        lease_seconds=settings.lease_seconds,
    )
    callbacks = WebhookMetrics(metrics)
    background = replace(payments, database=databases.background)
    event_metrics, feed = EventMetrics(metrics), Feed(databases.background, rng)
    return Product(
        settings=settings,
        database=databases.requests,
        payments=payments,
        background=background,
        receiver=Receiver(
            database=databases.webhooks,
            vault=vault,
            dispatcher=dispatcher,
            clock=clock,
            arrived=asyncio.Event(),
            metrics=callbacks,
        ),
        processor=Processor(payments=background, random=rng, metrics=callbacks),
        event_metrics=event_metrics,
        sequencer=Sequencer(databases.background, rng, event_metrics, numbered=feed.look),
        feed=feed,
    )
