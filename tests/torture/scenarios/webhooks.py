"""Webhooks many times, in every order, and not quite as they were signed."""

import itertools
import random
from collections import Counter
from typing import Any

from tests.torture.catcher import Catcher, Caught
from tests.torture.fleet import eventually
from tests.torture.results import RESULTS, Violated, demand
from tests.torture.shop import Shop
from tests.torture.wire import NoAnswer, at_once

PARALLEL = 50
LOST_CHARGES = {"match": {"path": "/v1/payments", "method": "POST"}, "fault": "drop_after"}
NO_LOOKUPS = {"match": {"path": "/v1/operations", "method": "GET"}, "fault": "error_500_before"}


async def one_webhook_many_times(shop: Shop, deliveries: int) -> str:
    """The answer of a charge is lost and looking it up fails: its webhook is all there is."""
    async with Catcher() as catcher:
        await shop.call_back(catcher.url)
        await shop.faults(LOST_CHARGES, NO_LOOKUPS)
        reply = await shop.create(f"{shop.name}-webhook-1")
        demand(reply.kind == "PaymentPayload", f"the payment is made: {reply}")
        await eventually(lambda: catcher.caught, 10, lambda: "no webhook was sent")
        (caught,) = catcher.caught.values()
    statuses: Counter[str] = Counter()

    async def deliver(number: int) -> None:
        # Half of them byte for byte the same, half signed anew, as a retrying provider does.
        signature = caught.signature if number % 2 else shop.signature(caught.body)
        answer = await shop.deliver(caught.body, signature, via=number)
        statuses[f"HTTP {answer.status}"] += 1
        if number % 2000 == 1999:
            RESULTS.say(f"  {number + 1} deliveries: {dict(statuses)}")

    await at_once(PARALLEL, deliveries, deliver)
    demand(set(statuses) == {"HTTP 200"}, f"answers to deliveries: {dict(statuses)}")
    rows = await shop.count("SELECT count(*) FROM inbound_webhook WHERE tenant_id = $1")
    demand(rows == 1, f"{rows} inbox rows for one event")
    await _until_nothing_open(shop, 30)
    postings = await shop.count(
        "SELECT count(*) FROM ledger_transaction WHERE tenant_id = $1 AND recipe = 'sale@1'"
    )
    demand(postings == 1, f"{postings} postings for one event")
    await shop.fleet.end_faults()
    await _audit(shop)
    return (
        f"{deliveries} deliveries: {rows} inbox row, {postings} posting, {dict(statuses)}; "
        f"{shop.told_to_wait} told to come again"
    )


async def every_order(shop: Shop, payments: int) -> str:
    """Six events, in a different one of the 720 orders for each payment.

    Each payment is an authorization whose answer was lost, so that the first thing we may hear of
    it is any of: authorized, captured 4.00, captured the last 3.00, refunded 1.00 and 2.00 by the
    provider's dashboard, and that the first refund came back.
    """
    async with Catcher() as catcher:
        await shop.call_back(catcher.url)
        await shop.faults(LOST_CHARGES, NO_LOOKUPS)

        async def begin(number: int) -> None:
            reply = await shop.create(
                f"{shop.name}-order-{number:04d}", amount=1000, capture="MANUAL", via=number
            )
            demand(reply.kind == "PaymentPayload", f"the payment is made: {reply}")

        await at_once(16, payments, begin)
        made = [effect["payment"] for effect in await shop.effects()]
        demand(len(set(made)) == payments, f"{len(made)} authorizations for {payments} payments")
        await at_once(8, payments, lambda n: _in_the_dashboard(shop, made[n]))
        await eventually(
            lambda: len(catcher.caught) >= 6 * payments,
            120,
            lambda: f"{len(catcher.caught)} of {6 * payments} webhooks",
        )
        events = list(catcher.by_payment().values())
    demand(len(events) == payments, f"events of {len(events)} payments")
    demand(all(len(each) == 6 for each in events), "every payment has six events")
    RESULTS.say(f"  {payments} payments with six events each; delivering each in its own order")
    step = max(1, 720 // payments)
    orders = list(itertools.permutations(range(6)))[::step][:payments]

    async def deliver(number: int) -> None:
        for position in orders[number]:
            caught = events[number][position]
            answer = await shop.deliver(caught.body, shop.signature(caught.body), via=number)
            demand(answer.status == 200, f"a webhook was answered {answer}")

    await at_once(24, payments, deliver)
    await _until_nothing_open(shop, 240)
    await shop.fleet.end_faults()
    states = Counter(await _states(shop))
    demand(len(states) == 1, f"{len(states)} final states: {states.most_common(4)}")
    await _audit(shop)
    ((state, _),) = states.items()
    return f"{payments} payments, {len(set(orders))} orders: one final state ({state[:160]} …)"


async def _in_the_dashboard(shop: Shop, payment: str) -> None:
    tell = shop.fleet.tell_simulator
    await tell("/_dashboard/captures", payment=payment, amount=400, final=False)
    await tell("/_dashboard/captures", payment=payment, amount=300, final=True)
    refund = await tell("/_dashboard/refunds", payment=payment, amount=100)
    await tell("/_dashboard/refunds", payment=payment, amount=200)
    await tell("/_dashboard/refund_failures", refund=refund["id"])


async def _states(shop: Shop) -> list[str]:
    """Of each payment: its row, the operations' states and what the books hold for it."""
    rows = await shop.rows(
        """
        SELECT concat_ws(' ', p.status, p.authorized, p.captured_gross, p.capture_reversed,
                         p.refund_reserved, p.refunded, p.refunded_external, p.fees, '|',
                 (SELECT string_agg(concat_ws(':', o.kind, o.status, o.amount, o.moved_amount,
                                              o.fee), ' ' ORDER BY o.kind, o.amount, o.status)
                    FROM provider_operation AS o
                   WHERE o.tenant_id = p.tenant_id AND o.payment_id = p.id), '|',
                 (SELECT string_agg(concat_ws(':', b.path, b.layer, b.sum), ' '
                                    ORDER BY b.path, b.layer)
                    FROM (SELECT a.path, least(e.layer, 1) AS layer,
                                 sum(CASE e.direction WHEN 'D' THEN e.amount ELSE -e.amount END)
                            FROM ledger_transaction AS t
                            JOIN entry AS e
                              ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
                            JOIN account AS a
                              ON a.tenant_id = e.tenant_id AND a.id = e.account_id
                           WHERE t.tenant_id = p.tenant_id AND t.payment_id = p.id
                           GROUP BY a.path, least(e.layer, 1)) AS b)) AS state
          FROM payment AS p WHERE p.tenant_id = $1
        """
    )
    return [row["state"] for row in rows]


async def flipped_bits(shop: Shop, flips: int) -> str:
    """A signed webhook with one bit changed: in its body, its event id, its time, its signature."""
    async with Catcher() as catcher:
        await shop.call_back(catcher.url)
        reply = await shop.create(f"{shop.name}-flips-1")
        demand(reply.status == "CAPTURED", f"the payment is captured: {reply}")
        await eventually(lambda: catcher.caught, 10, lambda: "no webhook was sent")
        (caught,) = catcher.caught.values()
    dice = random.Random(20)
    statuses: Counter[str] = Counter()
    problems: list[str] = []
    signature = shop.signature(caught.body)

    async def flip(number: int) -> None:
        if number % 500 == 0:
            nonlocal signature  # it must be the flip that is refused, not the age
            signature = shop.signature(caught.body)
        where = _REGIONS[number % len(_REGIONS)]
        body, header = _flipped(caught, signature, where, dice)
        try:
            answer = await shop.deliver(body, header, via=number)
            statuses[f"{where} {answer.status}"] += 1
            if answer.status < 400 or answer.status >= 500:
                problems.append(f"{answer.status} for {where}: {header!r} {body!r}")
        except NoAnswer:
            statuses[f"{where} cut off"] += 1

    await at_once(PARALLEL, flips, flip)
    if problems:
        raise Violated(*problems)
    rows = await shop.count("SELECT count(*) FROM inbound_webhook WHERE tenant_id = $1")
    demand(rows == 0, f"{rows} inbox rows from altered webhooks")
    answer = await shop.deliver(caught.body, shop.signature(caught.body))
    demand(answer.status == 200, f"the unaltered webhook was answered {answer}")
    await _until_nothing_open(shop, 30)
    await _audit(shop)
    return f"{flips} flips: 0 accepted, 0 rows; {dict(sorted(statuses.items()))}"


_REGIONS = ("body", "id", "time", "signature")


def _flipped(caught: Caught, signature: str, where: str, dice: random.Random) -> tuple[bytes, str]:
    """The webhook with one bit of one part changed."""
    body, header = bytearray(caught.body), bytearray(signature.encode())
    value = header.index(b",v1=") + len(b",v1=")
    match where:
        case "body":
            _flip(body, 0, len(body), dice)
        case "id":
            id = caught.event["id"].encode()
            start = body.index(id)
            _flip(body, start, start + len(id), dice)
        case "time":
            _flip(header, 0, value, dice)
        case _:
            _flip(header, value, len(header), dice)
    return bytes(body), header.decode("latin-1")


def _flip(text: bytearray, start: int, end: int, dice: random.Random) -> None:
    text[dice.randrange(start, end)] ^= 1 << dice.randrange(8)


async def _until_nothing_open(shop: Shop, seconds: float) -> None:
    """Until no operation and no callback of ours waits; deliveries are our own here."""
    stuck: list[Any] = []

    async def quiet() -> bool:
        stuck[:] = await shop.waiting()
        return not stuck

    await eventually(quiet, seconds, lambda: f"still on its way: {stuck[:5]}\n{shop.fleet.logs()}")


async def _audit(shop: Shop) -> None:
    problems = await shop.audit()
    if problems:
        raise Violated(*problems)
