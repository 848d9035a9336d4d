"""Many at once for what is enough for a few."""

import asyncio
from collections import Counter

from tests.torture.results import Violated, demand
from tests.torture.shop import Reply, Shop

WHOLE, PART = 100, 10


async def refunds_of_one_payment(shop: Shop, tries: int) -> str:
    """`tries` refunds of 10 at once on 100 captured: exactly ten succeed."""
    paid = await shop.create(f"{shop.name}-refunds", amount=WHOLE)
    demand(paid.status == "CAPTURED", f"the payment is captured: {paid}")
    replies = await asyncio.gather(
        *(
            shop.refund(f"{shop.name}-refund-{n:04d}", paid.payment_id, PART, via=n)
            for n in range(tries)
        )
    )
    kinds = Counter(_told(reply) for reply in replies)
    demand(kinds["RefundPayload"] == WHOLE // PART, f"refunds: {dict(kinds)}")
    _only(replies, kinds, {"RefundPayload", "AmountExceededError"})
    await _settle_and_audit(shop)
    refunds = [effect for effect in await shop.effects() if effect["kind"] == "refund"]
    demand(len(refunds) == WHOLE // PART, f"{len(refunds)} refunds at the provider")
    demand(sum(r["amount"] for r in refunds) == WHOLE, f"refunded {refunds}")
    return f"{tries} refunds of {PART} on {WHOLE}: {dict(kinds)}, {len(refunds)} at the provider"


async def captures_of_one_authorization(shop: Shop, tries: int) -> str:
    """`tries` captures of 10 at once on 100 authorized: exactly ten succeed.

    Once the last is certain nothing is authorized any more: those that come later are told so.
    """
    held = await shop.create(f"{shop.name}-captures", amount=WHOLE, capture="MANUAL")
    demand(held.status == "AUTHORIZED", f"the payment is authorized: {held}")
    replies = await asyncio.gather(
        *(
            shop.capture(f"{shop.name}-capture-{n:04d}", held.payment_id, PART, final=False, via=n)
            for n in range(tries)
        )
    )
    kinds = Counter(_told(reply) for reply in replies)
    demand(kinds["PaymentPayload"] == WHOLE // PART, f"captures: {dict(kinds)}")
    _only(replies, kinds, {"PaymentPayload", "AmountExceededError", "InvalidStateError"})
    await _settle_and_audit(shop)
    captures = [effect for effect in await shop.effects() if effect["kind"] == "capture"]
    demand(len(captures) == WHOLE // PART, f"{len(captures)} captures at the provider")
    demand(sum(c["amount"] for c in captures) == WHOLE, f"captured {captures}")
    return f"{tries} captures of {PART} on {WHOLE}: {dict(kinds)}, {len(captures)} at the provider"


async def refunds_of_several_payments(shop: Shop, payments: int) -> str:
    """Each payment is refunded in part: at the provider it must be that very payment."""
    for number in range(payments):
        paid = await shop.create(f"{shop.name}-paid-{number:04d}")
        demand(paid.status == "CAPTURED", f"the payment is captured: {paid}")
        reply = await shop.refund(f"{shop.name}-back-{number:04d}", paid.payment_id, 200)
        demand(reply.kind == "RefundPayload", f"the refund is made: {reply}")
    await _settle_and_audit(shop)
    return f"{payments} refunds, each of its own payment"


def _told(reply: Reply) -> str:
    return reply.kind


def _only(replies: list[Reply], kinds: Counter[str], allowed: set[str]) -> None:
    strange = set(kinds) - allowed
    if strange:
        one = next(reply for reply in replies if reply.kind in strange)
        raise Violated(f"{dict(kinds)}; for example {str(one)[:400]}")


async def _settle_and_audit(shop: Shop) -> None:
    await shop.settle()
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
