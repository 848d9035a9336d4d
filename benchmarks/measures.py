"""What is measured, one after the other: in each round the product and the bare server in turn.

A figure is the median of its rounds. Only ratios within one run are judged: machines differ, and
the same one differs from hour to hour.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from benchmarks.load import Ask, Latencies, closed_loop, cpu_seconds, memory_megabytes, open_loop
from benchmarks.report import Figure
from benchmarks.stage import BODIES, Stage, create_body
from core.identifiers import encode, new_id
from tests.torture.wire import Answer
from tests.webhooks.desk import a_sale

ROUNDS: Final = 3
PROVIDER_MS: Final = 200
PAYMENTS_PER_SECOND: Final = 20
"""Far from what one process can carry: latency is compared, not queues."""
CALLERS: Final = 16
WEBHOOKS_PER_SECOND: Final = 200

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measures:
    """Everything `make bench` finds out. `scale` 1 takes about ten minutes."""

    stage: Stage
    scale: float
    say: Say

    def count(self, full: int) -> int:
        return max(20, round(full * self.scale))

    async def all(self) -> list[Figure]:
        found: list[Figure] = []
        measures: list[Callable[[], Awaitable[list[Figure]]]] = [
            self.memory_at_rest,
            self.latency,
            self.cpu,
            self.webhooks,
            self.memory_under_load,
        ]
        for measure in measures:
            self.say(f"{measure.__name__.replace('_', ' ')} …")
            found += await measure()
        return found

    async def latency(self) -> list[Figure]:
        """What paymentCreate adds to the 200 ms of its provider, against the same commits."""
        await self.stage.provider_takes(PROVIDER_MS)
        ours, theirs = await self._in_turn(
            self._create(), self._commits(), per_second=PAYMENTS_PER_SECOND, seconds=12
        )
        await self.stage.provider_takes(0)
        name, limits = "paymentCreate, added latency", {0.5: 2.5, 0.99: 3.0}
        return _quantiles(name, ours, theirs, limits, without_ms=PROVIDER_MS)

    async def cpu(self) -> list[Figure]:
        """CPU of the one process for each request, against the same SQL and the same bytes."""
        found = []
        cases: Mapping[str, tuple[Ask, int, float]] = {
            "mutation": (self._create(), 600, 2.5),
            "balance": (self._read("balance"), 2000, 3.0),
            "statement": (self._read("statement"), 800, 6.0),
        }
        for name, (ask, full, limit) in cases.items():
            count = self.count(full)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(await self._cpu(self.stage.product_pid, ask, count))
                if name == "mutation":
                    await self.stage.bare.post(f"/prepare/{2 * count}", b"")
                theirs.append(await self._cpu(self.stage.bare_pid, self._replay(name), count))
            found.append(Figure.of(f"{name}, CPU of a request", "ms", ours, theirs, limit))
        return found

    async def _cpu(self, pid: int, ask: Ask, count: int) -> float:
        await closed_loop(ask, callers=4, count=count // 4)
        before = cpu_seconds(pid)
        await closed_loop(ask, callers=4, count=count)
        return 1000 * (cpu_seconds(pid) - before) / count

    async def webhooks(self) -> list[Figure]:
        """How soon a callback is answered at 200 a second, against one INSERT and COMMIT."""
        ours, theirs = await self._in_turn(
            self._callback(), self._insert(), per_second=WEBHOOKS_PER_SECOND, seconds=10
        )
        return _quantiles("webhook answered", ours, theirs, {0.5: None, 0.99: 3.0})

    async def memory_at_rest(self) -> list[Figure]:
        """Before anything was asked."""
        ours = memory_megabytes(self.stage.product_pid)
        theirs = memory_megabytes(self.stage.bare_pid)
        return [Figure.of("memory at rest", "MB", [ours], [theirs], None)]

    async def memory_under_load(self) -> list[Figure]:
        """Flat: after 100 000 requests hardly more than after 20 000."""
        pid = self.stage.product_pid
        ask = self._read("balance")
        await closed_loop(ask, callers=CALLERS, count=self.count(20_000))
        warm = memory_megabytes(pid)
        await closed_loop(ask, callers=CALLERS, count=self.count(80_000))
        late = memory_megabytes(pid)
        return [Figure.of("memory after 100 000 requests, to 20 000", "MB", [late], [warm], 1.05)]

    async def _in_turn(
        self, ours: Ask, theirs: Ask, *, per_second: float, seconds: float
    ) -> tuple[list[Latencies], list[Latencies]]:
        """At a steady pace: callers who wait for one another's answers come in bunches."""
        found: tuple[list[Latencies], list[Latencies]] = ([], [])
        length = max(1.0, seconds * self.scale)
        for ask in (ours, theirs):
            await open_loop(ask, per_second=per_second, seconds=1)
        for _ in range(ROUNDS):
            for ask, latencies in zip((ours, theirs), found, strict=True):
                latencies.append(await open_loop(ask, per_second=per_second, seconds=length))
        return found

    # ---- what is asked

    def _create(self) -> Ask:
        async def ask(_number: int) -> None:
            body = create_body(str(new_id()))
            answer = await self.stage.product.post("/graphql", body, self.stage.headers)
            assert b'"status":"CAPTURED"' in answer.body, answer

        return ask

    def _read(self, name: str) -> Ask:
        expected = len(self.stage.scripts[name].answer)

        async def ask(_number: int) -> None:
            answer = await self.stage.product.post("/graphql", BODIES[name], self.stage.headers)
            assert answer.status == 200, answer
            assert len(answer.body) >= 0.9 * expected, answer

        return ask

    def _commits(self) -> Ask:
        return self._bare("/commits", create_body("0123456789"))

    def _replay(self, name: str) -> Ask:
        return self._bare(f"/replay/{name}", BODIES.get(name, create_body("0123456789")))

    def _bare(self, path: str, body: bytes) -> Ask:
        async def ask(_number: int) -> None:
            _all_well(await self.stage.bare.post(path, body, self.stage.headers))

        return ask

    def _callback(self) -> Ask:
        shop = self.stage.shop

        async def ask(_number: int) -> None:
            body = a_callback()
            _all_well(await shop.deliver(body, shop.signature(body)))

        return ask

    def _insert(self) -> Ask:
        async def ask(_number: int) -> None:
            _all_well(await self.stage.bare.post("/webhook", a_callback()))

        return ask


def _quantiles(
    name: str,
    ours: Sequence[Latencies],
    theirs: Sequence[Latencies],
    limits: Mapping[float, float | None],
    *,
    without_ms: float = 0,
) -> list[Figure]:
    """One figure for each part, of what was waited beyond `without_ms`."""
    return [
        Figure.of(
            f"{name} p{round(100 * part)}",
            "ms",
            [each.quantile(part) - without_ms for each in ours],
            [each.quantile(part) - without_ms for each in theirs],
            limit,
        )
        for part, limit in limits.items()
    ]


def a_callback() -> bytes:
    """About a payment nobody knows yet: kept, and answered like any other."""
    return orjson.dumps(a_sale(f"sp_{new_id().hex}", encode("op", new_id())))


def _all_well(answer: Answer) -> None:
    assert answer.status == 200, answer
