"""Watching payments over WebSocket: what is sent, to whom, and how it ends."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tenants import SCOPES
from tests.api.gateway import FULL, STOREFRONT, Gateway, Shop, a_gateway
from tests.api.sockets import Closed, Socket, a_deaf_socket, a_socket

pytestmark = pytest.mark.timeout(180)

WATCH = "subscription($id: ID!) { paymentChanged(paymentId: $id) { id status version } }"
WATCH_SECRET = """subscription($s: String!) { paymentChangedByClientSecret(clientSecret: $s) {
  id status version amount { decimal } lastDecline { customerMessage } } }"""
ENDED = {"CAPTURED", "FAILED"}


@pytest.fixture(scope="module")
def own(gateway: Gateway) -> Shop:
    return gateway.shop(webhooks=False)


@pytest.fixture
def socket(own: Shop) -> Iterator[Socket]:
    """Of a server with every scope."""
    with a_socket(own.gateway.base) as opened:
        opened.init(own.key)
        yield opened


def confirm(shop: Shop, payment: Any, token: str = "tok_success") -> Any:
    return shop.do("paymentConfirm", paymentId=payment["id"], method={"token": token})


def end(shop: Shop, path: str = FULL, headers: dict[str, str] | None = None, **init: Any) -> int:
    """The code with which a socket ends that says this of itself."""
    with a_socket(shop.gateway.base, path, headers) as opened:
        try:
            opened.init(**init)
        except Closed as closed:
            return closed.code
    return 0


def test_a_payment_is_sent_as_it_is_and_after_each_change(own: Shop, socket: Socket) -> None:
    payment = own.pay(confirm=False)
    id = socket.subscribe(WATCH, id=payment["id"])
    states = [socket.next(id)["paymentChanged"]]
    assert states[0]["status"] == "REQUIRES_CONFIRMATION"

    confirm(own, payment, "tok_declined")
    states.append(socket.next(id)["paymentChanged"])
    confirm(own, payment)
    while states[-1]["status"] not in ENDED:
        states.append(socket.next(id)["paymentChanged"])
    refunded = own.do("refundCreate", paymentId=payment["id"], reason="REQUESTED_BY_CUSTOMER")
    while states[-1]["version"] != refunded["payment"]["version"]:
        states.append(socket.next(id)["paymentChanged"])

    versions = [int(state["version"]) for state in states]
    assert versions == sorted(set(versions))
    assert "CAPTURED" in [state["status"] for state in states]
    assert {state["id"] for state in states} == {payment["id"]}


def test_many_watch_many_payments_and_none_misses_the_end(own: Shop) -> None:
    payments = [own.pay(confirm=False) for _ in range(3)]
    with ExitStack() as stack:
        sockets = [stack.enter_context(a_socket(own.gateway.base)) for _ in range(4)]
        for opened in sockets:
            opened.init(own.key)
            for payment in payments:
                opened.subscribe(WATCH, id=payment["id"])
        for payment in payments:
            confirm(own, payment)

        for opened in sockets:
            seen: dict[str, list[int]] = {}
            ended: set[str] = set()
            while len(ended) < len(payments):
                state = opened.receive()["payload"]["data"]["paymentChanged"]
                seen.setdefault(state["id"], []).append(int(state["version"]))
                ended |= {state["id"]} if state["status"] in ENDED else set()
            assert all(versions == sorted(set(versions)) for versions in seen.values())


def test_a_subscription_that_was_completed_is_silent(own: Shop, socket: Socket) -> None:
    payment, other = own.pay(confirm=False), own.pay(confirm=False)
    silent = socket.subscribe(WATCH, id=payment["id"])
    socket.next(silent)
    heard = socket.subscribe(WATCH, id=other["id"])
    socket.next(heard)

    socket.send({"id": silent, "type": "complete"})
    socket.send({"type": "ping"})
    assert socket.receive() == {"type": "pong"}
    confirm(own, payment)
    confirm(own, other)

    assert socket.next(heard)["paymentChanged"]["id"] == other["id"]


@pytest.mark.parametrize("path", [FULL, STOREFRONT])
def test_a_browser_watches_with_the_client_secret_alone(own: Shop, path: str) -> None:
    payment = own.pay(confirm=False)
    secret = payment["clientSecret"]
    with a_socket(own.gateway.base, path) as opened:
        opened.init(secret)
        id = opened.subscribe(WATCH_SECRET, s=secret)
        first = opened.next(id)["paymentChangedByClientSecret"]
        confirm(own, payment)
        state = first
        while state["status"] not in ENDED:
            state = opened.next(id)["paymentChangedByClientSecret"]

    assert first["id"] == payment["id"]
    assert state["status"] == "CAPTURED"


def test_a_browser_sees_what_browsers_may_see_and_no_more(own: Shop) -> None:
    payment = own.pay(confirm=False)
    watch = "subscription($s: String!) { paymentChangedByClientSecret(clientSecret: $s) { %s } }"
    with a_socket(own.gateway.base, STOREFRONT) as opened:
        opened.init()
        assert opened.ask(watch % "status", s=payment["clientSecret"])["data"]
        for hidden in ("fees { amountMinor }", "customerId", "attempts { id }", "metadata { key }"):
            refused = opened.refusal(watch % hidden, s=payment["clientSecret"])
            assert refused["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        refused = opened.refusal(WATCH, id=payment["id"])
        assert refused["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    with a_socket(own.gateway.base) as opened:
        opened.init(payment["clientSecret"])
        refused = opened.refusal(WATCH, id=payment["id"])
        assert refused["extensions"]["code"] == "FORBIDDEN"


def test_credentials_come_with_the_upgrade_or_with_connection_init(own: Shop) -> None:
    good, other = f"Bearer {own.key}", f"Bearer {own.key_with('PAYMENTS_READ')}"

    assert end(own, headers={"authorization": good}) == 0
    assert end(own, Authorization=good) == end(own, authorization=good) == 0
    assert end(own, headers={"authorization": good}, Authorization=good) == 0
    assert end(own, headers={"authorization": good}, Authorization=other) == 4403
    assert end(own, Authorization=good, authorization=good) == 4403


@pytest.mark.parametrize("path", [FULL, STOREFRONT])
def test_a_caller_nobody_knows_is_shown_out(own: Shop, path: str) -> None:
    (revoked,) = own.keys([SCOPES])
    own.gateway.admin.execute(
        "UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = %s", [revoked.id]
    )
    wrong: list[Any] = ["Bearer cf_test_" + "A" * 40, f"Bearer {own.key[:-1]}", "Bearer", own.key]
    wrong += [f"Basic {own.key}", f"Bearer {revoked.secret}", "", 7, None, {"a": 1}, "Bearer pay_1"]

    for given in wrong:
        assert end(own, path, Authorization=given) == 4403, given
    for header in ("Bearer cf_test_" + "A" * 40, f"Bearer {own.key[:-1]}", "Basic x"):
        assert end(own, path, headers={"authorization": header}) == 4403, header
    assert end(own, path) == (4401 if path == FULL else 0)


def test_nothing_is_answered_before_it_is_known_who_asks(own: Shop) -> None:
    payment = own.pay(confirm=False)
    with a_socket(own.gateway.base, headers={"authorization": f"Bearer {own.key}"}) as opened:
        opened.subscribe(WATCH, id=payment["id"])
        with pytest.raises(Closed) as closed:
            opened.receive()

    assert closed.value.code == 4401


def test_what_is_foreign_looks_like_what_is_not_there(own: Shop, socket: Socket) -> None:
    other = own.gateway.shop(webhooks=False)
    foreign = other.pay(confirm=False)
    missing = {**foreign, "id": own.pay(confirm=False)["id"][:-4] + "0000"}

    refused = [socket.refusal(WATCH, id=one["id"]) for one in (foreign, missing)]
    refused += [socket.refusal(WATCH, id=id) for id in ("pay_1", "ref_" + foreign["id"][4:], "x")]
    secrets = (foreign["clientSecret"], "x", "", own.key)
    by_secret = [socket.refusal(WATCH_SECRET, s=secret) for secret in secrets]

    for group in (refused, by_secret):
        shown = [{**one, "extensions": one["extensions"]["code"]} for one in group]
        assert all(one == shown[0] for one in shown), shown
        assert shown[0]["extensions"] == "NOT_FOUND"


def test_a_client_secret_watches_its_own_payment_only(own: Shop) -> None:
    mine, neighbour = own.pay(confirm=False), own.pay(confirm=False)
    for path in (FULL, STOREFRONT):
        with a_socket(own.gateway.base, path) as opened:
            opened.init(mine["clientSecret"])
            refused = opened.refusal(WATCH_SECRET, s=neighbour["clientSecret"])
            assert refused["extensions"]["code"] == "NOT_FOUND"


def test_a_key_that_is_revoked_hears_nothing_more(own: Shop) -> None:
    payment = own.pay(confirm=False)
    (key,) = own.keys([SCOPES])
    with a_socket(own.gateway.base) as opened:
        opened.init(key.secret)
        id = opened.subscribe(WATCH, id=payment["id"])
        opened.next(id)

        own.gateway.admin.execute(
            "UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = %s", [key.id]
        )
        confirm(own, payment)

        with pytest.raises(Closed) as closed:
            opened.receive()
    assert closed.value.code == 4403


def test_the_limits_of_documents_hold_here_too(own: Shop, socket: Socket) -> None:
    id = own.pay(confirm=False)["id"]
    inside = "attempts { id payment { " * 8 + "id" + " } }" * 8
    deep, wide = (WATCH.replace("status version", much) for much in (inside, "id " * 3_000))
    two = (
        "subscription { a: paymentChanged(paymentId: 1) {id} b: paymentChanged(paymentId: 2) {id} }"
    )

    for document, code in [
        (wide, "LIMIT_EXCEEDED"),
        (deep, None),
        (two, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("{ viewer { tenantId } }", "ONLY_SUBSCRIPTIONS"),
        ("", "BAD_REQUEST"),
    ]:
        found = socket.refusal(document, id=id)["extensions"]["code"]
        assert code in {None, found}, document[:80]
    assert socket.refusal(WATCH)["extensions"]["code"] == "BAD_USER_INPUT"
    assert socket.refusal(WATCH, id="a\0")["extensions"]["code"] == "BAD_TEXT"


def test_a_socket_carries_so_many_subscriptions_and_no_more(own: Shop, socket: Socket) -> None:
    payment = own.pay(confirm=False)
    for _ in range(50):
        socket.next(socket.subscribe(WATCH, id=payment["id"]))

    refused = socket.refusal(WATCH, id=payment["id"])

    assert refused["extensions"]["code"] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense {", 4400),
        ("[]", 4400),
        ("7", 4400),
        ({}, 4400),
        ({"type": 7}, 4400),
        ({"type": "unknown"}, 4400),
        ({"type": "subscribe"}, 4400),
        ({"type": "subscribe", "id": ["1"], "payload": {"query": "x"}}, 4400),
        ({"type": "subscribe", "id": "1", "payload": "x"}, 4400),
        ({"type": "subscribe", "id": "1", "payload": {"query": 1}}, 4400),
        ({"type": "subscribe", "id": "x" * 200, "payload": {"query": "x"}}, 4400),
        ({"type": "complete", "id": {}}, 4400),
        ({"type": "connection_init"}, 4429),
        ({"type": "ping", "payload": "x" * 300_000}, 1009),
        ("[" * 100_000, 4400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_message_ends_the_socket(socket: Socket, message: object, code: int) -> None:
    socket.send(message)

    with pytest.raises(Closed) as closed:
        socket.receive()
    assert closed.value.code == code


def test_bytes_and_other_protocols_are_refused(own: Shop, socket: Socket) -> None:
    socket.wire.send(b"{}")
    with pytest.raises(Closed) as closed:
        socket.receive()
    assert closed.value.code == 4400

    for protocol in ("graphql-ws", None):
        with a_socket(own.gateway.base, protocol=protocol) as other:
            with pytest.raises(Closed) as closed:
                other.receive()
            assert closed.value.code == 4406


def test_over_http_a_subscription_is_told_where_to_go(own: Shop) -> None:
    answer = own.send(WATCH, {"id": "pay_1"})

    assert answer.json()["errors"][0]["extensions"]["code"] == "SUBSCRIPTION_NOT_SUPPORTED"


def test_no_secret_is_logged_and_nothing_failed(own: Shop) -> None:
    log = own.gateway.log()

    assert own.key not in log
    assert "socket_failed" not in log
    assert "subscription_failed" not in log
    assert "Traceback" not in log


def test_a_stop_closes_sockets_and_waits_for_none(
    tmp_path: Path, fresh_database_url: str, fresh_admin_url: str
) -> None:
    """Neither for one that listens, nor for one that never answers, nor for one half way in."""
    with (
        a_gateway(
            tmp_path, fresh_database_url, fresh_admin_url, COUNTERFOIL_SHUTDOWN_SECONDS="2"
        ) as gateway,
        ExitStack() as stack,
    ):
        shop = gateway.shop(webhooks=False)
        payment = shop.pay(confirm=False)
        listening, half_way = (stack.enter_context(a_socket(gateway.base)) for _ in range(2))
        listening.init(shop.key)
        listening.next(listening.subscribe(WATCH, id=payment["id"]))
        deaf = stack.enter_context(a_deaf_socket(gateway.base, shop.key))
        began = time.monotonic()

        gateway.process.send_signal(signal.SIGTERM)

        for opened in (listening, half_way):
            with pytest.raises(Closed) as closed:
                opened.receive()
            assert closed.value.code == 1012
        assert gateway.process.wait(20) == 0
        assert time.monotonic() - began < 8
        assert deaf.fileno() != -1
        assert "Traceback" not in gateway.log()


def test_messages_are_not_compressed_so_that_none_is_a_bomb(gateway: Gateway) -> None:
    with a_socket(gateway.base) as socket:
        assert socket.wire.protocol.extensions == []
