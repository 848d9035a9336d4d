"""Processes that die at named places and at random ones; one restart, and nothing is lost."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from core.killpoints import EXIT_STATUS
from tests.torture.fleet import Process, eventually
from tests.torture.results import Violated, demand
from tests.torture.shop import Reply, Shop
from tests.torture.wire import NoAnswer

CLIENTS = 40
IN_FLIGHT_MIN = 20
PASSAGE = 18
RESOLVED_SECONDS = 30.0
RETRY_SECONDS = 20.0

Load = Callable[[Shop, int, list[str]], Awaitable[Reply]]
"""What client number n does, always with the same idempotency key; the list names the payments
that were prepared for the clients.
"""


@dataclass(frozen=True, slots=True)
class KillPoint:
    """Where a process dies, and what the clients are doing meanwhile."""

    name: str
    load: str
    victim: str = "api"


KILL_POINTS = (
    KillPoint("create.key_written", "sale"),
    KillPoint("create.rows_written", "sale"),
    KillPoint("create.before_commit", "sale"),
    KillPoint("create.committed", "sale"),
    KillPoint("provider.before_bytes", "sale"),
    KillPoint("provider.answered", "sale"),
    KillPoint("conclude.rows_written", "sale"),
    KillPoint("conclude.before_commit", "sale"),
    KillPoint("conclude.committed", "sale"),
    KillPoint("answer.before", "sale"),
    KillPoint("confirm.committed", "confirm"),
    KillPoint("capture.committed", "capture"),
    KillPoint("refund.before_commit", "refund"),
    KillPoint("refund.committed", "refund"),
    KillPoint("lookup.answered", "lost", "worker"),
    KillPoint("resolve.before_commit", "lost", "worker"),
    KillPoint("resend.answered", "unseen", "worker"),
    KillPoint("conclude.before_commit", "called back", "worker"),
)
"""Twelve are demanded; `every_kill_point_is_known` keeps this list and the product's in step."""


async def killed_at(shop: Shop, point: KillPoint) -> str:
    """`CLIENTS` payments on their way, the process dies at the 18th passage, one restart."""
    before = await _prepare(shop, point)
    victim = _victim(shop, point.victim)
    victim.stop()
    victim.start(KILL_AT=f"{point.name}:{PASSAGE}")
    if point.victim == "api":
        await shop.fleet.ready()
    in_flight = await _until_dead(shop, point, before)
    demand(victim.status == EXIT_STATUS, f"{point.name}: ended with {victim.status}")
    demand(in_flight >= IN_FLIGHT_MIN, f"{point.name}: only {in_flight} in flight")
    victim.start()
    await shop.fleet.ready()
    if point.load in {"lost", "unseen", "called back"}:
        await shop.fleet.end_faults()
    await shop.fleet.tell_simulator("/_webhooks", pause=False)
    return f"{in_flight} in flight; " + await _one_effect_each(shop, point.load, before)


async def killed_at_random(shop: Shop, seed: int) -> str:
    """API and worker get SIGKILL at any moment while payments are on their way."""
    dice = random.Random(seed)
    load = dice.choice(("sale", "capture", "refund"))
    before = await _prepare(shop, KillPoint("", load))
    act = _LOADS[load]
    clients = [asyncio.create_task(_once(act, shop, n, before)) for n in range(CLIENTS)]
    await asyncio.sleep(dice.uniform(0.02, 0.8))
    victims = [_victim(shop, "api"), _victim(shop, "worker")]
    for victim in victims:
        victim.kill()
    lost = sum(reply is None for reply in await asyncio.gather(*clients))
    for victim in victims:
        victim.start()
    await shop.fleet.ready()
    return f"{load}, {lost} unanswered; " + await _one_effect_each(shop, load, before)


def _victim(shop: Shop, name: str) -> Process:
    fleet = shop.fleet
    return fleet.apis_running[0] if name == "api" else fleet.workers_running[0]


async def _once(load: Load, shop: Shop, number: int, before: list[str]) -> Reply | None:
    """One try; None if no answer came."""
    try:
        return await load(shop, number, before)
    except NoAnswer:
        return None


# ---- what clients do


async def _sale(shop: Shop, number: int, _before: list[str]) -> Reply:
    return await shop.create(f"{shop.name}-{number:04d}")


async def _confirm(shop: Shop, number: int, before: list[str]) -> Reply:
    return await shop.confirm(f"{shop.name}-confirm-{number:04d}", before[number])


async def _capture(shop: Shop, number: int, before: list[str]) -> Reply:
    return await shop.capture(f"{shop.name}-capture-{number:04d}", before[number], 1000)


async def _refund(shop: Shop, number: int, before: list[str]) -> Reply:
    return await shop.refund(f"{shop.name}-refund-{number:04d}", before[number], 400)


_LOADS: dict[str, Load] = {
    "sale": _sale,
    "confirm": _confirm,
    "capture": _capture,
    "refund": _refund,
    "lost": _sale,
    "unseen": _sale,
    "called back": _sale,
}
_EFFECTS = {
    "capture": ("authorization", "capture"),
    "refund": ("charge", "refund"),
}
"""What the provider has done for each client in the end; one charge unless told."""

_SALES: dict[str, Any] = {"match": {"path": "/v1/payments", "method": "POST"}}
_FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "lost": ({**_SALES, "fault": "drop_after"},),
    "unseen": ({**_SALES, "fault": "drop_before", "times": CLIENTS},),
    "called back": (
        {**_SALES, "fault": "drop_after"},
        {"match": {"path": "/v1/operations", "method": "GET"}, "fault": "error_500_before"},
    ),
}


async def _prepare(shop: Shop, point: KillPoint) -> list[str]:
    """The payments the clients will act on, for the loads that need some."""
    if point.load not in {"capture", "confirm", "refund"}:
        return []
    replies = await asyncio.gather(
        *(
            shop.create(
                f"{shop.name}-before-{n:04d}",
                capture="MANUAL" if point.load == "capture" else "AUTOMATIC",
                confirm=point.load != "confirm",
            )
            for n in range(CLIENTS)
        )
    )
    for reply in replies:
        demand(reply.kind == "PaymentPayload", f"prepared: {reply}")
    return [reply.payment_id for reply in replies]


async def _until_dead(shop: Shop, point: KillPoint, before: list[str]) -> int:
    """Let the clients act until the process is dead; how much was in flight then."""
    await shop.fleet.tell_simulator("/_config", latency_ms=100)
    if point.load in _FAULTS:
        await shop.faults(*_FAULTS[point.load])
        await shop.fleet.tell_simulator("/_webhooks", pause=point.load != "called back")
    load = _LOADS[point.load]
    replies = await asyncio.gather(*(_once(load, shop, n, before) for n in range(CLIENTS)))
    victim = _victim(shop, point.victim)
    await eventually(
        lambda: not victim.running, 30, lambda: f"{point.name} was not passed\n{shop.fleet.logs()}"
    )
    if point.victim == "api":
        return sum(reply is None for reply in replies)
    return len(await shop.waiting())


# ---- what must be true afterwards


async def _one_effect_each(shop: Shop, load: str, before: list[str]) -> str:
    """Nothing stuck 30 s later; every client repeats its key; one effect and one posting each."""
    await shop.settle(RESOLVED_SECONDS)
    by_itself = len(await shop.effects())
    told: Counter[str] = Counter()

    async def again(number: int) -> None:
        reply = await _insist(_LOADS[load], shop, number, before)
        told["replayed" if reply.replayed else "new"] += 1

    await asyncio.gather(*(again(number) for number in range(CLIENTS)))
    await shop.settle(RESOLVED_SECONDS)
    wanted = Counter(dict.fromkeys(_EFFECTS.get(load, ("charge",)), CLIENTS))
    effects = Counter(effect["kind"] for effect in await shop.effects())
    demand(effects == wanted, f"effects {dict(effects)}, not {dict(wanted)}")
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
    return f"{by_itself} effects resolved without clients, then {dict(told)}; {dict(effects)}"


async def _insist(load: Load, shop: Shop, number: int, before: list[str]) -> Reply:
    """Repeat the key as a shop does, until there is an answer other than "in progress"."""
    last: list[object] = [None]

    async def answered() -> Reply | None:
        last[0] = reply = await _once(load, shop, number, before)
        if reply is None or reply.kind == "OperationInProgressError":
            return None
        return reply

    reply = await eventually(answered, RETRY_SECONDS, lambda: f"client {number} is told {last[0]}")
    assert isinstance(reply, Reply)
    demand(reply.kind in {"PaymentPayload", "RefundPayload"}, f"client {number} is told {reply}")
    return reply
