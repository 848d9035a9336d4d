"""What one request does, step by step: its SQL as it reaches PostgreSQL, and its provider call.

The bare server replays such a script with ids of its own. Recorded from the product inside this
process, so that nothing is left out and nothing is written down twice.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import orjson
from starlette.applications import Starlette

from core.identifiers import encode, new_id
from counterfoil.app import create_app
from counterfoil.settings import Settings
from counterfoil.wiring import Product

KEY: Final = "0123456789abcdef0123456789abcdef"
"""The idempotency key of what is recorded."""
_CLOSES: Final = ("COMMIT", "ROLLBACK")
_WRITES: Final = re.compile(r"\b(INSERT|UPDATE|DELETE)\b|ledger_(post|open_accounts)\(")


@dataclass(frozen=True, slots=True)
class Statement:
    """One round trip to PostgreSQL."""

    text: str
    arguments: tuple[Any, ...]

    @property
    def opens(self) -> bool:
        return self.text.startswith("BEGIN")

    @property
    def closes(self) -> bool:
        return self.text.startswith(_CLOSES)

    @property
    def writes(self) -> bool:
        return _WRITES.search(self.text) is not None


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the provider."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Script:
    """All steps of one request that began at a Unix time, and the answer's bytes."""

    began_ms: int
    steps: Sequence[Statement | Call]
    answer: bytes

    def commits(self) -> list[bool | Call]:
        """Each unit of work, by whether it wrote anything; calls stay where they are."""
        found: list[bool | Call] = []
        wrote = False
        for step in self.steps:
            if isinstance(step, Call):
                found.append(step)
            elif step.opens:
                wrote = False
            elif step.closes:
                found.append(wrote)
            else:
                wrote = wrote or step.writes
        return found

    def anew(self) -> "Script":
        """The same for another payment: whatever was made for this one is made afresh."""
        names = {KEY: secrets.token_hex(len(KEY) // 2)}
        _find_names(self.steps, self.began_ms, names)
        pattern = re.compile("|".join(map(re.escape, names)))
        rename = Rename(lambda text: pattern.sub(lambda found: names[found[0]], text))
        return replace(self, steps=[rename.step(step) for step in self.steps])


def _find_names(value: Any, since_ms: int, names: dict[str, str]) -> None:
    """Fill `names` with what belongs to one payment only, and what to call it instead."""
    match value:
        case UUID():
            # The first 48 bits of a UUIDv7 are the milliseconds (RFC 9562, section 5.7).
            if value.int >> 80 >= since_ms and str(value) not in names:
                fresh = new_id()
                names |= {str(value): str(fresh), _suffix(value): _suffix(fresh)}
        case str():
            if value.startswith("sp_"):  # how the simulator names a payment
                names.setdefault(value, "sp_" + secrets.token_hex(len(value))[: len(value) - 3])
            with suppress(ValueError):
                _find_names(UUID(value), since_ms, names)
        case Statement():
            _find_names(value.arguments, since_ms, names)
        case Mapping():
            _find_names(list(value.values()), since_ms, names)
        case list() | tuple():
            for part in value:
                _find_names(part, since_ms, names)
        case _:
            pass


def _suffix(id: UUID) -> str:
    return encode("pay", id).removeprefix("pay_")


@dataclass(frozen=True, slots=True)
class Rename:
    """Puts other names in a step, wherever they stand."""

    text: Callable[[str], str]

    def step(self, step: Statement | Call) -> Statement | Call:
        if isinstance(step, Call):
            headers = {name: self.text(value) for name, value in step.headers.items()}
            body = self.text(step.body.decode()).encode()
            return replace(step, headers=headers, body=body)
        return replace(step, arguments=self.value(step.arguments))

    def value(self, value: Any) -> Any:  # noqa: PLR0911 - one for each kind
        match value:
            case UUID():
                return UUID(self.text(str(value)))
            case Enum():
                return value
            case str():
                return self.text(value)
            case Mapping():
                renamed = {name: self.value(part) for name, part in value.items()}
                if "client_secret_hash" in renamed:  # a payment is found by it: no two are alike
                    renamed["client_secret_hash"] = rf"\x{secrets.token_hex(32)}"
                return renamed
            case list():
                return [self.value(part) for part in value]
            case tuple():
                return tuple(self.value(part) for part in value)
            case _:
                return value


@dataclass
class Recorder:
    """The product in this process, with an ear on its connections."""

    client: httpx.AsyncClient
    steps: list[Statement | Call]

    async def record(self, body: bytes, headers: Mapping[str, str]) -> Script:
        """Ask once for what is measured later. Raises: AssertionError when it was refused."""
        await _said()
        self.steps.clear()
        began_ms = time.time_ns() // 1_000_000
        answer = await self.client.post("/graphql", content=body, headers=dict(headers))
        await _said()
        assert answer.status_code == 200, answer.text
        assert "errors" not in orjson.loads(answer.content), answer.text
        return Script(began_ms, list(self.steps), answer.content)


async def _said() -> None:
    """Let asyncpg's loggers, which are called by the loop, have their say."""
    await asyncio.sleep(0.05)


@asynccontextmanager
async def recorder(settings: Settings) -> AsyncIterator[Recorder]:
    """Opens the product here. Each pool is used once before anything is recorded."""
    app = create_app(settings, with_worker=False)
    steps: list[Statement | Call] = []
    async with app.router.lifespan_context(app):
        product = _product_of(app)
        await _listen(product, steps)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://product") as client:
            yield Recorder(client, steps)


def _product_of(app: Starlette) -> Product:
    """What the routes share; nobody but us needs it from outside."""
    webhooks: Any = next(r for r in app.routes if getattr(r, "path", "").startswith("/webhooks/"))
    product: Product = webhooks.endpoint.__self__.opened
    return product


async def _listen(product: Product, steps: list[Statement | Call]) -> None:
    def said(query: Any) -> None:
        steps.append(Statement(query.query, tuple(query.args)))

    for pool in (product.database.pool, product.database.readers):
        async with _all_connections(pool) as connections:
            for connection in connections:
                connection.add_query_logger(said)

    async def calls(request: httpx.Request) -> None:
        await asyncio.sleep(0)  # what was said before comes first
        headers = {n: v for n, v in request.headers.items() if n not in {"host", "content-length"}}
        steps.append(Call(request.method, str(request.url), headers, request.content))

    product.payments.dispatcher.client.event_hooks["request"].append(calls)


@asynccontextmanager
async def _all_connections(pool: asyncpg.Pool) -> AsyncIterator[list[Any]]:
    """Every connection a pool may have, opened."""
    held = [await pool.acquire() for _ in range(pool.get_max_size())]
    try:
        yield held
    finally:
        for connection in held:
            await pool.release(connection)
