"""Background work: operations that are not certain yet, callbacks in the inbox, removed methods
that providers must be told of, numbers for events.

The first three are claim loops over their own rows; any number of processes may run them on one
database. Events are numbered by one process at a time, the others stand by.
"""

import asyncio
from typing import Final

from core.claims import ClaimLoop
from core.telemetry import new_registry
from counterfoil.reporting import reporting
from counterfoil.settings import Settings
from counterfoil.wiring import Product, open_product
from payments import DetachmentWork, PaymentWork

DETACHMENTS_AT_ONCE: Final = 2
"""Removing a method takes effect before the provider hears of it, so there is no hurry."""


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then let running work end."""
    metrics = new_registry()
    async with open_product(settings, metrics) as product, reporting(product, metrics):
        await run_loops(product, stop)


async def run_loops(product: Product, stop: asyncio.Event) -> None:
    """All of it until `stop` is set; returns when what was running has ended."""
    settings, payments = product.settings, product.background
    loops = [
        ClaimLoop(
            "operations",
            PaymentWork(payments),
            payments.random,
            concurrency=settings.worker_concurrency,
        ),
        ClaimLoop(
            "webhooks",
            product.processor,
            payments.random,
            concurrency=max(2, settings.worker_concurrency // 4),
            wake=product.receiver.arrived,
        ),
        ClaimLoop(
            "detachments",
            DetachmentWork(payments),
            payments.random,
            concurrency=DETACHMENTS_AT_ONCE,
        ),
    ]
    async with asyncio.TaskGroup() as tasks:
        for loop in loops:
            tasks.create_task(loop.run(settings.shutdown_seconds), name=loop.name)
        tasks.create_task(product.sequencer.run(stop), name="sequencer")
        await stop.wait()
        for loop in loops:
            loop.stop()
