"""The example shop as its visitors meet it: another origin, a real gateway, the simulator."""

import asyncio
from typing import Final

import pytest
from playwright.async_api import Request, Route, WebSocketRoute, expect

from core.identifiers import encode
from tests.api.gateway import Json, Shop
from tests.chromium import needs_chromium
from tests.examples.storefront import Storefront
from tests.examples.visitor import Visitor
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),  # the first run on a machine fetches what the shop is built with
    needs_chromium,
]


SILENT: Final = (
    "The payment service does not answer: you are offline, or it does not allow this page."
)


def charges(tenant: Shop, order: str) -> list[tuple[str, int]]:
    """What the provider really did for an order: kind and cents."""
    rows = tenant.rows(
        "SELECT o.id FROM provider_operation AS o JOIN payment AS p ON p.id = o.payment_id"
        " WHERE p.tenant_id = %s AND p.reference = %s",
        order,
    )
    operations = {encode("op", row[0]) for row in rows}
    return [
        (one["kind"], one["amount"]) for one in tenant.effects() if one["reference"] in operations
    ]


async def test_a_shopper_pays_and_the_shop_packs_the_parcel(visitor: Visitor, tenant: Shop) -> None:
    await visitor.visit()
    await visitor.presses("Add Ledger notebook to cart")
    await visitor.presses("Add Balance mug to cart")
    await visitor.keeps_screenshots("window")

    order = await visitor.orders("Balance mug")
    await visitor.sees("Pay")
    await visitor.keeps_screenshots("pay")
    await visitor.pays_with("A card that works", "€44.30")
    await visitor.sees("Thank you")
    await visitor.reads("Your parcel is being packed.")
    await visitor.keeps_screenshots("paid")

    assert charges(tenant, order) == [("charge", 4430)]
    await expect(visitor.page.locator("#pieces")).to_have_text("0")


async def test_a_declined_card_costs_nothing_and_another_one_pays(
    visitor: Visitor, tenant: Shop
) -> None:
    order = await visitor.orders("PAID stamp")

    await visitor.pays_with("A card without enough money", "€24.00")
    await visitor.sees("Your card was declined")
    await visitor.reads("Your account does not hold enough money for this payment.")
    await visitor.reads("Nothing was charged. Please try another card.")
    await visitor.keeps_screenshots("declined")
    before = charges(tenant, order)
    await visitor.pays_with("A card that works", "€24.00")
    await visitor.sees("Thank you")

    assert before == []
    assert charges(tenant, order) == [("charge", 2400)]


async def test_a_bank_that_asks_sends_the_shopper_back(visitor: Visitor, tenant: Shop) -> None:
    order = await visitor.orders("Balance mug")

    await visitor.pays_with("A card that asks for 3-D Secure", "€12.90")
    await visitor.presses("Decline")
    await visitor.sees("Your card was declined")
    await visitor.pays_with("A card that asks for 3-D Secure", "€12.90")
    await visitor.page.get_by_role("button", name="Approve").wait_for()
    await visitor.visit(f"/orders/{order}")
    await visitor.sees("Your bank wants to know that it is you")
    await visitor.keeps_screenshots("bank")
    before = charges(tenant, order)
    await visitor.presses("Continue to your bank")
    await visitor.presses("Approve")
    await visitor.sees("Thank you")

    assert before == []
    assert charges(tenant, order) == [("charge", 1290)]
    assert visitor.page.url == f"{visitor.storefront.origin}/orders/{order}"


def keep_quiet(simulator: SimulatorProcess) -> None:
    """The provider tells nothing about what it did: neither when asked nor by itself."""
    simulator.control("/_webhooks", pause=True)
    rules = [{"fault": "drop_before", "match": {"path": "/v1/", "method": "GET"}}]
    simulator.control("/_faults", seed=1, rules=rules)


def speak(simulator: SimulatorProcess) -> None:
    simulator.client.delete("/_faults").raise_for_status()
    simulator.control("/_webhooks", pause=False)


async def test_an_unknown_outcome_is_waited_for_and_nobody_pays_twice(
    visitor: Visitor, tenant: Shop
) -> None:
    simulator = tenant.gateway.simulator
    order = await visitor.orders("PAID stamp")
    keep_quiet(simulator)

    try:
        await visitor.pays_with("A card whose answer gets lost", "€24.00")
        await visitor.sees("We are waiting for your bank")
        await visitor.keeps_screenshots("waiting")
        offered = await visitor.page.locator("main button").count()
        await visitor.page.reload()
        await visitor.sees("We are waiting for your bank")
        await expect(visitor.page.locator("main button")).to_have_count(0)
        asked = len(visitor.answers)
    finally:
        speak(simulator)
    await visitor.sees("Thank you")

    assert offered == 0
    assert len(visitor.sockets) == 2
    assert len(visitor.answers) == asked, "it was told, it did not ask"
    assert charges(tenant, order) == [("charge", 2400)]


async def test_a_connection_that_breaks_while_waiting_is_made_again(
    visitor: Visitor, tenant: Shop
) -> None:
    simulator = tenant.gateway.simulator
    opened: list[WebSocketRoute] = []
    again = asyncio.Event()

    async def break_the_first(socket: WebSocketRoute) -> None:
        opened.append(socket)
        server = socket.connect_to_server()
        if len(opened) == 1:
            server.on_message(lambda _: asyncio.ensure_future(socket.close(code=1012)))
        else:
            again.set()

    await visitor.page.route_web_socket("**/storefront/graphql", break_the_first)
    order = await visitor.orders("Ledger notebook")
    keep_quiet(simulator)
    try:
        await visitor.pays_with("A card whose answer gets lost", "€18.50")
        await visitor.sees("We are waiting for your bank")
        await asyncio.wait_for(again.wait(), 20)
    finally:
        speak(simulator)
    await visitor.sees("Thank you")

    assert charges(tenant, order) == [("charge", 1850)]


async def test_a_confirmation_whose_answer_is_lost_on_the_way_is_sent_again_under_its_key(
    visitor: Visitor, tenant: Shop
) -> None:
    keys: list[str] = []

    async def lose_the_first(route: Route) -> None:
        sent: Json = route.request.post_data_json or {}
        if "ConfirmPayment" not in sent.get("query", ""):
            await route.continue_()
            return
        keys.append(sent["variables"]["input"]["idempotencyKey"])
        answer = await route.fetch()
        await (route.abort() if len(keys) == 1 else route.fulfill(response=answer))

    order = await visitor.orders("Ledger notebook")
    await visitor.page.route("**/storefront/graphql", lose_the_first)
    await visitor.pays_with("A card that works", "€18.50")
    await visitor.sees("Thank you")
    visitor.forgives("net::ERR_FAILED")

    assert len(keys) == 2
    assert len({*keys}) == 1
    assert charges(tenant, order) == [("charge", 1850)]


async def test_customers_see_their_own_and_nothing_else(visitor: Visitor, tenant: Shop) -> None:
    await visitor.logs_in("Anna")
    await visitor.reads("A gift from the shop")
    await visitor.visit()
    await visitor.presses("Add PAID stamp to cart")
    await visitor.page.get_by_label("Pay with my store credit first").check()
    await visitor.keeps_screenshots("cart")
    order = await visitor.checks_out()
    await visitor.reads("A card that works")
    await visitor.keeps_screenshots("credit")
    await visitor.pays_with("A card that works", "€24.00")
    await visitor.sees("Thank you")
    await visitor.visit("/account")
    await visitor.sees("Hello, Anna")
    await visitor.keeps_screenshots("account")
    annas = await visitor.reading()
    await visitor.presses("Log out")
    await visitor.presses("Log in as Ben")
    await visitor.sees("Hello, Ben")
    bens = await visitor.reading()
    await visitor.presses("Log out")
    await visitor.presses("Log in as Anna")
    await visitor.sees("Hello, Anna")
    again = await visitor.reading()

    assert charges(tenant, order) == [("charge", 400)]
    assert annas.count("A gift from the shop") == again.count("A gift from the shop") == 1
    assert "€0.00 to spend" in annas
    assert "Spent on an order" in annas
    assert "-€20.00" in annas
    assert order[:14] in annas
    assert "Paid" in annas
    assert "€20.00 to spend" in bens
    assert "You have not ordered anything yet." in bens
    assert order[:14] not in bens


async def test_who_logs_in_in_another_tab_is_not_shown_the_account_of_before(
    visitor: Visitor,
) -> None:
    await visitor.logs_in("Anna")
    other = Visitor(await visitor.page.context.new_page(), visitor.storefront)
    await other.visit("/account")
    await other.presses("Log out")
    await other.presses("Log in as Ben")
    await other.sees("Hello, Ben")

    await visitor.presses("Look again")
    await visitor.sees("Hello, Ben")

    assert "€20.00 to spend" in await visitor.reading()
    assert other.complaints == []


async def test_store_credit_that_covers_it_all_needs_no_card(
    visitor: Visitor, tenant: Shop
) -> None:
    await visitor.logs_in("Clara")
    await visitor.visit()
    await visitor.presses("Add Balance mug to cart")
    await visitor.page.get_by_label("Pay with my store credit first").check()

    order = await visitor.checks_out()
    await visitor.sees("Pay")
    await visitor.presses("Pay €12.90")
    await visitor.reads("Your parcel is being packed.")
    await visitor.visit("/account")
    await visitor.reads("€7.10 to spend")

    assert charges(tenant, order) == []


async def test_an_order_the_shop_canceled_cannot_be_paid_any_more(
    visitor: Visitor, tenant: Shop
) -> None:
    order = await visitor.orders("Balance mug")
    await visitor.reads("A card that works")
    query = "query($r: String!) { paymentByReference(reference: $r) { id } }"
    payment = tenant.ask(query, r=order)["paymentByReference"]
    tenant.do("paymentCancel", paymentId=payment["id"])

    await visitor.pays_with("A card that works", "€12.90")
    await visitor.sees("This order was not paid")

    assert charges(tenant, order) == []


async def test_a_token_that_ended_is_replaced_only_for_who_is_still_logged_in(
    visitor: Visitor, tenant: Shop
) -> None:
    await visitor.logs_in("Anna")

    expire_tokens(tenant)
    await visitor.presses("Look again")
    await visitor.sees("Hello, Anna")
    shown = await visitor.reading()
    expire_tokens(tenant)
    await visitor.page.context.clear_cookies()
    await visitor.presses("Look again")
    await visitor.sees("Log in")
    visitor.forgives("401")

    assert "A gift from the shop" in shown
    assert "A gift from the shop" not in await visitor.reading()


def expire_tokens(tenant: Shop) -> None:
    tenant.rows(
        "UPDATE customer_token SET expires_at = clock_timestamp()"
        " WHERE tenant_id = %s RETURNING tenant_id"
    )


async def test_what_opens_something_else_or_nothing_any_more_opens_nothing(
    visitor: Visitor, tenant: Shop
) -> None:
    secret = tenant.pay(customerId="anna", confirm=False)["clientSecret"]
    bens, ended = tenant.customer_token("ben"), tenant.customer_token("anna")
    tenant.rows(
        "UPDATE customer_token SET expires_at = clock_timestamp()"
        " WHERE tenant_id = %s AND customer_id = %s RETURNING tenant_id",
        "anna",
    )
    mine = "{ customer { id payments { nodes { id } } wallets { currency } } }"
    by_secret = "query($s: String!) { paymentByClientSecret(clientSecret: $s) { id } }"
    await visitor.visit("/account")

    told_ben = await visitor.asks(mine, bens)
    told_late = await visitor.asks(mine, ended)
    told_by_secret = await visitor.asks(mine, secret)
    told_forger = await visitor.asks(by_secret, bens, s=f"{secret[:-4]}AAAA")
    visitor.forgives("401")

    assert told_ben["data"]["customer"]["id"] == "ben"
    assert told_ben["data"]["customer"]["payments"]["nodes"] == []
    assert told_late["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert told_by_secret["data"] == {"customer": None}
    assert told_forger["data"] == {"paymentByClientSecret": None}


KEEP: Final = "Keep this card for next time"
KEPT: Final = "Visa ending in"


def kept_by(tenant: Shop, customer: str) -> list[tuple[str]]:
    """The orders whose cards a customer keeps."""
    return tenant.rows(
        "SELECT p.reference FROM saved_method AS s JOIN payment AS p ON p.id = s.payment_id"
        " WHERE s.tenant_id = %s AND s.customer_id = %s AND s.removed_at IS NULL",
        customer,
    )


async def offers(visitor: Visitor) -> tuple[int, int]:
    """Boxes to keep a card, and kept cards to choose, on the page of an order."""
    await visitor.reads("A card that works")
    page = visitor.page
    return await page.get_by_label(KEEP).count(), await page.get_by_label(KEPT).count()


async def test_a_card_is_kept_if_its_owner_says_so_and_pays_until_they_remove_it(
    visitor: Visitor, tenant: Shop
) -> None:
    page = visitor.page
    told: list[str] = []

    def note(request: Request) -> None:
        if request.url.startswith(visitor.storefront.origin):
            told.append(request.post_data or "")

    page.on("request", note)
    await visitor.logs_in("Anna")
    first = await visitor.orders("Balance mug")
    await expect(page.get_by_label(KEEP)).not_to_be_checked()
    await page.get_by_label(KEEP).check()
    await visitor.keeps_screenshots("keep")
    await visitor.pays_with("A card that works", "€12.90")
    await visitor.sees("Thank you")
    kept = kept_by(tenant, "anna")

    second = await visitor.orders("PAID stamp")
    await expect(page.get_by_label(KEPT)).to_be_checked()
    await expect(page.get_by_label(KEEP)).to_be_hidden()
    await visitor.keeps_screenshots("kept")
    expire_tokens(tenant)
    await visitor.presses("Pay €24.00")
    await visitor.sees("Thank you")
    visitor.forgives("401")

    await visitor.visit("/account")
    remove = page.get_by_role("button", name=f"Remove {KEPT}")
    await remove.click()
    await visitor.keeps_screenshots("remove")
    await visitor.presses("Keep it")
    await visitor.keeps_screenshots("cards")
    before = kept_by(tenant, "anna")
    await remove.click()
    await visitor.presses("Remove it")
    await visitor.reads("You keep none.")

    assert kept == before == [(first,)]
    assert kept_by(tenant, "anna") == []
    assert charges(tenant, first) == [("charge", 1290)]
    assert charges(tenant, second) == [("charge", 2400)]
    assert tenant.rows(
        "SELECT saved_method_id IS NULL FROM payment WHERE tenant_id = %s AND reference = %s",
        second,
    ) == [(False,)]
    assert "orderKey" in "".join(told)
    assert not [text for text in told if "tok_" in text or "sm_" in text]


async def test_only_its_owner_is_offered_to_keep_a_card_or_sees_one(
    visitor: Visitor, tenant: Shop
) -> None:
    tenant.keep("clara")

    guests = await visitor.orders("Balance mug")
    for_a_guest = await offers(visitor)
    await visitor.logs_in("Clara")
    await visitor.orders("Balance mug")
    for_its_owner = await offers(visitor)
    await visitor.visit(f"/orders/{guests}")
    for_the_order_of_a_guest = await offers(visitor)
    await visitor.visit("/account")
    await visitor.presses("Log out")
    await visitor.presses("Log in as Anna")
    await visitor.sees("Hello, Anna")
    await visitor.orders("Balance mug")
    for_another = await offers(visitor)

    assert for_its_owner == (1, 1)
    assert for_another == (1, 0)
    assert for_a_guest == for_the_order_of_a_guest == (0, 0)


async def test_who_pays_with_a_card_that_was_removed_meanwhile_is_told_and_chooses_anew(
    visitor: Visitor, tenant: Shop
) -> None:
    removed = tenant.keep("clara")
    await visitor.logs_in("Clara")
    order = await visitor.orders("PAID stamp")
    cards = visitor.page.get_by_label(KEPT)
    await expect(cards.first).to_be_checked()
    offered = await cards.count()

    tenant.do("savedMethodRemove", id=removed)
    await visitor.presses("Pay €24.00")
    await visitor.reads("You do not keep this card any more.")
    await visitor.reads("Nothing was charged. Please try another card.")
    await visitor.keeps_screenshots("gone")
    before, left = charges(tenant, order), await cards.count()
    await visitor.pays_with("A card that works", "€24.00")
    await visitor.sees("Thank you")

    assert (before, left) == ([], offered - 1)
    assert charges(tenant, order) == [("charge", 2400)]
    assert (order,) not in kept_by(tenant, "clara")


async def test_the_page_gets_nothing_from_an_origin_that_nobody_allows(
    stranger: Storefront, visitor: Visitor, tenant: Shop
) -> None:
    visitor.storefront = stranger

    order = await visitor.orders("PAID stamp")
    await visitor.reads(SILENT)
    await visitor.keeps_screenshots("stranger")
    await visitor.presses("Try again")
    await visitor.reads(SILENT)
    await visitor.visit("/account")
    await visitor.presses("Log in as Anna")
    await visitor.reads(SILENT)
    complaints = visitor.forgives("CORS", "net::ERR_FAILED")

    assert await visitor.reading() == (f"Your account\n\n{SILENT}\n\nTry again")
    assert len(visitor.refused) >= 3
    assert {address.partition(" ")[2] for address in visitor.refused} == {
        f"{visitor.gateway}/storefront/graphql"
    }
    assert all("CORS" in one or "ERR_FAILED" in one for one in complaints)
    assert visitor.sockets == []
    assert charges(tenant, order) == []
