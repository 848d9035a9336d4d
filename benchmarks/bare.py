"""The server everything is compared with: Starlette and asyncpg, and nothing between them.

    POST /commits       as many units of work as the recorded mutation, one row each where it wrote,
                        around the same provider call
    POST /replay/NAME   the recorded SQL and the provider call; answers the recorded bytes
    POST /prepare/N     make ready to replay the mutation N times: not part of what is measured
    POST /webhook       one INSERT and COMMIT

It knows no key, no limit, no schema. The same pool, JSON codec, HTTP client and server as ours.
"""

import argparse
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.recording import Call, Script, Statement
from core.database import Database, DatabaseSettings, Tx
from core.identifiers import new_id
from gateways.wire import make_client

_WRITE = "INSERT INTO bench_row (id, body) VALUES ($1, $2)"
JSON = "application/json"


@dataclass
class Bare:
    """What was recorded, by name; `ready` is the mutation for each request to come."""

    scripts: dict[str, Script]
    database: Database
    client: httpx.AsyncClient
    ready: list[Script] = field(default_factory=list)

    async def prepare(self, request: Request) -> Response:
        mutation = self.scripts["mutation"]
        self.ready = [mutation.anew() for _ in range(int(request.path_params["count"]))]
        return Response(b"{}", media_type=JSON)

    async def commits(self, request: Request) -> Response:
        body = await request.body()
        script = self.scripts["mutation"]
        for step in script.commits():
            if isinstance(step, Call):
                await self._call(step)
                continue
            async with self.database.pool.acquire() as connection:
                await connection.execute("BEGIN")
                if step:
                    await connection.execute(_WRITE, new_id(), body)
                else:
                    await connection.fetchval("SELECT 1")
                await connection.execute("COMMIT")
        return Response(script.answer, media_type=JSON)

    async def replay(self, request: Request) -> Response:
        orjson.loads(await request.body())
        name = request.path_params["name"]
        script = self.ready.pop() if name == "mutation" else self.scripts[name]
        connection: Tx | None = None
        for step in script.steps:
            if isinstance(step, Call):
                await self._call(step)
                continue
            if connection is None:
                connection = await self.database.pool.acquire()
            await _execute(connection, step)
            if step.closes:
                await self.database.pool.release(connection)
                connection = None
        return Response(script.answer, media_type=JSON)

    async def webhook(self, request: Request) -> Response:
        body = await request.body()
        await self.database.pool.execute(_WRITE, new_id(), body)
        return Response(b"{}", media_type=JSON)

    async def _call(self, call: Call) -> None:
        answer = await self.client.request(
            call.method, call.url, headers=call.headers, content=call.body
        )
        orjson.loads(answer.content)


async def _execute(connection: Tx, step: Statement) -> None:
    if step.arguments:
        await connection.fetch(step.text, *step.arguments)
    else:
        await connection.execute(step.text)


def bare_app(database_url: str, scripts: dict[str, Script]) -> Starlette:
    """The application; its lifespan opens the pool."""
    held: list[Bare] = []

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        database = await Database.open(DatabaseSettings(database_url, pool_size=10))
        async with make_client() as client:
            held.append(Bare(scripts, database, client))
            yield
        await database.close()

    def route(path: str, does: Callable[[Bare, Request], Awaitable[Response]]) -> Route:
        async def handle(request: Request) -> Response:
            return await does(held[0], request)

        return Route(path, handle, methods=["POST"])

    async def ready(_request: Request) -> Response:
        return Response(b"ready")

    return Starlette(
        routes=[
            route("/commits", Bare.commits),
            route("/replay/{name}", Bare.replay),
            route("/prepare/{count}", Bare.prepare),
            route("/webhook", Bare.webhook),
            Route("/readyz", ready),
        ],
        lifespan=lifespan,
    )


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--scripts", type=Path, required=True)
    given: Any = parser.parse_args()
    scripts = pickle.loads(given.scripts.read_bytes())  # noqa: S301 - written by our own parent
    app = bare_app(given.database_url, scripts)
    uvicorn.run(
        app, port=given.port, http="httptools", loop="uvloop", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
