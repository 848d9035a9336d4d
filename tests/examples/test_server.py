"""The example shop's own server: what it decides, what it hands out, whom it refuses."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4  # noqa: TID251 - what browsers make

import httpx
import pytest

from examples.storefront.run import HERE, ROOT
from tests.api.gateway import Json, Shop
from tests.examples.storefront import Storefront, a_leaky_way, a_storefront, an_origin
from tests.loopback import TRUSTS_NOBODY

pytestmark = pytest.mark.timeout(300)  # the first run on a machine fetches what it is built with

NOTEBOOK = {"productId": "notebook", "quantity": 2}


@pytest.fixture
def shopper(storefront: Storefront) -> Iterator[httpx.Client]:
    """A browser of its own: it keeps its cookie and says where its page comes from."""
    headers = {"origin": storefront.origin}
    with httpx.Client(
        base_url=storefront.origin, headers=headers, trust_env=False, verify=TRUSTS_NOBODY
    ) as client:
        yield client


@pytest.fixture
def another(storefront: Storefront) -> Iterator[httpx.Client]:
    headers = {"origin": storefront.origin}
    with httpx.Client(
        base_url=storefront.origin, headers=headers, trust_env=False, verify=TRUSTS_NOBODY
    ) as client:
        yield client


def an_order(*lines: Json, key: str | None = None) -> Json:
    return {"orderKey": key or str(uuid4()), "lines": [*lines]}


def payments(tenant: Shop, order: str) -> list[tuple[int]]:
    return tenant.rows("SELECT amount FROM payment WHERE tenant_id = %s AND reference = %s", order)


def test_prices_are_the_servers_whatever_the_page_says(shopper: httpx.Client, tenant: Shop) -> None:
    cheap = {**NOTEBOOK, "priceMinor": 1, "amount": "0.01"}

    placed = shopper.post("/api/orders", json={**an_order(cheap), "totalMinor": 1}).json()

    assert payments(tenant, placed["orderId"]) == [(3700,)]
    assert shopper.get(f"/api/orders/{placed['orderId']}").json()["totalMinor"] == 3700


def test_an_order_sent_many_times_at_once_is_one_order_with_one_payment(
    shopper: httpx.Client, tenant: Shop
) -> None:
    order = an_order(NOTEBOOK)
    shopper.get("/api/session")
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(shopper.post("/api/orders", json=order))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {200}
    (id,) = {answer.json()["orderId"] for answer in answers}
    assert len(payments(tenant, id)) == 1


def test_an_order_whose_payment_was_made_but_the_answer_lost_has_one_payment(
    built: None, tenant: Shop, tmp_path: Path
) -> None:
    order, origin = an_order(NOTEBOOK), an_origin()

    with (
        a_leaky_way(tenant, "paymentCreate") as (way, sent),
        a_storefront(tenant, tmp_path, origin, gateway=way),
    ):
        answer = httpx.post(
            f"{origin}/api/orders",
            json=order,
            headers={"origin": origin},
            trust_env=False,
            verify=TRUSTS_NOBODY,
        )

    assert answer.status_code == 200
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert len(payments(tenant, answer.json()["orderId"])) == 1


MAKE_SHOP = (sys.executable, "-m", "examples.storefront.run")


def test_make_shop_opens_it(built: None, tenant: Shop, tmp_path: Path) -> None:
    with a_storefront(tenant, tmp_path, an_origin(), command=MAKE_SHOP) as opened:
        answer = httpx.get(opened.origin, trust_env=False, verify=TRUSTS_NOBODY)

    assert "<title>Double Entry</title>" in answer.text
    assert f'data-gateway="{tenant.gateway.base}"' in answer.text


def test_make_shop_without_a_key_says_what_to_do_first(tmp_path: Path) -> None:
    ended = subprocess.run(
        MAKE_SHOP,
        cwd=ROOT,
        env={"COUNTERFOIL_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "run `make serve` first" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_forgot_an_order_makes_no_second_payment_for_it(
    built: None, tenant: Shop, tmp_path: Path
) -> None:
    order, origin, secrets = an_order(NOTEBOOK), an_origin(), []

    for _ in range(2):
        with (
            a_storefront(tenant, tmp_path, origin),
            httpx.Client(
                base_url=origin, headers={"origin": origin}, trust_env=False, verify=TRUSTS_NOBODY
            ) as client,
        ):
            id = client.post("/api/orders", json=order).json()["orderId"]
            secrets.append(client.get(f"/api/orders/{id}").json()["clientSecret"])

    assert secrets[0] == secrets[1]
    assert len(payments(tenant, id)) == 1


def test_an_order_whose_cart_changed_is_not_the_same_order(
    shopper: httpx.Client, tenant: Shop
) -> None:
    order = an_order(NOTEBOOK)

    placed = shopper.post("/api/orders", json=order).json()
    changed = shopper.post("/api/orders", json={**order, "lines": [{**NOTEBOOK, "quantity": 3}]})

    assert changed.status_code == 409
    assert payments(tenant, placed["orderId"]) == [(3700,)]


@pytest.mark.parametrize(
    "order",
    [
        an_order(),
        an_order({"productId": "gold", "quantity": 1}),
        an_order({"productId": "mug", "quantity": 0}),
        an_order({"productId": "mug", "quantity": -1}),
        an_order({"productId": "mug", "quantity": 0.5}),
        an_order({"productId": "mug", "quantity": "1"}),
        an_order({"productId": "mug", "quantity": 21}),
        an_order(NOTEBOOK, NOTEBOOK),
        an_order(NOTEBOOK, key="x"),
        {"orderKey": str(uuid4()), "lines": "mug"},
        {"orderKey": str(uuid4())},
        "mug",
        [],
    ],
)
def test_what_cannot_be_sold_is_refused_and_no_payment_is_made(
    order: Json | str, shopper: httpx.Client, tenant: Shop
) -> None:
    before = tenant.rows("SELECT count(*) FROM payment WHERE tenant_id = %s")

    answer = shopper.post("/api/orders", json=order)

    assert answer.status_code in {409, 422}
    assert answer.json()["message"]
    assert tenant.rows("SELECT count(*) FROM payment WHERE tenant_id = %s") == before


def test_an_order_is_shown_to_whoever_placed_it_and_to_nobody_else(
    shopper: httpx.Client, another: httpx.Client
) -> None:
    order = an_order(NOTEBOOK)
    id = shopper.post("/api/orders", json=order).json()["orderId"]

    own = shopper.get(f"/api/orders/{id}")
    foreign = another.get(f"/api/orders/{id}")
    taken = another.post("/api/orders", json=order)

    assert own.json()["clientSecret"].startswith("pay_")
    assert (foreign.status_code, taken.status_code) == (404, 409)
    assert own.json()["clientSecret"] not in foreign.text + taken.text


def test_an_order_says_whose_it_is_to_its_owner_only(shopper: httpx.Client) -> None:
    guests = shopper.post("/api/orders", json=an_order(NOTEBOOK)).json()["orderId"]
    shopper.post("/api/session", json={"customerId": "clara"})
    claras = shopper.post("/api/orders", json=an_order(NOTEBOOK)).json()["orderId"]

    to_clara = [shopper.get(f"/api/orders/{id}").json() for id in (guests, claras)]
    shopper.post("/api/session", json={"customerId": "anna"})
    to_anna = [shopper.get(f"/api/orders/{id}").json() for id in (guests, claras)]

    assert [order["customerId"] for order in to_clara] == [None, "clara"]
    assert [order["customerId"] for order in to_anna] == [None, None]


def test_another_page_makes_a_browser_do_nothing(shopper: httpx.Client, tenant: Shop) -> None:
    foreign = {"origin": "https://evil.example"}
    paths = ("/api/orders", "/api/session", "/api/session/end", "/api/customer-token")

    answers = [
        shopper.post(path, json={**an_order(NOTEBOOK), "customerId": "anna"}, headers=foreign)
        for path in paths
    ]
    as_form = shopper.post("/api/orders", content="{}", headers={"content-type": "text/plain"})

    assert [answer.status_code for answer in answers] == [403] * 4
    assert as_form.status_code == 415
    assert shopper.get("/api/session").json()["customerId"] is None


def test_who_is_not_logged_in_gets_no_customer_token(shopper: httpx.Client) -> None:
    refused = shopper.post("/api/customer-token", json={"customerId": "anna"})
    unknown = shopper.post("/api/session", json={"customerId": "mallory"})
    shopper.post("/api/session", json={"customerId": "ben"})
    given = shopper.post("/api/customer-token", json={"customerId": "anna"})
    shopper.post("/api/session/end", json={})
    ended = shopper.post("/api/customer-token", json={})

    assert (refused.status_code, unknown.status_code, ended.status_code) == (401, 403, 401)
    assert given.json()["token"].startswith("cf_cus_")


def test_logging_in_gives_the_browser_another_cookie(shopper: httpx.Client) -> None:
    shopper.get("/api/session")
    before = shopper.cookies["shop_session"]
    answer = shopper.post("/api/session", json={"customerId": "anna"})

    assert shopper.cookies["shop_session"] != before
    assert "HttpOnly; SameSite=Lax" in answer.headers["set-cookie"]
    old = httpx.get(
        f"{shopper.base_url}/api/session",
        cookies={"shop_session": before},
        trust_env=False,
        verify=TRUSTS_NOBODY,
    )
    assert old.json()["customerId"] is None


def test_nothing_the_server_hands_out_or_writes_down_is_its_key(
    shopper: httpx.Client, storefront: Storefront, tenant: Shop
) -> None:
    shopper.post("/api/session", json={"customerId": "anna"})
    id = shopper.post("/api/orders", json=an_order(NOTEBOOK)).json()["orderId"]
    files = [f"/{path.name}" for path in Path(HERE / "dist" / "page").iterdir()]

    answers = [
        shopper.get(path)
        for path in ("/", "/account", f"/orders/{id}", "/api/session", f"/api/orders/{id}", *files)
    ]
    answers.append(shopper.post("/api/customer-token", json={}))
    nothing = [shopper.get(path) for path in ("/server.js", "/../server.js", "/%2e%2e/server.js")]

    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.status_code == 404 or "<!doctype" in answer.text for answer in nothing)
    told = "\n".join(f"{answer.headers} {answer.text}" for answer in (*answers, *nothing))
    assert tenant.key not in told + storefront.log.read_text()
    assert "server-key" not in told


def test_a_visitor_by_another_name_is_sent_to_the_right_one(storefront: Storefront) -> None:
    port = storefront.origin.rpartition(":")[2]

    answer = httpx.get(
        f"{storefront.origin}/account",
        headers={"host": f"evil.example:{port}"},
        trust_env=False,
        verify=TRUSTS_NOBODY,
    )

    assert answer.status_code == 307
    assert answer.headers["location"] == f"{storefront.origin}/account"
