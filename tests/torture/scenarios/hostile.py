"""Requests meant to hurt: T-30, T-31, T-41. What others notice of them is compared in one run."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from tests.torture.results import RESULTS, Violated, demand
from tests.torture.shop import Shop
from tests.torture.wire import NoAnswer, at_once

SLOWER_AT_MOST: Final = 2.0
"""p99 of a bystander, against the same without the attack."""
NOISE_SECONDS: Final = 0.02
"""Below this the machine, not the gateway, decides what p99 is."""
ROUNDS: Final = 3
ANSWER_SECONDS: Final = 10
REFUSAL_CPU_SECONDS_MAX: Final = 0.05
QUERY: Final = "{ payments(first: 5) { nodes { id status } } }"


# ---- T-30


def fragment_bomb(levels: int, width: int) -> str:
    spreads = (f"fragment F{n} on Payment {{ {f'...F{n + 1} ' * width} }}" for n in range(levels))
    rest = f"fragment F{levels} on Payment {{ id status }}"
    return "{ payments(first: 1) { nodes { ...F0 } } } " + " ".join([*spreads, rest])


def six_shapes(rng: random.Random) -> Iterator[str]:
    """Each a little different every time, so that no memory of a refusal helps."""
    some = rng.randint
    yield fragment_bomb(some(20, 45), some(2, 6))
    yield "{ " + " ".join(f"a{n}: viewer {{ tenantId }}" for n in range(some(31, 400))) + " }"
    yield "{ viewer { tenantId " + "@skip(if: false) " * some(51, 600) + "} }"
    yield "{ viewer { " + "tenantId " * some(501, 1900) + "} }"
    yield f"{{ payments(first: {some(101, 10**6)}) {{ nodes {{ id }} }} }}"
    deep = some(13, 200)
    yield "{ payments(first: 1) { nodes " + "{ attempts " * deep + "{ id }" + " }" * deep + " } }"


def a_mixture(rng: random.Random) -> str:
    """Names, fragments, directives and braces in no sensible order, far too many of them."""
    words = "payments(first: 100) viewer nodes id a: ...F ...G @skip(if: true) { { } $v".split(" ")
    words += ["... on Payment {", "fragment F on Payment { ...G }"]
    return "{ " + " ".join(rng.choices(words, k=rng.randint(50, 3_000))) + " }"


async def hostile_documents(shop: Shop, documents: int) -> str:
    """The six shapes and as many made-up ones, one after the other beside a bystander."""
    rng = random.Random(30)
    texts = [text for _ in range(max(1, documents // 12)) for text in six_shapes(rng)]
    texts += [a_mixture(rng) for _ in range(documents)]
    codes: Counter[str] = Counter()
    slowest = 0.0

    async def attack(part: list[str]) -> None:
        nonlocal slowest
        for text in part:
            began = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await shop.send({"query": text})
            except (NoAnswer, TimeoutError):
                raise Violated(f"no refusal within {ANSWER_SECONDS} s: {text[:80]}") from None
            slowest = max(slowest, time.monotonic() - began)
            demand(answer.status < 500, f"HTTP {answer.status} to {text[:80]}")
            parsed = orjson.loads(answer.body)
            demand("data" not in parsed, f"something ran: {text[:80]}")
            codes[parsed["errors"][0]["extensions"]["code"]] += 1
            await asyncio.sleep(0.02)

    process = _Watched(shop)
    rounds = [await _beside(shop, attack(texts[n::ROUNDS])) for n in range(ROUNDS)]
    # A machine that others use too disturbs a round; what we do wrong shows in every one.
    calm, pressed = min(rounds, key=lambda one: one[1] / one[0])
    cpu = process.cpu_seconds() / len(texts)  # what the bystander asked for is in it too
    grown = process.grown_megabytes()
    RESULTS.say(f"  {dict(codes)}; the slowest took {slowest * 1000:.0f} ms")
    demand(cpu <= REFUSAL_CPU_SECONDS_MAX, f"a refusal costs {cpu * 1000:.0f} ms of CPU")
    demand(grown <= 20, f"the process grew by {grown:.0f} MB")
    demand(pressed <= _bearable(calm), f"p99 beside the attack {pressed:.3f} s, else {calm:.3f} s")
    return (
        f"{len(texts)} documents refused, {cpu * 1000:.1f} ms CPU each, slowest "
        f"{slowest * 1000:.0f} ms; bystander p99 {calm * 1000:.0f} → {pressed * 1000:.0f} ms; "
        f"{grown:+.0f} MB"
    )


# ---- T-31


_GOOD: Final[tuple[Any, ...]] = (
    {"query": QUERY},
    {"query": "query Q($n: Int) { payments(first: $n) { nodes { id } } }", "variables": {"n": 3}},
    {
        "query": "mutation M($input: PaymentCreateInput!) { paymentCreate(input: $input) "
        "{ __typename ... on Error { code } } }",
        "variables": {
            "input": {
                "idempotencyKey": "never-used-twice",
                "amount": {"decimal": "10.00", "currency": "XXX"},  # no currency: never carried out
                "method": {"token": "tok_success"},
            }
        },
        "operationName": "M",
    },
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
    {"documentId": "x", "variables": {}},
)
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 2**63, 10**30, 1.5, "", "\0", "\ud800", "\U0001f4b3", "a" * 5_000),
    *([], {}, [[]], {"": ""}, {"a": {"b": []}}, "{ __typename }", "pay_x", "1e3"),
)


def a_malformed_body(rng: random.Random) -> bytes:
    """A good body with members changed, or with its bytes damaged, or bytes alone."""
    body = _changed(rng, rng.choice(_GOOD)) if rng.random() < 0.6 else rng.choice(_GOOD)
    raw = bytearray(_written(body))
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(4):
            case 0:
                raw[at : at + rng.randrange(8)] = rng.randbytes(rng.randrange(6))
            case 1:
                raw[at:at] = rng.choice((b"\x00", b"\xff", b'"', b"[" * 200, b"9" * 40, b"\\u0000"))
            case 2:
                del raw[at:]
            case _:
                raw[at:at] = raw[: rng.randrange(50)]
    return bytes(raw) if rng.random() < 0.95 else rng.randbytes(rng.randrange(300))


def _changed(rng: random.Random, value: Any) -> Any:
    """One member somewhere is something else now."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        return {**value, name: _changed(rng, value[name])}
    return rng.choice(_ODD)


def _written(value: Any) -> bytes:
    return json.dumps(value).encode()  # which writes also what orjson rightly refuses


async def malformed_bodies(shop: Shop, bodies: int) -> str:
    """Never our fault, always typed, nothing written."""
    rng = random.Random(31)
    statuses: Counter[int] = Counter()
    problems: list[str] = []
    before = await shop.rows(_WRITTEN)
    wire = shop.fleet.wires[0]
    key = {"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"}

    async def one(number: int) -> None:
        body = a_malformed_body(rng)
        path, headers = ("/graphql", key) if number % 2 else ("/storefront/graphql", _JSON)
        answer = await wire.post(path, body, headers)
        statuses[answer.status] += 1
        parsed = orjson.loads(answer.body)
        codes = [error["extensions"]["code"] for error in parsed.get("errors", ())]
        fault = answer.status >= 500 or {"INTERNAL", "BROKEN", ""} & set(codes)
        if fault:
            problems.append(f"HTTP {answer.status} {codes} to {body!r}")
        elif not codes and not parsed.get("data"):
            problems.append(f"neither data nor errors to {body!r}")

    await at_once(8, bodies, one)
    if problems:
        raise Violated(*problems)
    demand(await shop.rows(_WRITTEN) == before, "something was written")
    return f"{bodies} bodies: {dict(sorted(statuses.items()))}, none a server error"


_JSON: Final = {"Content-Type": "application/json"}
_WRITTEN: Final = """
    SELECT (SELECT count(*) FROM payment), (SELECT count(*) FROM idempotency_key),
           (SELECT count(*) FROM outbox) WHERE $1::INT IS NOT NULL"""


# ---- T-41


async def slow_connections(shop: Shop, connections: int) -> str:
    """Headers that drip, bodies that drip, silence, and 200 MB: others hardly notice."""
    cut: list[float] = []

    async def attack() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(connections):
                tasks.create_task(_drip(shop, number, cut))

    process = _Watched(shop)
    calm, pressed = await _beside(shop, attack())
    announced, streamed = await _huge(shop, chunked=False), await _huge(shop, chunked=True)
    grown = process.grown_megabytes()
    demand(len(cut) == connections, f"{connections - len(cut)} slow connections were not cut")
    demand(max(cut) <= 13, f"a slow connection lived for {max(cut):.1f} s")
    demand(announced == 413, f"200 MB that were announced were answered {announced}")
    demand(streamed in {413, RESET}, f"200 MB that were not were answered {streamed}")
    demand(grown <= 30, f"the process grew by {grown:.0f} MB")
    demand(pressed <= _bearable(calm), f"p99 beside them {pressed:.3f} s, else {calm:.3f} s")
    return (
        f"{connections} slow connections cut after at most {max(cut):.1f} s; bystander p99 "
        f"{calm * 1000:.0f} → {pressed * 1000:.0f} ms; 200 MB answered 413; {grown:+.0f} MB"
    )


RESET: Final = 0
"""Instead of a status."""
_BEGINNINGS: Final = (
    b"",
    b"POST /graphql HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    (
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 5000\r\n\r\n{"
    ),
)


async def _drip(shop: Shop, number: int, cut: list[float]) -> None:
    """A byte a second until the server has enough."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*_address(shop))
    ended = asyncio.create_task(reader.read())
    sent = _BEGINNINGS[number % len(_BEGINNINGS)]
    writer.write(sent)
    while time.monotonic() - began < 20:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):
                await asyncio.shield(ended)
        if ended.done():
            with suppress(ConnectionError):
                ended.result()
            cut.append(time.monotonic() - began)
            break
        if sent:
            writer.write(b"a")
    writer.close()


async def _huge(shop: Shop, *, chunked: bool) -> int:
    """200 MB, announced or not; the status of the answer.

    Who goes on sending to a connection that was closed is reset, and may never see why.
    """
    reader, writer = await asyncio.open_connection(*_address(shop))
    size = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 200000000"
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + size
        + b"\r\nAuthorization: Bearer " + shop.key.encode() + b"\r\n\r\n"
    )  # fmt: skip
    piece = b"a" * 100_000
    head = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    await asyncio.wait([head], timeout=0 if chunked else 5)
    with suppress(ConnectionError):
        for _ in range(2_000):
            if head.done():
                break
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
    try:
        return int((await head).split(b" ", 2)[1])
    except ConnectionError:
        return RESET
    finally:
        writer.close()


def _address(shop: Shop) -> tuple[str | None, int | None]:
    parts = urlsplit(shop.fleet.wires[0].url)
    return parts.hostname, parts.port


# ---- the bystander, and what an attack costs


async def _beside(shop: Shop, attack: Awaitable[None]) -> tuple[float, float]:
    """p99 of ordinary queries: without the attack, and as long as it lasts."""
    calm = await _p99_while(shop, asyncio.sleep(3))
    pressed = await _p99_while(shop, attack)
    return calm, pressed


async def _p99_while(shop: Shop, other: Awaitable[None]) -> float:
    seconds: list[float] = []
    async with _asking(shop, seconds):
        await other
    seconds.sort()
    return seconds[int(len(seconds) * 0.99)]


@asynccontextmanager
async def _asking(shop: Shop, seconds: list[float]) -> AsyncIterator[None]:
    async def ask() -> None:
        while True:
            began = time.monotonic()
            answer = await shop.send({"query": QUERY})
            demand(answer.status == 200, f"a bystander was answered {answer.status}")
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, NoAnswer):
            await task


def _bearable(calm: float) -> float:
    return SLOWER_AT_MOST * calm + NOISE_SECONDS


class _Watched:
    """CPU and memory of the first API process since now."""

    def __init__(self, shop: Shop) -> None:
        child = shop.fleet.apis_running[0].child
        assert child is not None
        self._process = Path(f"/proc/{child.pid}")
        self._cpu, self._memory = self._cpu_now(), self._memory_now()

    def cpu_seconds(self) -> float:
        return self._cpu_now() - self._cpu

    def grown_megabytes(self) -> float:
        return (self._memory_now() - self._memory) / 1024

    def _cpu_now(self) -> float:
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def _memory_now(self) -> int:
        lines = (self._process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
