"""Shoppers who come back from their bank: with the answer, to the shop and nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from core.identifiers import encode
from counterfoil.returning import Returning
from payments import (
    ConfirmPayment,
    Method,
    client_secret,
    confirm,
    open_return,
    return_token,
)
from tenants import allow_origin, disallow_origin
from tests.payments.world import PUBLIC_URL, VAULT, World

SHOP = "https://shop.example"
BACK = "https://shop.example/thanks?order=7#top"
ACT = {"actor": "test", "correlation_id": "cor_test"}


@pytest.fixture
async def shop(world: World) -> World:
    """A world whose shop's pages are allowed."""
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await allow_origin(tx, world.tenant_id, SHOP, **ACT)
    return world


@asynccontextmanager
async def a_browser(world: World, seconds: float = 6.0) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is not sent on by itself."""
    returning = Returning(lambda: world.services, seconds=seconds)
    route = Route("/return/{token}", returning.come_back, methods=["GET", "POST"])
    transport = httpx.ASGITransport(Starlette(routes=[route]))
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
        yield client
        await returning.drain()


async def challenged(
    world: World, decision: str = "approve", return_url: str = BACK
) -> tuple[UUID, str]:
    """A shopper decided at the bank; the payment, and where the bank sends them."""
    payment_id = await world.pay("tok_requires_action", return_url=return_url)
    return payment_id, await decide(world, payment_id, decision)


async def decide(world: World, payment_id: UUID, decision: str) -> str:
    """The shopper decides at the bank; where it sends them."""
    seen = await world.see(payment_id)
    assert seen.payment.next_action is not None
    answer = world.simulator.client.post(
        seen.payment.next_action["url"], data={"decision": decision}
    )
    assert answer.status_code == 303
    location: str = answer.headers["location"]
    return location


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_shopper_comes_back_to_the_shop_with_the_payment_up_to_date(
    shop: World, method: str
) -> None:
    payment_id, door = await challenged(shop)
    assert (await shop.see(payment_id)).payment.status == "REQUIRES_ACTION"

    async with a_browser(shop) as browser:
        answer = await browser.request(method, door)

    assert door.startswith(f"{PUBLIC_URL}/return/")
    assert answer.status_code == 303
    public_id = encode("pay", payment_id)
    hint = f"payment_id={public_id}&payment_status=CAPTURED"
    assert answer.headers["location"] == f"{SHOP}/thanks?order=7&{hint}#top"
    assert answer.headers["cache-control"] == "no-store"
    assert (await shop.see(payment_id)).payment.status == "CAPTURED"
    await shop.check()


async def test_coming_back_twice_does_nothing_twice(shop: World) -> None:
    payment_id, door = await challenged(shop)

    async with a_browser(shop) as browser:
        answers = [await browser.get(door) for _ in range(3)]

    assert len({answer.headers["location"] for answer in answers}) == 1
    assert shop.effects() == [("charge", 1000)]
    assert (await shop.events(payment_id)).count("payment.captured") == 1
    await shop.check()


async def test_coming_back_over_and_over_does_not_ask_the_provider_each_time(shop: World) -> None:
    payment_id = await shop.pay("tok_requires_action", return_url=BACK)
    door = f"{PUBLIC_URL}/return/{return_token(VAULT, payment_id)}"

    def requests() -> int:
        return int(shop.simulator.client.get("/_log/summary").json()["requests"])

    before = requests()
    async with a_browser(shop) as browser:
        at_once = await asyncio.gather(*(browser.get(door) for _ in range(5)))
        later = [await browser.get(door) for _ in range(5)]

    assert requests() - before == 1
    for answer in (*at_once, *later):
        assert "payment_status=REQUIRES_ACTION" in answer.headers["location"]


async def test_who_comes_back_from_a_second_try_is_not_taken_for_the_first(shop: World) -> None:
    payment_id, door = await challenged(shop, "decline")
    async with a_browser(shop) as browser:
        declined = await browser.get(door)
        method = Method("tok_requires_action")
        again = ConfirmPayment("a-second-try", {}, payment_id, method)
        await confirm(again, shop.actor, shop.services)
        await decide(shop, payment_id, "approve")
        approved = await browser.get(door)

    assert "payment_status=REQUIRES_PAYMENT_METHOD" in declined.headers["location"]
    assert "payment_status=CAPTURED" in approved.headers["location"]
    await shop.check()


async def test_what_a_provider_adds_proves_nothing(shop: World) -> None:
    payment_id, door = await challenged(shop, "decline")

    async with a_browser(shop) as browser:
        answer = await browser.post(
            f"{door}?redirect_status=succeeded&payment_status=CAPTURED&return_url=https://evil.example",
            data={"status": "approved", "url": "https://evil.example"},
        )

    location = urlsplit(answer.headers["location"])
    assert (location.scheme, location.netloc) == ("https", "shop.example")
    assert dict(parse_qsl(location.query))["payment_status"] == "REQUIRES_PAYMENT_METHOD"
    assert (await shop.see(payment_id)).payment.status == "REQUIRES_PAYMENT_METHOD"
    assert shop.effects() == []


async def test_a_provider_that_does_not_answer_keeps_no_shopper(shop: World) -> None:
    payment_id, door = await challenged(shop)
    slow = {"match": {"method": "GET"}, "fault": "slow", "delay_ms": 1000}
    shop.simulator.control("/_faults", seed=1, rules=[slow])

    async with a_browser(shop, seconds=0.05) as browser:
        answer = await browser.get(door)

    assert "payment_status=REQUIRES_ACTION" in answer.headers["location"]
    assert (await shop.see(payment_id)).payment.status == "CAPTURED", "taken in when it came"


async def test_a_door_we_never_made_leads_nowhere(shop: World) -> None:
    payment_id, door = await challenged(shop)
    token = door.rpartition("/")[2]
    other = return_token(VAULT, UUID(int=7))
    wrong = [
        token[:-1],
        token + "a",
        token.upper(),
        token.replace("_return_", "_secret_"),
        client_secret(VAULT, payment_id),
        encode("pay", payment_id),
        encode("pay", payment_id) + "_return_" + other.rpartition("_")[2],
        other,
        "x",
        "a" * 5_000,
        "pay_%F0%9F%92%A9_return_",
    ]

    async with a_browser(shop) as browser:
        answers = [await browser.get(f"/return/{each}") for each in wrong]

    for answer in answers:
        assert answer.status_code == 404
        assert "location" not in answer.headers
    assert (await shop.see(payment_id)).payment.status == "REQUIRES_ACTION"


async def test_the_door_is_no_client_secret(shop: World) -> None:
    payment_id, door = await challenged(shop)
    token = door.rpartition("/")[2]

    assert await open_return(shop.services, token) == (shop.tenant_id, payment_id)
    assert token.rpartition("_")[2] not in client_secret(VAULT, payment_id)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/thanks",
        "https://shop.example.evil.example/",
        "https://shop.example:8443/",
        "https://shop.example@evil.example/",
        "https://evil.example\\@shop.example/",
        "http://shop.example/",
    ],
)
async def test_we_are_no_door_to_pages_the_shop_did_not_name(shop: World, url: str) -> None:
    payment_id = await shop.pay(confirm=False, return_url=url)

    async with a_browser(shop) as browser:
        answer = await browser.get(f"/return/{return_token(VAULT, payment_id)}")

    assert answer.status_code == 200
    assert "location" not in answer.headers


async def test_to_such_a_page_the_provider_leads_by_itself(shop: World) -> None:
    _, location = await challenged(shop, return_url="https://elsewhere.example/thanks")

    assert location == "https://elsewhere.example/thanks"


async def test_a_page_that_is_not_the_shops_any_more_is_not_led_to(shop: World) -> None:
    payment_id, door = await challenged(shop)
    async with shop.database.unit_of_work(shop.tenant_id) as tx:
        await disallow_origin(tx, shop.tenant_id, SHOP, **ACT)

    async with a_browser(shop) as browser:
        answer = await browser.get(door)

    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert (await shop.see(payment_id)).payment.status == "CAPTURED"


async def test_without_a_way_back_the_provider_is_told_none(shop: World) -> None:
    payment_id = await shop.pay("tok_requires_action")
    seen = await shop.see(payment_id)
    assert seen.payment.next_action is not None

    page = shop.simulator.client.post(seen.payment.next_action["url"], data={"decision": "approve"})
    async with a_browser(shop) as browser:
        answer = await browser.get(f"/return/{return_token(VAULT, payment_id)}")

    assert page.status_code == 200
    assert answer.status_code == 200
    assert (await shop.see(payment_id)).payment.status == "CAPTURED"


async def test_a_confirmation_may_name_the_way_back(shop: World) -> None:
    payment_id = await shop.pay(None, confirm=False, return_url="https://elsewhere.example/")
    method = Method("tok_requires_action")
    command = ConfirmPayment("confirm-with-a-way", {}, payment_id, method, BACK)

    await confirm(command, shop.actor, shop.services)

    seen = await shop.see(payment_id)
    assert seen.payment.next_action is not None
    answer = shop.simulator.client.post(
        seen.payment.next_action["url"], data={"decision": "approve"}
    )
    assert answer.headers["location"] == f"{PUBLIC_URL}/return/{return_token(VAULT, payment_id)}"
