"""A provider that speaks Stripe's protocol on loopback, with a memory.

Its answers have the published shapes. Repeated keys get the first answer again, with another body
400, while the first request is being worked on 409. The money it moved is counted apart.
"""

import asyncio
import copy
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.gateways.stripe.builders import body as sample

API_KEY = "sk_test_live_like"
SLOW_SECONDS = 4.0
"""How long `pm_slow` is worked on: longer than the gateway waits."""

Json = dict[str, Any]
Answer = tuple[int, Json]


@dataclass
class Stored:
    """What a key was first used for; `answer` is there once that request has ended."""

    fingerprint: str
    answer: Answer | None = None


@dataclass
class FakeStripe:
    """One account at Stripe."""

    url: str = ""
    intents: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    keys: dict[str, Stored] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and key of every request, in order."""
    balance: int = 0
    """Minor units of EUR it owes the merchant."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # ---- what the merchant sees of itself

    def intent_of(self, operation_id: str) -> Json:
        [found] = [
            i for i in self.intents.values() if i["metadata"]["operation_id"] == operation_id
        ]
        return found

    def keys_used(self, operation_id: str) -> set[str]:
        return {key for _, _, key in self.requests if key and key.startswith(operation_id)}

    def refund_by_hand(self, intent_id: str, amount: int) -> Json:
        """A refund in the dashboard: nobody's metadata."""
        return self._refund(self.intents[intent_id], amount, {})

    def capture_by_hand(self, intent_id: str, amount: int) -> Json:
        return self._capture(self.intents[intent_id], amount, {})

    def cancel_by_hand(self, intent_id: str) -> Json:
        self.intents[intent_id].update(
            sample("api_payment_intent_canceled", **_kept(self.intents[intent_id]))
        )
        return self.intents[intent_id]

    def authenticate(self, intent_id: str) -> Json:
        """The shopper has proven who they are."""
        return self._charge(self.intents[intent_id])

    def fail_refund(self, refund_id: str) -> Json:
        refund = self.refunds[refund_id]
        self.balance += refund["amount"]
        refund.update(sample("api_refund_failed", **_kept(refund)))
        return refund

    # ---- what the protocol does

    def app(self) -> Starlette:
        posts: dict[str, Callable[[Request, Json], Answer]] = {
            "/v1/payment_intents": self._create,
            "/v1/payment_intents/{id}/capture": self._on_capture,
            "/v1/payment_intents/{id}/cancel": self._on_cancel,
            "/v1/refunds": self._on_refund,
        }
        gets: dict[str, Callable[[Request], Answer]] = {
            "/v1/payment_intents": lambda _: (200, _listed(self.intents)),
            "/v1/payment_intents/{id}": lambda request: _found(self.intents, request),
            "/v1/refunds": self._list_refunds,
            "/v1/refunds/{id}": lambda request: _found(self.refunds, request),
        }
        return Starlette(
            routes=[
                *(
                    Route(path, self._posted(work), methods=["POST"])
                    for path, work in posts.items()
                ),
                *(Route(path, self._gotten(work), methods=["GET"]) for path, work in gets.items()),
            ]
        )

    def _posted(self, work: Callable[[Request, Json], Answer]) -> Any:
        async def take(request: Request) -> Response:
            key = request.headers.get("idempotency-key", "")
            self.requests.append(("POST", request.url.path, key))
            if refused := _unauthorized(request):
                return _response(refused)
            raw = (await request.body()).decode()
            fingerprint = f"{request.url.path} {raw}"
            stored = self.keys.get(key)
            if stored is None:
                stored = self.keys[key] = Stored(fingerprint)
                form = dict(parse_qsl(raw, strict_parsing=True))
                answer = work(request, form)
                if form.get("payment_method") == "pm_slow":
                    await asyncio.sleep(SLOW_SECONDS)
                # Frozen: what happens to the object later does not change what was answered.
                stored.answer = copy.deepcopy(answer)
                return _response(answer)
            if stored.fingerprint != fingerprint:
                return _error("400_idempotency_key_reused_other_params")
            if stored.answer is None:
                return _error("409_idempotency_key_in_use")
            return _response(stored.answer, {"Idempotent-Replayed": "true"})

        return take

    def _gotten(self, work: Callable[[Request], Answer]) -> Any:
        async def take(request: Request) -> Response:
            self.requests.append(("GET", request.url.path, None))
            return _response(_unauthorized(request) or work(request))

        return take

    def _create(self, _request: Request, form: Json) -> Answer:
        number = next(self._numbers)
        metadata = {k[9:-1]: v for k, v in form.items() if k.startswith("metadata[")}
        base = {
            "id": f"pi_live{number}",
            "amount": int(form["amount"]),
            "currency": form["currency"],
            "capture_method": form["capture_method"],
            "metadata": metadata,
            "created": int(time.time()),
            "client_secret": f"pi_live{number}_secret",
        }
        match form["payment_method"]:
            case "pm_card_visa_chargeDeclined":
                return self._decline(base)
            case "pm_card_authenticationRequired":
                intent = sample("api_payment_intent_requires_action_redirect", **base)
                self.intents[intent["id"]] = intent
                return 200, intent
            case "pm_card_visa" | "pm_slow":
                intent = sample("api_payment_intent_created_unconfirmed", **base)
                self.intents[intent["id"]] = intent
                return 200, self._charge(intent)
            case _:
                return _error_answer("404_resource_missing")

    def _charge(self, intent: Json) -> Json:
        intent.update(latest_charge=f"ch_of_{intent['id']}", next_action=None)
        if intent["capture_method"] == "manual":
            intent.update(status="requires_capture", amount_capturable=intent["amount"])
        else:
            self.balance += intent["amount"]
            intent.update(status="succeeded", amount_received=intent["amount"])
        return intent

    def _decline(self, base: Json) -> Answer:
        status, refused = _error_answer("402_card_declined_insufficient_funds")
        intent = refused["error"]["payment_intent"]
        intent.update(base, latest_charge=f"ch_of_{base['id']}")
        self.intents[intent["id"]] = intent
        return status, refused

    def _on_capture(self, request: Request, form: Json) -> Answer:
        intent = self.intents.get(request.path_params["id"])
        if intent is None:
            return _error_answer("404_resource_missing")
        if intent["status"] != "requires_capture":
            return _error_answer("400_payment_intent_unexpected_state")
        metadata = {k[9:-1]: v for k, v in form.items() if k.startswith("metadata[")}
        return 200, self._capture(intent, int(form["amount_to_capture"]), metadata)

    def _capture(self, intent: Json, amount: int, metadata: Json) -> Json:
        self.balance += amount
        intent["metadata"].update(metadata)
        intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
        return intent

    def _on_cancel(self, request: Request, _form: Json) -> Answer:
        intent = self.intents.get(request.path_params["id"])
        if intent is None:
            return _error_answer("404_resource_missing")
        if intent["status"] not in {"requires_capture", "requires_action"}:
            return _error_answer("400_payment_intent_unexpected_state")
        return 200, self.cancel_by_hand(intent["id"])

    def _on_refund(self, _request: Request, form: Json) -> Answer:
        intent = self.intents.get(form["payment_intent"])
        if intent is None:
            return _error_answer("404_resource_missing")
        amount = int(form["amount"])
        gone = [r["amount"] for r in self.refunds.values() if r["payment_intent"] == intent["id"]]
        if sum(gone) + amount > intent["amount_received"]:
            return _error_answer("400_charge_already_refunded")
        metadata = {k[9:-1]: v for k, v in form.items() if k.startswith("metadata[")}
        return 200, self._refund(intent, amount, metadata)

    def _refund(self, intent: Json, amount: int, metadata: Json) -> Json:
        refund = sample(
            "api_refund_succeeded",
            id=f"re_live{next(self._numbers)}",
            amount=amount,
            currency=intent["currency"],
            payment_intent=intent["id"],
            charge=intent["latest_charge"],
            metadata=metadata,
        )
        self.balance -= amount
        self.refunds[refund["id"]] = refund
        return refund

    def _list_refunds(self, request: Request) -> Answer:
        of = request.query_params["payment_intent"]
        return 200, _listed({k: r for k, r in self.refunds.items() if r["payment_intent"] == of})


def _kept(source: Json) -> Json:
    names = ("id", "amount", "currency", "capture_method", "metadata", "created", "latest_charge")
    kept = {name: source[name] for name in (*names, "payment_intent", "charge") if name in source}
    return copy.deepcopy(kept)


def _found(objects: dict[str, Json], request: Request) -> Answer:
    found = objects.get(request.path_params["id"])
    return _error_answer("404_resource_missing") if found is None else (200, found)


def _listed(objects: dict[str, Json]) -> Json:
    return {"object": "list", "has_more": False, "data": [*reversed(objects.values())]}


def _unauthorized(request: Request) -> Answer | None:
    if request.headers.get("authorization") == f"Bearer {API_KEY}":
        return None
    return _error_answer("401_invalid_key")


def _error_answer(name: str) -> Answer:
    found = sample(f"error_{name}")
    return found["http_status"], found["body"]


def _error(name: str) -> Response:
    found = sample(f"error_{name}")
    return _response((found["http_status"], found["body"]), found["headers"])


def _response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    status, body = answer
    return JSONResponse(json.loads(json.dumps(body)), status, headers)


@contextmanager
def a_fake_stripe() -> Iterator[FakeStripe]:
    """Served on a free loopback port for as long as the block lasts."""
    fake = FakeStripe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(fake.app(), log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield fake
        finally:
            server.should_exit = True
            thread.join(10)
