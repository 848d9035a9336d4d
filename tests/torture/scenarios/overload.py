"""More than one process can bear: T-09, T-42."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import orjson

from tests.torture.results import RESULTS, Violated, demand
from tests.torture.shop import Shop
from tests.torture.wire import NoAnswer

OVERLOAD: Final = 5.0
GOODPUT_LEAST: Final = 0.8
RECOVERY_SECONDS_MAX: Final = 5.0
REFUSAL_SECONDS_MAX: Final = 1.5
CLIENTS_AT_PEAK: Final = 16
_SHED: Final = frozenset({"OVERLOADED", "DATABASE_UNAVAILABLE"})


@dataclass
class Tally:
    """What many single tries were answered, each with a key of its own."""

    shop: Shop
    name: str
    kinds: Counter[str] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)
    """Keys that were answered with a payment."""
    shed: list[str] = field(default_factory=list)
    """Keys that were told to come back."""
    refusal_seconds: list[float] = field(default_factory=list)
    numbers: int = 0

    async def one(self) -> float:
        """One payment, tried once. Returns how long to stay away."""
        self.numbers += 1
        key = f"{self.shop.name}-{self.name}-{self.numbers:06d}"
        began = time.monotonic()
        try:
            answer = await self.shop.try_once(key)
        except NoAnswer:
            self.kinds["no answer"] += 1
            return 0.0
        parsed = orjson.loads(answer.body)
        errors = parsed.get("errors")
        if answer.status == 200 and not errors:
            self.kinds["made"] += 1
            self.made.append(key)
            return 0.0
        code = errors[0]["extensions"]["code"]
        self.kinds[f"{answer.status} {code}"] += 1
        if answer.status == 503 and code in _SHED:
            self.shed.append(key)
            self.refusal_seconds.append(time.monotonic() - began)
        return float(errors[0]["extensions"].get("retryAfterMs", 0)) / 1000

    def demand_only_sheds(self) -> None:
        """Nobody was failed: made, or told to come back."""
        allowed = {"made", *(f"503 {code}" for code in _SHED)}
        strange = {kind: count for kind, count in self.kinds.items() if kind not in allowed}
        demand(not strange, f"{self.name}: answers of other kinds {strange}")

    async def demand_no_partial_effects(self) -> None:
        """What was refused left nothing; what was acknowledged is there, once."""
        known = await self.shop.rows("SELECT key FROM idempotency_key WHERE tenant_id = $1")
        keys = {row["key"] for row in known}
        begun = [key for key in self.shed if key in keys]
        lost = [key for key in self.made if key not in keys]
        demand(not begun, f"{len(begun)} requests were refused and begun: {begun[:5]}")
        demand(not lost, f"{len(lost)} payments were acknowledged and are not there: {lost[:5]}")


async def five_times_too_much(shop: Shop, seconds: float) -> str:
    """T-42: open-loop arrivals at five times the peak; goodput, refusals, recovery."""
    peak = Tally(shop, "peak")
    await _closed_loop(peak, CLIENTS_AT_PEAK, min(10.0, seconds / 2))  # warms up
    peak = Tally(shop, "measured")
    rate = await _closed_loop(peak, CLIENTS_AT_PEAK, min(20.0, seconds))
    RESULTS.say(f"  peak {rate:.0f}/s; now {OVERLOAD * rate:.0f}/s for {seconds:g} s")
    flood = Tally(shop, "flood")
    goodput = await _open_loop(flood, OVERLOAD * rate, seconds)
    RESULTS.say(f"  goodput {goodput:.0f}/s; {dict(flood.kinds)}")
    recovery = await _recovery(Tally(shop, "recovery"))
    # What the machine can do while others use it too lies between before and after.
    after = Tally(shop, "after")
    rate = min(rate, await _closed_loop(after, CLIENTS_AT_PEAK, min(20.0, seconds)))
    for tally in (peak, flood, after):
        tally.demand_only_sheds()
    demand(flood.shed, "nothing was shed: this was no overload")
    demand(goodput >= GOODPUT_LEAST * rate, f"goodput fell to {goodput:.0f}/s of {rate:.0f}/s")
    demand(recovery <= RECOVERY_SECONDS_MAX, f"it took {recovery:.1f} s to recover")
    await flood.demand_no_partial_effects()
    await _settle_and_audit(shop)
    return (
        f"peak {rate:.0f}/s, at {OVERLOAD:g} times that {goodput:.0f}/s "
        f"({goodput / rate:.0%}), {len(flood.shed)} of {flood.numbers} shed, "
        f"half within {_quantile(flood.refusal_seconds, 0.5):.2f} s, "
        f"recovered after {recovery:.1f} s"
    )


async def small_pool(shop: Shop, clients: int, seconds: float) -> str:
    """T-09: far more clients than connections; refusals come soon, webhooks are taken in."""
    crowd = Tally(shop, "crowd")
    accepted: list[float] = []

    async def webhooks(until: float) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            event = {"id": f"evt_{shop.name}-{number}", "type": "payment.pinged", "data": {}}
            body = orjson.dumps({**event, "created": "2026-03-01T12:00:05.000Z"})
            began = time.monotonic()
            answer = await shop.deliver_once(body, shop.signature(body))
            accepted.append(time.monotonic() - began)
            demand(answer.status == 200, f"a webhook was answered {answer.status}")
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(webhooks(time.monotonic() + seconds))
        await _closed_loop(crowd, clients, seconds)
    crowd.demand_only_sheds()
    slowest = _quantile(crowd.refusal_seconds, 0.99)
    demand(crowd.shed, "nothing was refused: there were connections for all")
    demand(slowest <= REFUSAL_SECONDS_MAX, f"p99 of refusals is {slowest:.2f} s")
    await crowd.demand_no_partial_effects()
    await _settle_and_audit(shop)
    # Who works is idle between two statements, for a moment.
    leaked = await shop.count(
        """SELECT count(*) FROM pg_stat_activity
            WHERE $1::INT IS NOT NULL AND datname = current_database()
              AND application_name LIKE 'counterfoil%' AND state LIKE 'idle in transaction%'
              AND state_change < clock_timestamp() - INTERVAL '1 second'"""
    )
    demand(leaked == 0, f"{leaked} connections hang in a unit of work")
    return (
        f"{clients} clients: {dict(crowd.kinds)}; refusals p50 "
        f"{_quantile(crowd.refusal_seconds, 0.5):.2f} s, p99 {slowest:.2f} s; {len(accepted)} "
        f"webhooks accepted, p99 {_quantile(accepted, 0.99):.2f} s"
    )


async def _closed_loop(tally: Tally, clients: int, seconds: float) -> float:
    """Clients that each wait for their answer; payments a second."""
    until = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < until:
            wait_seconds = await tally.one()
            await asyncio.sleep(wait_seconds)

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client())
    return tally.kinds["made"] / (time.monotonic() - began)


async def _open_loop(tally: Tally, rate: float, seconds: float) -> float:
    """Arrivals that wait for nobody; payments a second in the last three quarters of the time.

    In the first, the places fill up and nobody is done yet.
    """
    began = time.monotonic()
    made_at_first = 0
    async with asyncio.TaskGroup() as tasks:
        while (passed := time.monotonic() - began) < seconds:
            if passed < seconds / 4:
                made_at_first = tally.kinds["made"]
            for _ in range(int(passed * rate) - tally.numbers):
                tasks.create_task(tally.one())
            await asyncio.sleep(0.005)
        made = tally.kinds["made"] - made_at_first
    return made / (seconds * 3 / 4)


async def _recovery(tally: Tally) -> float:
    """Seconds until ten tries in a row succeed."""
    began = time.monotonic()
    in_a_row = 0
    while in_a_row < 10 and time.monotonic() - began < 4 * RECOVERY_SECONDS_MAX:
        made = tally.kinds["made"]
        await tally.one()
        in_a_row = in_a_row + 1 if tally.kinds["made"] > made else 0
    return time.monotonic() - began


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def _settle_and_audit(shop: Shop) -> None:
    await shop.settle()
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
