"""`/livez`: the process answers. `/readyz`: it can do its work. `/metrics`: its figures."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.telemetry import METRICS_CONTENT_TYPE, write_metrics

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[None]]
"""Returns when all is well, raises otherwise."""


class Health:
    """Whether this process should get requests. What failed is logged, clients see names only."""

    def __init__(self, checks: Mapping[str, Check], *, check_seconds: float = 2.0) -> None:
        self._checks = dict(checks)
        self._check_seconds = check_seconds
        self._draining = False

    def start_draining(self) -> None:
        """Answer not ready from now on, so that the load balancer looks elsewhere."""
        self._draining = True

    async def failures(self) -> list[str]:
        """Names of the checks that do not pass right now; all run at once, each limited in time."""
        if self._draining:
            return ["draining"]
        passed = await asyncio.gather(*(self._passes(name) for name in self._checks))
        return [name for name, good in zip(self._checks, passed, strict=True) if not good]

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(self._check_seconds):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - whatever a check raises means not ready
            log.warning("not_ready", check=name, reason=repr(error))
            return False
        return True


def health_routes(health: Health, registry: CollectorRegistry) -> list[Route]:
    """The three routes."""

    async def livez(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        failures = await health.failures()
        if failures:
            return JSONResponse(
                {"status": "not ready", "failing": failures},
                status_code=503,
                headers={"retry-after": "1"},
            )
        return JSONResponse({"status": "ready"})

    def metrics(_request: Request) -> Response:
        return Response(write_metrics(registry), media_type=METRICS_CONTENT_TYPE)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
