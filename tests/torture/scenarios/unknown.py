"""Answers that never come, and answers that come too late."""

import asyncio
from collections import Counter

import psycopg

from tests.torture.fleet import eventually
from tests.torture.results import RESULTS, Violated, demand
from tests.torture.scenarios.webhooks import NO_LOOKUPS
from tests.torture.shop import Shop
from tests.torture.wire import at_once


async def lost_answers_over_two_providers(shop: Shop, payments: int) -> str:
    """The provider charges and drops the connection. At most one effect each, over both.

    The first half is resolved by webhooks or by looking, whichever is first; for the second half
    webhooks are held back until looking has settled everything, and come late.
    """
    elsewhere = {"excludeProviders": [shop.name_at_simulator(shop.first)]}
    told: Counter[str] = Counter()

    async def pay(number: int) -> None:
        reply = await shop.create(
            f"{shop.name}-lost-{number:05d}",
            token="tok_timeout_after",
            via=number,
            routing=elsewhere if number % 2 else None,
        )
        told[f"{reply.kind} {reply.status}" if reply.kind == "PaymentPayload" else reply.kind] += 1
        if number % 100 == 99:
            RESULTS.say(f"  {number + 1} payments: {dict(told)}")

    half = payments // 2
    await at_once(20, half, pay)
    await shop.settle()
    await shop.fleet.tell_simulator("/_webhooks", pause=True)
    await at_once(20, payments - half, lambda number: pay(half + number))
    await eventually(
        lambda: _nothing_waits(shop), 90, lambda: f"not resolved by looking\n{shop.fleet.logs()}"
    )
    await shop.fleet.tell_simulator("/_webhooks", pause=False)
    await shop.settle()
    problems = [*await shop.audit(), *_hasty_answers(told)]
    if problems:
        raise Violated(*problems)
    states = Counter(
        row["status"] for row in await shop.rows("SELECT status FROM payment WHERE tenant_id = $1")
    )
    demand(states == {"CAPTURED": payments}, f"payments: {dict(states)}")
    effects = await shop.effects()
    by_provider = Counter(effect["account"] for effect in effects)
    demand(len(effects) == payments, f"{len(effects)} charges for {payments} payments")
    demand(len(by_provider) == 2, f"both providers were used: {by_provider}")
    return (
        f"{payments} lost answers: {len(effects)} charges "
        f"({' + '.join(str(n) for n in by_provider.values())}), all resolved; told {dict(told)}"
    )


def _hasty_answers(told: Counter[str]) -> list[str]:
    """Never "failed, try again" while nobody knows."""
    allowed = {"PaymentPayload PROCESSING", "PaymentPayload CAPTURED"}
    return [
        f"{told[one]} callers whose answer was lost were told {one}"
        for one in told.keys() - allowed
    ]


async def turned_away_at_first(shop: Shop, payments: int) -> str:
    """The provider says 429 to each payment once: nothing was done, and the same key goes again."""
    refusal = {"match": {"path": "/v1/payments", "method": "POST"}, "fault": "refuse"}
    await shop.faults({**refusal, "times": payments})
    replies = await asyncio.gather(
        *(shop.create(f"{shop.name}-again-{n:04d}", via=n) for n in range(payments))
    )
    told = Counter(r.status if r.kind == "PaymentPayload" else r.kind for r in replies)
    await shop.settle()
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
    demand(told == {"CAPTURED": payments}, f"callers are told {dict(told)}")
    return f"{payments} payments turned away once: each charged once, under one key"


async def late_answers_after_a_lost_lease(shop: Shop, payments: int) -> str:
    """The lease ends while the provider is slow, and the worker takes over; the answer comes.

    Looking fails and webhooks are held back: the late answer is the only evidence. It must count,
    though whoever brings it lost its claim.
    """
    await shop.fleet.tell_simulator("/_webhooks", pause=True)
    slow = {"match": {"path": "/v1/payments", "method": "POST"}, "fault": "slow", "delay_ms": 1800}
    await shop.faults(slow, NO_LOOKUPS)
    calls = asyncio.gather(
        *(shop.create(f"{shop.name}-late-{n:04d}", via=n) for n in range(payments))
    )
    await eventually(
        lambda: _effects_are(shop, payments), 20, lambda: "the provider was not asked in time"
    )
    lost = await asyncio.to_thread(_end_leases, shop)
    demand(lost == payments, f"{lost} of {payments} leases were there to be ended")
    replies = await calls
    told = Counter(r.status if r.kind == "PaymentPayload" else r.kind for r in replies)
    taken_over = await shop.count(
        "SELECT count(*) FROM provider_operation WHERE tenant_id = $1 AND fence > 1"
    )
    demand(taken_over >= payments // 2, f"the worker took over {taken_over} of {payments} only")
    waiting = await shop.count(
        "SELECT count(*) FROM provider_operation WHERE tenant_id = $1 AND status <> 'SUCCEEDED'"
    )
    demand(
        waiting == 0, f"{waiting} answers that came late were dropped; callers told {dict(told)}"
    )
    await shop.fleet.end_faults()
    await shop.fleet.tell_simulator("/_webhooks", pause=False)
    await shop.settle()
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
    return (
        f"{payments} leases ended early, {taken_over} taken over: every late answer kept; "
        f"callers told {dict(told)}"
    )


async def _nothing_waits(shop: Shop) -> bool:
    return not await shop.waiting()


async def _effects_are(shop: Shop, count: int) -> bool:
    return len(await shop.effects()) == count


def _end_leases(shop: Shop) -> int:
    """What a step of the database's clock would do."""
    with psycopg.connect(shop.fleet.admin_url) as admin:
        return admin.execute(
            "UPDATE provider_operation SET lease_until = clock_timestamp()"
            " WHERE tenant_id = %s AND status = 'SENT'",
            [shop.tenant_id],
        ).rowcount
