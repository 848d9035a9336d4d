"""The composition root: every part of the product, made once from the settings and handed on."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from prometheus_client import CollectorRegistry

from core.clock import SystemClock
from core.crypto import Vault
from core.database import Database, DatabaseSettings
from counterfoil.breaker_reports import BreakerReports
from counterfoil.figures import WaitingMetrics, count_process, keep_watching_loop
from counterfoil.figures import keep_measuring as keep_measuring_work
from counterfoil.settings import Settings
from events import EventMetrics, Feed, Sequencer, keep_measuring
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


@dataclass(frozen=True, slots=True)
class Product:
    """Everything one process works with."""

    settings: Settings
    database: Database
    payments: PaymentServices
    receiver: Receiver
    processor: Processor
    event_metrics: EventMetrics
    sequencer: Sequencer
    feed: Feed

    async def ask_database(self) -> None:
        """Raises unless the database answers."""
        async with self.database.unit_of_work(None) as tx:
            await tx.execute("SELECT 1")


def built_in_adapters() -> Registry:
    """Our own adapters and those other packages bring. Raises: AdapterRefused."""
    return make_registry([SimulatorAdapter(), StripeAdapter()])


@asynccontextmanager
async def open_product(settings: Settings, metrics: CollectorRegistry) -> AsyncIterator[Product]:
    """Connect and wire; everything is closed at the end. Raises: DatabaseUnavailable."""
    database = await Database.open(
        DatabaseSettings(settings.app_database_url, pool_size=settings.pool_size)
    )
    try:
        async with make_client() as client, asyncio.TaskGroup() as tasks:
            reports = BreakerReports()
            count_process(metrics, database)
            waiting = WaitingMetrics(metrics)
            product = _wire(settings, database, client, metrics, reports)
            beside = [
                tasks.create_task(reports.write(database), name="breaker-reports"),
                tasks.create_task(keep_measuring(database, product.event_metrics), name="lag"),
                tasks.create_task(product.feed.follow(), name="feed"),
                tasks.create_task(keep_measuring_work(database, waiting), name="figures"),
                tasks.create_task(keep_watching_loop(metrics), name="loop-lag"),
            ]
            try:
                yield product
            finally:
                for task in beside:
                    task.cancel()
    finally:
        await database.close()


def _wire(
    settings: Settings,
    database: Database,
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
        database=database,
        dispatcher=dispatcher,
        vault=vault,
        clock=clock,
        random=rng,
        risk_checks=(RuleCheck(),),
        lease_seconds=settings.lease_seconds,
    )
    callbacks = WebhookMetrics(metrics)
    event_metrics, feed = EventMetrics(metrics), Feed(database, rng)
    return Product(
        settings=settings,
        database=database,
        payments=payments,
        receiver=Receiver(
            database=database,
            vault=vault,
            dispatcher=dispatcher,
            clock=clock,
            arrived=asyncio.Event(),
            metrics=callbacks,
        ),
        processor=Processor(payments=payments, random=rng, metrics=callbacks),
        event_metrics=event_metrics,
        sequencer=Sequencer(database, rng, event_metrics, numbered=feed.look),
        feed=feed,
    )
