"""Webhooks: signed, at least once, twice and out of order on demand, resumed after a crash."""

import hashlib
import hmac
import json
import socket
import time
from typing import Any

from tests.simulator.process import Merchant, Receiver, SimulatorProcess, receiver
from tests.waiting import eventually


def events(inbox: Receiver) -> list[dict[str, Any]]:
    return [json.loads(delivery.body) for delivery in list(inbox.received)]


def types(inbox: Receiver) -> list[str]:
    return [event["type"] for event in events(inbox)]


def open_deliveries(merchant: Merchant) -> int:
    answer = merchant.simulator.client.get("/_webhooks", params={"account": merchant.name})
    count: int = answer.json()["open"]
    return count


def test_an_event_is_signed_over_its_raw_bytes(simulator: SimulatorProcess) -> None:
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        payment = merchant.pay("tok_success").json()
        eventually(lambda: inbox.received)

    delivery = inbox.received[0]
    fields = dict(part.split("=") for part in delivery.headers["simulator-signature"].split(","))
    signed = fields["t"].encode() + b"." + delivery.body
    expected = hmac.new(merchant.webhook_secret.encode(), signed, hashlib.sha256).hexdigest()
    assert fields["v1"] == expected
    assert abs(time.time() - int(fields["t"])) < 60
    (event,) = events(inbox)
    assert event["type"] == "payment.captured"
    assert event["account"] == merchant.name
    assert event["id"] == delivery.headers["simulator-event"]
    assert event["data"] == payment


def test_each_step_of_a_payment_is_told(simulator: SimulatorProcess) -> None:
    simulator.control("/_config", pending_delay_ms=50)
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        payment = merchant.pay("tok_success", capture=False).json()["id"]
        path = f"/v1/payments/{payment}"
        merchant.post(f"{path}/captures", amount=300, final=False, reference="op_c")
        merchant.post(f"{path}/void", reference="op_v")
        refund = merchant.post("/v1/refunds", payment=payment, amount=10, reference="op_r").json()
        simulator.control("/_dashboard/refund_failures", refund=refund["id"])
        merchant.pay("tok_decline_fraud", "op_2")
        merchant.pay("tok_pending", "op_3")
        action = merchant.pay("tok_requires_action", "op_4").json()
        simulator.control("/_dashboard/expire", payment=action["id"])
        eventually(lambda: len(inbox.received) == 10)

    by_number = sorted(events(inbox), key=lambda event: event["sequence"])
    told = [(event["type"], event["data"]["reference"]) for event in by_number]
    assert told.pop([kind for kind, _ in told].index("payment.captured")) == (
        "payment.captured",
        "op_3",
    )
    assert told == [
        ("payment.authorized", "op_1"),
        ("capture.succeeded", "op_c"),
        ("payment.voided", "op_v"),
        ("refund.succeeded", "op_r"),
        ("refund.failed", "op_r"),
        ("payment.declined", "op_2"),
        ("payment.pending", "op_3"),
        ("payment.requires_action", "op_4"),
        ("payment.expired", "op_4"),
    ]


def test_what_the_dashboard_did_has_no_reference(simulator: SimulatorProcess) -> None:
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        payment = merchant.pay("tok_success").json()["id"]
        simulator.control("/_dashboard/refunds", payment=payment, amount=10)
        eventually(lambda: len(inbox.received) == 2)

    refund = next(event for event in events(inbox) if event["type"] == "refund.succeeded")["data"]
    assert refund["reference"] is None
    assert refund["payment"] == payment
    assert refund["payment_reference"] == "op_1"


def test_it_is_sent_again_until_the_answer_is_2xx(simulator: SimulatorProcess) -> None:
    with receiver(500, 302, 404) as inbox:
        merchant = simulator.merchant(inbox.url)
        merchant.pay("tok_success")
        eventually(lambda: open_deliveries(merchant) == 0)

    assert len(inbox.received) == 4
    assert len({delivery.body for delivery in inbox.received}) == 1
    listed = simulator.client.get("/_webhooks", params={"account": merchant.name}).json()["data"]
    assert [(one["state"], one["statuses"]) for one in listed] == [
        ("delivered", [500, 302, 404, 204])
    ]


def test_each_event_goes_out_as_often_as_told(simulator: SimulatorProcess) -> None:
    simulator.control("/_webhooks", duplicate=3)
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        merchant.pay("tok_success")
        merchant.pay("tok_decline_hard", "op_2")
        eventually(lambda: len(inbox.received) == 6)

    assert sorted(types(inbox)) == ["payment.captured"] * 3 + ["payment.declined"] * 3
    assert len({event["id"] for event in events(inbox)}) == 2


def test_copies_overtake_each_other_when_told(simulator: SimulatorProcess) -> None:
    simulator.control("/_webhooks", duplicate=3, reorder=True, seed=3)
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        for number in range(10):
            merchant.pay("tok_success", f"op_{number}")
        eventually(lambda: len(inbox.received) == 30)

    arrived = [event["sequence"] for event in events(inbox)]
    assert arrived != sorted(arrived)
    assert len(set(arrived)) == 10


def test_a_pause_holds_everything_until_the_flush(simulator: SimulatorProcess) -> None:
    simulator.control("/_webhooks", pause=True, reorder=True)
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        for number in range(4):
            merchant.pay("tok_success", f"op_{number}")
        held = simulator.client.get("/_webhooks", params={"account": merchant.name}).json()
        assert {delivery["state"] for delivery in held["data"]} == {"held"}
        assert inbox.received == []

        released = simulator.control("/_webhooks/flush", account=merchant.name)["released"]
        eventually(lambda: len(inbox.received) == 4)

    assert released == 4


def test_delays_are_kept(simulator: SimulatorProcess) -> None:
    simulator.control("/_webhooks", delay_ms=[300, 400])
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        started = time.monotonic()
        merchant.pay("tok_success")
        eventually(lambda: inbox.received)

    assert time.monotonic() - started >= 0.3


def test_events_are_delivered_again_on_request(simulator: SimulatorProcess) -> None:
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        merchant.pay("tok_success")
        merchant.pay("tok_success", "op_2")
        answer = simulator.control(
            "/_webhooks/redeliver", account=merchant.name, reference="op_2", times=60
        )
        eventually(lambda: len(inbox.received) == 62)

    assert answer == {"events": 1, "queued": 60}
    assert sum(event["data"]["reference"] == "op_2" for event in events(inbox)) == 61


def test_what_was_not_confirmed_before_a_crash_is_delivered_after_it(
    simulator: SimulatorProcess,
) -> None:
    simulator.control("/_webhooks", delay_ms=[200, 200])
    simulator.control("/_config", pending_delay_ms=200)
    with receiver() as inbox:
        merchant = simulator.merchant(inbox.url)
        merchant.pay("tok_success")
        merchant.pay("tok_pending", "op_2")

        simulator.crash_and_restart()

        eventually(lambda: open_deliveries(merchant) == 0 and len(set(types(inbox))) == 2)
        eventually(lambda: types(inbox).count("payment.captured") == 2)
    assert merchant.kinds() == [("charge", 1000), ("charge", 1000)]


def test_an_address_that_never_answers_does_not_keep_others_waiting(
    simulator: SimulatorProcess,
) -> None:
    with receiver() as inbox, socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        dead = simulator.merchant(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        for number in range(100):
            dead.pay("tok_success", f"op_{number}")
        alive = simulator.merchant(inbox.url)
        alive.pay("tok_success")
        eventually(lambda: inbox.received, seconds=3)
        assert open_deliveries(dead) == 100
        dead.register(None)
