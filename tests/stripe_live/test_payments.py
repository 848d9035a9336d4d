"""Payments at a Stripe-shaped provider over HTTP, and every published event about them."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from core.identifiers import encode
from tests.gateways.stripe.builders import HERE
from tests.stripe_live.gateway import Gateway, a_charge, a_gateway, an_event, signed
from tests.stripe_live.vectors import OLD_SECRET, SECRET, VECTORS
from tests.waiting import eventually

CLEARING, SALES = "psp:stripe-test:clearing", "income:sales"
PUBLISHED = sorted(
    path.stem.removeprefix("event_") for path in (HERE / "samples").glob("event_*.json")
)
WAITS = {
    "charge.captured",
    "charge.expired",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "refund.created",
    "refund.failed",
    "refund.updated",
}
"""Published events that say something about money; of the others we only take note."""
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, admin_url: str
) -> Iterator[Gateway]:
    with a_gateway(tmp_path_factory.mktemp("gateway"), database_url, admin_url) as serving:
        yield serving


def test_a_sale_is_posted_by_its_answer_and_not_again_by_its_events(gateway: Gateway) -> None:
    payment = gateway.pay()
    intent = gateway.intent(payment)

    told = [
        gateway.deliver(an_event("payment_intent.created", intent, type="payment_intent.created")),
        gateway.deliver(an_event("payment_intent.succeeded", intent)),
        gateway.deliver(an_event("charge.succeeded", a_charge(intent))),
        gateway.deliver(an_event("payment_intent.succeeded", intent)),
    ]

    assert sorted(gateway.inbox(*told)) == ["IGNORED", "IGNORED", "PROCESSED", "PROCESSED"]
    assert gateway.status(payment) == "CAPTURED"
    assert gateway.posted(payment) == [
        ("sale", [("CREDIT", SALES, 4250), ("DEBIT", CLEARING, 4250)])
    ]
    gateway.check()


def test_an_authorization_is_captured_in_part_and_the_rest_released(gateway: Gateway) -> None:
    payment = gateway.pay(capture="MANUAL")
    assert payment["status"] == "AUTHORIZED"
    authorized = an_event("payment_intent.amount_capturable_updated", gateway.intent(payment))

    gateway.capture(payment, 3000)
    intent = gateway.intent(payment)
    told = [
        gateway.deliver(an_event("payment_intent.succeeded", intent)),
        gateway.deliver(authorized),
        gateway.deliver(an_event("charge.captured", a_charge(intent, amount_captured=3000))),
    ]

    assert gateway.inbox(*told) == ["PROCESSED"] * 3
    assert gateway.status(payment) == "CAPTURED"
    assert gateway.kinds(payment) == ["authorise", "capture"]
    gateway.check()


def test_a_card_is_kept_paid_with_and_forgotten(gateway: Gateway) -> None:
    first = gateway.pay(customerId="anna", saveMethod=True)
    gateway.inbox(gateway.deliver(an_event("payment_intent.succeeded", gateway.intent(first))))
    (kept,) = gateway.saved_methods("anna")
    card = gateway.intent(first)["payment_method"]

    second = gateway.pay(customerId="anna", method={"savedMethodId": kept["id"]})
    gateway.forget(kept)

    assert (kept["last4"], kept["provider"]["name"]) == ("4242", "stripe-test")
    assert second["status"] == "CAPTURED"
    assert gateway.intent(second)["payment_method"] == card
    assert gateway.saved_methods("anna") == []
    eventually(lambda: gateway.stripe.cards.methods[card]["customer"] is None)
    assert len(gateway.stripe.cards.customers) == 1
    gateway.check()


def test_a_refund_of_ours_is_posted_once_and_undone_when_it_comes_back(gateway: Gateway) -> None:
    payment = gateway.pay()
    gateway.refund(payment, 1500)
    [refund] = [
        r
        for r in gateway.stripe.refunds.values()
        if r["payment_intent"] == gateway.intent(payment)["id"]
    ]
    told = [
        gateway.deliver(an_event("refund.created", refund)),
        gateway.deliver(an_event("refund.updated", refund)),
        gateway.deliver(an_event("charge.refunded", a_charge(gateway.intent(payment)))),
    ]
    assert sorted(gateway.inbox(*told)) == ["IGNORED", "PROCESSED", "PROCESSED"]
    assert gateway.kinds(payment) == ["refund", "refund_request", "sale"]
    gateway.check()

    failed = gateway.stripe.fail_refund(refund["id"])
    assert gateway.inbox(gateway.deliver(an_event("refund.failed", failed))) == ["PROCESSED"]

    assert gateway.kinds(payment) == ["refund", "refund_request", "refund_returned", "sale"]
    gateway.check()


def test_a_refund_made_in_the_dashboard_is_posted_once(gateway: Gateway) -> None:
    payment = gateway.pay()
    refund = gateway.stripe.refund_by_hand(gateway.intent(payment)["id"], 1500)

    told = [
        gateway.deliver(an_event("refund.created", refund)),
        gateway.deliver(an_event("refund.updated", refund)),
    ]

    assert gateway.inbox(*told) == ["PROCESSED", "PROCESSED"]
    assert gateway.kinds(payment) == ["refund_external", "refund_external_charge", "sale"]
    gateway.check()


def test_a_capture_made_in_the_dashboard_is_posted_once(gateway: Gateway) -> None:
    payment = gateway.pay(capture="MANUAL")
    intent = gateway.stripe.capture_by_hand(gateway.intent(payment)["id"], 4250)

    told = [
        gateway.deliver(an_event("payment_intent.succeeded", intent)),
        gateway.deliver(an_event("charge.captured", a_charge(intent, amount_captured=4250))),
        gateway.deliver(an_event("payment_intent.succeeded", intent)),
    ]

    assert gateway.inbox(*told) == ["PROCESSED"] * 3
    assert gateway.status(payment) == "CAPTURED"
    assert gateway.kinds(payment) == ["authorise", "capture"]
    gateway.check()


@pytest.mark.parametrize(
    ("name", "status"), [("payment_intent.canceled", "CANCELED"), ("charge.expired", "EXPIRED")]
)
def test_an_authorization_that_ends_at_stripe_is_released(
    gateway: Gateway, name: str, status: str
) -> None:
    payment = gateway.pay(capture="MANUAL")
    intent = gateway.stripe.cancel_by_hand(gateway.intent(payment)["id"])
    about = a_charge(intent) if name == "charge.expired" else intent

    assert gateway.inbox(gateway.deliver(an_event(name, about))) == ["PROCESSED"]

    assert gateway.status(payment) == status
    assert gateway.kinds(payment) == ["authorise", "void"]
    gateway.check()


def test_a_payment_that_needs_the_shopper_is_posted_by_its_event_alone(gateway: Gateway) -> None:
    payment = gateway.pay("pm_card_authenticationRequired")
    assert payment["status"] == "REQUIRES_ACTION"
    assert payment["nextAction"]["url"].startswith("https://hooks.stripe.com/")
    asked = an_event("payment_intent.requires_action", gateway.intent(payment))
    waits = {**gateway.intent(payment), "status": "processing", "next_action": None}
    intent = gateway.stripe.authenticate(gateway.intent(payment)["id"])

    told = [  # the newest first
        gateway.deliver(an_event("payment_intent.succeeded", intent)),
        gateway.deliver(an_event("payment_intent.processing", waits)),
        gateway.deliver(asked),
    ]

    assert gateway.inbox(*told) == ["PROCESSED"] * 3
    assert gateway.status(payment) == "CAPTURED"
    assert gateway.kinds(payment) == ["sale"]
    gateway.check()


@pytest.mark.parametrize(
    ("capture", "status", "kinds"),
    [("AUTOMATIC", "CAPTURED", ["sale"]), ("MANUAL", "AUTHORIZED", ["authorise"])],
)
def test_a_shopper_who_came_back_is_asked_about_and_posted_once(
    gateway: Gateway, capture: str, status: str, kinds: list[str]
) -> None:
    payment = gateway.pay("pm_card_authenticationRequired", capture)
    assert gateway.sync(payment)["status"] == "REQUIRES_ACTION"
    before = len(gateway.stripe.events)
    gateway.stripe.authenticate(gateway.intent(payment)["id"])

    assert gateway.sync(payment)["status"] == status
    told = [gateway.deliver(event) for event in gateway.stripe.events[before:]]

    assert set(gateway.inbox(*told)) == {"PROCESSED"}
    assert gateway.status(payment) == status
    assert gateway.kinds(payment) == kinds
    gateway.check()


@pytest.mark.parametrize("by_event", [True, False], ids=["event", "sync"])
def test_a_failed_authentication_is_a_decline_and_the_payment_can_be_tried_again(
    gateway: Gateway, by_event: bool
) -> None:
    payment = gateway.pay("pm_card_authenticationRequired")
    gateway.stripe.fail_authentication(gateway.intent(payment)["id"])

    if by_event:
        assert gateway.inbox(gateway.deliver(gateway.stripe.events[-1])) == ["PROCESSED"]
    declined = gateway.sync(payment)

    assert declined["status"] == "REQUIRES_PAYMENT_METHOD"
    assert declined["lastDecline"]["kind"] == "SCA_REQUIRED"
    assert gateway.kinds(payment) == []


def test_a_payment_its_shopper_abandoned_can_be_canceled(gateway: Gateway) -> None:
    payment = gateway.pay("pm_card_authenticationRequired")
    intent = gateway.intent(payment)

    gateway.cancel(payment)
    told = [gateway.deliver(gateway.stripe.events[-1])]

    assert intent["status"] == "canceled"
    assert set(gateway.inbox(*told)) == {"PROCESSED"}
    assert gateway.status(payment) == "CANCELED"
    assert gateway.kinds(payment) == []
    gateway.check()


def test_a_decline_is_a_state_and_its_events_add_nothing(gateway: Gateway) -> None:
    payment = gateway.pay("pm_card_visa_chargeDeclinedInsufficientFunds")
    assert payment["status"] == "REQUIRES_PAYMENT_METHOD"
    assert payment["lastDecline"]["kind"] == "INSUFFICIENT_FUNDS"
    intent = gateway.intent(payment)

    told = [
        gateway.deliver(an_event("payment_intent.payment_failed", intent)),
        gateway.deliver(an_event("charge.failed", a_charge(intent))),
    ]

    assert sorted(gateway.inbox(*told)) == ["IGNORED", "PROCESSED"]
    assert gateway.status(payment) == "REQUIRES_PAYMENT_METHOD"
    assert gateway.kinds(payment) == []
    gateway.check()


def test_an_answer_that_came_too_late_is_found_out_with_one_effect(gateway: Gateway) -> None:
    payment = gateway.pay("pm_slow")
    assert payment["status"] == "PROCESSING", "nobody knows"
    assert gateway.kinds(payment) == []

    eventually(lambda: gateway.status(payment) == "CAPTURED", 30)

    operation_id = encode("op", gateway.operation(payment)["id"])
    assert gateway.stripe.intent_of(operation_id)["status"] == "succeeded"
    assert len(gateway.stripe.keys_used(operation_id)) == 1
    assert gateway.kinds(payment) == ["sale"]
    gateway.check()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_event_about_nothing_of_ours_is_kept_and_moves_nothing(
    gateway: Gateway, name: str
) -> None:
    body = (HERE / f"samples/event_{name}.json").read_bytes()
    event_id = json.loads(body)["id"]
    before = gateway.rows("SELECT count(*) AS n FROM ledger_transaction")
    for _ in range(3):
        assert gateway.post(body, {"Stripe-Signature": signed(body)}).status_code == 200

    parts = gateway.inbox(event_id)

    assert parts == ["DEFERRED" if name in WAITS else "IGNORED"]
    assert gateway.rows("SELECT count(*) AS n FROM ledger_transaction") == before
    [row] = gateway.rows(
        "SELECT payload FROM inbound_webhook WHERE split_part(provider_event_id, ':', 1) = %s",
        event_id,
    )
    assert bytes(row["payload"]) == body


def test_every_published_event_is_delivered_here() -> None:
    assert len(PUBLISHED) == 24
    assert set(PUBLISHED) > WAITS


def test_an_event_of_another_account_about_our_payment_is_not_believed(gateway: Gateway) -> None:
    payment = gateway.pay("pm_card_authenticationRequired")
    succeeded = {**gateway.intent(payment), "status": "succeeded", "amount_received": 4250}
    event = an_event("payment_intent.succeeded", succeeded)
    body = json.dumps(event).encode()

    forged = gateway.post(body, {"Stripe-Signature": signed(body, OLD_SECRET)})
    taken = gateway.post(body, {"Stripe-Signature": signed(body, OLD_SECRET)}, gateway.second_id)

    assert (forged.status_code, taken.status_code) == (401, 200)
    assert gateway.inbox(event["id"]) == ["DEFERRED"]
    assert gateway.status(payment) == "REQUIRES_ACTION"
    assert gateway.kinds(payment) == []


def test_an_event_of_live_money_is_refused_by_a_test_account(gateway: Gateway) -> None:
    body = json.dumps({**an_event("payment_intent.succeeded"), "livemode": True}).encode()

    assert gateway.post(body, {"Stripe-Signature": signed(body)}).status_code == 401


def test_the_published_signatures_of_another_day_are_stale_or_forged(gateway: Gateway) -> None:
    """The clock of a serving gateway cannot be set; with their own time see test_vectors.py."""
    accounts = {(SECRET,): gateway.account_id, (SECRET, OLD_SECRET): gateway.second_id}
    before = gateway.rows("SELECT count(*) AS n FROM inbound_webhook")

    answers = {
        vector["name"]: gateway.post(
            vector["payload"].encode(), vector["header"], accounts[tuple(vector["secrets"])]
        ).status_code
        for vector in VECTORS
    }

    proven = {name for name in answers if name.startswith("valid_")} | {"invalid_too_old"}
    assert len(answers) == 17
    assert {name for name, status in answers.items() if status == 400} == proven
    assert {status for name, status in answers.items() if name not in proven} == {401}
    assert gateway.rows("SELECT count(*) AS n FROM inbound_webhook") == before


def test_the_route_takes_posts_of_a_limited_size_only(gateway: Gateway) -> None:
    url = f"{gateway.url}/webhooks/{gateway.account_id}"
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert gateway.http.request(method, url).status_code == 405

    body = b" " * 65_537
    announced = gateway.post(body, {"Stripe-Signature": signed(body)})
    streamed = gateway.http.post(url, content=(body[:32_768] for _ in range(3)))

    assert (announced.status_code, streamed.status_code) == (413, 413)


def test_a_body_that_comes_too_slowly_is_given_up(gateway: Gateway) -> None:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(
            f"POST /webhooks/{gateway.account_id} HTTP/1.1\r\nHost: x\r\n"
            "Content-Length: 100\r\n\r\n{".encode()
        )
        started = time.monotonic()

        answer = slow.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 12


def test_several_captures_are_made_where_agreed_and_each_is_posted_once(
    gateway: Gateway,
) -> None:
    payment = gateway.pay(capture="MANUAL")
    refused = gateway.try_capture(payment, 1000, final=False)
    assert refused["__typename"] == "UnsupportedError", refused
    assert gateway.kinds(payment) == ["authorise"]
    assert "MULTI_CAPTURE" not in gateway.capabilities()
    gateway.cli("providers", "update", "stripe-test", "--field", "multicapture=yes")
    assert "MULTI_CAPTURE" in gateway.capabilities()
    payment = gateway.pay(capture="MANUAL")
    before = len(gateway.stripe.events)

    assert gateway.capture(payment, 1000, final=False)["status"] == "PARTIALLY_CAPTURED"
    gateway.capture(payment, 500, final=False)
    gateway.stripe.capture_by_hand(gateway.intent(payment)["id"], 300, final=False)
    told = [gateway.deliver(event) for event in reversed(gateway.stripe.events[before:])]

    assert set(gateway.inbox(*told)) == {"PROCESSED", "IGNORED"}
    assert gateway.status(payment) == "PARTIALLY_CAPTURED"
    taken = [entries for kind, entries in gateway.posted(payment) if kind == "capture"]
    credited = [a for legs in taken for side, path, a in legs if (side, path) == ("CREDIT", SALES)]
    assert sorted(credited) == [300, 500, 1000]
    gateway.check()


def test_the_books_hold_after_all_this(gateway: Gateway) -> None:
    gateway.pay()

    gateway.cli("verify")
    gateway.check()
