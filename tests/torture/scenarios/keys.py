"""One key, many callers: whatever they are answered, the shopper is charged once."""

import asyncio
from collections import Counter

from tests.torture.results import RESULTS, Violated, demand
from tests.torture.shop import Shop
from tests.torture.wire import at_once

KEYS_AT_ONCE = 2


async def same_key_many_callers(shop: Shop, keys: int, copies: int) -> str:
    """`copies` identical paymentCreate for each of `keys` keys, over all API processes."""
    kinds: Counter[str] = Counter()
    problems: list[str] = []

    async def one_key(number: int) -> None:
        key = f"{shop.name}-key-{number:06d}"
        replies = await asyncio.gather(
            *(shop.create(key, amount=1000 + number, via=copy) for copy in range(copies))
        )
        told = Counter(
            "created"
            if reply.kind == "PaymentPayload" and not reply.replayed
            else "replayed"
            if reply.kind == "PaymentPayload"
            else reply.kind
            for reply in replies
        )
        kinds.update(told)
        ids = {reply.payment_id for reply in replies if reply.kind == "PaymentPayload"}
        strange = set(told) - {"created", "replayed", "OperationInProgressError"}
        if strange:
            one = next(r for r in replies if r.kind in strange)
            problems.append(f"{key} was answered {one.kind}: {str(one.answer)[:300]}")
        if told["created"] > 1 or len(ids) != 1:
            problems.append(f"{key}: {dict(told)}, payments {sorted(ids)}")
        if number % 100 == 99:
            RESULTS.say(f"  {number + 1} keys x {copies}: {dict(kinds)}")

    await at_once(KEYS_AT_ONCE, keys, one_key)
    if problems:
        raise Violated(*problems)
    await shop.settle()
    effects = await shop.effects()
    postings = await shop.count(
        "SELECT count(*) FROM ledger_transaction WHERE tenant_id = $1 AND recipe = 'sale@1'"
    )
    demand(len(effects) == keys, f"{len(effects)} effects at the provider for {keys} keys")
    demand(postings == keys, f"{postings} charges posted for {keys} keys")
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
    return (
        f"{keys} keys x {copies}: {len(effects)} effects, {postings} charges posted; answers "
        + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        + f"; {shop.told_to_wait} told to come again"
    )
