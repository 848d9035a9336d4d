"""Where a worker says how it is: `/metrics`, `/livez` and `/readyz` on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from counterfoil.addresses import bound
from counterfoil.http import Health, health_routes
from counterfoil.slow_clients import ImpatientProtocol
from counterfoil.wiring import Product

SHUTDOWN_SECONDS: Final = 1

log = structlog.get_logger("counterfoil.reporting")


class _Server(uvicorn.Server):
    """A server beside the work; signals belong to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def reporting(product: Product, metrics: CollectorRegistry) -> AsyncIterator[None]:
    """Answer for as long as the block lasts, if a port is set. Raises: AddressTaken."""
    settings = product.settings
    if settings.worker_port is None:
        yield
        return
    health = Health({"database": product.ask_database})
    with bound(settings.host, settings.worker_port, "COUNTERFOIL_WORKER_PORT") as listener:
        server = _Server(_config(Starlette(routes=health_routes(health, metrics))))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]), name="reporting")
            log.info("reporting", host=settings.host, port=settings.worker_port)
            try:
                yield
            finally:
                server.should_exit = True


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
