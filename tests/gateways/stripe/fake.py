"""One account at Stripe as a state machine. What the wire does to it is in `faults.py`.

It keeps intents, charges, refunds and customers' cards, answers in the published shapes, and treats
idempotency keys as Stripe does: the first answer is frozen, also a decline or a 500; another body
is refused; while the first request runs the key is taken; nothing is kept of a request that failed
validation; after 24 hours a key is forgotten. What it really did is written down apart, in
`movements`.

Source: docs.stripe.com/api/idempotent_requests, docs.stripe.com/testing
"""

import copy
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from tests.gateways.stripe.builders import body as sample
from tests.gateways.stripe.fake_cards import (
    DECLINES,
    ONE_CAPTURE_ONLY,
    THREE_D_SECURE,
    TOKENS,
    FakeCards,
)

Json = dict[str, Any]
Fails = Literal["before", "after"] | None

KEY_SECONDS: Final = 24 * 3600


@dataclass(frozen=True)
class Sent:
    """A request as Stripe reads it."""

    method: str
    path: str
    query: Mapping[str, str]
    body: str = ""
    key: str = ""
    authorization: str = ""

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Movement:
    """Something done, and for whom: `operation_id` is None for what was done by hand."""

    kind: str
    operation_id: str | None
    object_id: str
    units: int


@dataclass
class Stored:
    """What a key was first used for."""

    fingerprint: str
    at: float
    answer: Answer | None = None
    running: bool = True


class _Refused(Exception):
    """The answer to a request that cannot be carried out. `kept`: under its key as well."""

    def __init__(self, name: str, *, kept: bool = True, **members: Any) -> None:
        self.answer = published_error(name, **members)
        self.kept = kept
        super().__init__(name)


@dataclass
class FakeStripe:
    """`clock` gives Unix seconds."""

    clock: Callable[[], float] = time.time
    api_key: str = "sk_test_key"
    intents: dict[str, Json] = field(default_factory=dict)
    charges: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    cards: FakeCards = field(default_factory=FakeCards)
    keys: dict[str, Stored] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and key of every request, in order."""
    movements: list[Movement] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    """What it would deliver to a webhook, in order."""
    balance: int = 0
    """Minor units of EUR it owes the merchant."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # ---- what the merchant sees of itself

    def intent_of(self, operation_id: str) -> Json:
        [found] = [
            i for i in self.intents.values() if i["metadata"].get("operation_id") == operation_id
        ]
        return found

    def keys_used(self, operation_id: str) -> set[str]:
        return {key for _, _, key in self.requests if key and key.startswith(operation_id)}

    def done(self, operation_id: str) -> list[Movement]:
        return [each for each in self.movements if each.operation_id == operation_id]

    # ---- what is done without us

    def refund_by_hand(self, intent_id: str, amount: int) -> Json:
        """A refund in the dashboard: nobody's metadata."""
        return self._refund(self.intents[intent_id], amount, {}, "")

    def capture_by_hand(self, intent_id: str, amount: int, *, final: bool = True) -> Json:
        return self._capture(self.intents[intent_id], amount, {}, "", final=final)

    def cancel_by_hand(self, intent_id: str) -> Json:
        return self._cancel(self.intents[intent_id], "")

    def authenticate(self, intent_id: str) -> Json:
        """The shopper has proven who they are."""
        return self._charge(self.intents[intent_id], "")

    def fail_authentication(self, intent_id: str) -> Json:
        """The shopper could not prove who they are, or did not want to."""
        intent = self.intents[intent_id]
        code = "payment_intent_authentication_failure"
        error = {"type": "card_error", "code": code, "message": "The authentication failed."}
        intent.update(status="requires_payment_method", next_action=None, last_payment_error=error)
        self._tell("payment_intent.payment_failed", intent, "")
        return intent

    def settle_refund(self, refund_id: str) -> Json:
        """A refund that was pending has arrived."""
        refund = self.refunds[refund_id]
        refund.update(status="succeeded", pending_reason=None)
        self._tell("refund.updated", refund, "", status="pending")
        return refund

    def fail_refund(self, refund_id: str) -> Json:
        refund = self.refunds[refund_id]
        self.balance += refund["amount"]
        before = refund["status"]
        kept = {name: refund[name] for name in ("id", "amount", "currency", "metadata", "created")}
        about = {"payment_intent": refund["payment_intent"], "charge": refund["charge"]}
        refund.update(sample("api_refund_failed", **copy.deepcopy(kept), **about))
        self._tell("refund.failed", refund, "", status=before)
        return refund

    # ---- requests

    def answer(self, sent: Sent) -> Answer:
        """Take a request and end it at once."""
        answer = self.begin(sent)
        self.end(sent.key)
        return answer

    def begin(self, sent: Sent, fails: Fails = None) -> Answer:
        """Take a request; if it did something, its key is in use until `end`.

        With `fails` it is answered by a 500, before or after it was carried out.
        """
        self.requests.append((sent.method, sent.path, sent.key or None))
        if sent.authorization != f"Bearer {self.api_key}":
            return published_error("401_invalid_key")
        if sent.method == "GET":
            return self._guarded(self._read, sent)
        fingerprint, stored = f"{sent.path} {sent.body}", self._remembered(sent.key)
        if stored is None:
            return self._first(sent, fingerprint, fails)
        if stored.fingerprint != fingerprint:
            return published_error("400_idempotency_key_reused_other_params")
        if stored.answer is None or stored.running:
            return published_error("409_idempotency_key_in_use")
        headers = {**stored.answer.headers, "Idempotent-Replayed": "true"}
        return replace(stored.answer, headers=headers)

    def end(self, key: str) -> None:
        if key in self.keys:
            self.keys[key].running = False

    def _remembered(self, key: str) -> Stored | None:
        stored = self.keys.get(key)
        if stored is not None and self.clock() - stored.at >= KEY_SECONDS:
            del self.keys[key]
            return None
        return stored

    def _first(self, sent: Sent, fingerprint: str, fails: Fails) -> Answer:
        if fails == "before":
            answer = published_error("500_api_error")
        else:
            try:
                answer = Answer(200, self._write(sent))
            except _Refused as refused:
                answer = refused.answer
                if not refused.kept:
                    return answer
        if fails == "after":
            answer = published_error("500_api_error")
        # Frozen: what happens to the object later does not change what was answered.
        frozen = copy.deepcopy(answer)
        self.keys[sent.key] = Stored(fingerprint, self.clock(), frozen)
        return frozen

    def _guarded(self, work: Callable[[Sent], Json], sent: Sent) -> Answer:
        try:
            return Answer(200, copy.deepcopy(work(sent)))
        except _Refused as refused:
            return refused.answer

    # ---- reading

    def _read(self, sent: Sent) -> Json:
        match sent.path.split("/")[2:]:
            case ["payment_intents"]:
                page = self._listed(self.intents, sent.query)
                return {**page, "data": [self.cards.expanded(i, sent.query) for i in page["data"]]}
            case ["payment_intents", id]:
                return self.cards.expanded(_found(self.intents, id), sent.query)
            case ["payment_methods", id]:
                return _found(self.cards.methods, id)
            case ["charges"]:
                return self._listed(self.charges, sent.query)
            case ["refunds"]:
                return self._listed(self.refunds, sent.query)
            case ["refunds", id]:
                return _found(self.refunds, id)
            case _:
                raise _Refused("404_resource_missing")

    def _listed(self, objects: dict[str, Json], query: Mapping[str, str]) -> Json:
        """Newest first, a page at a time."""
        intent_id, since = query.get("payment_intent"), int(query.get("created[gte]", 0))
        found = [
            each
            for each in reversed(objects.values())
            if each["created"] >= since and intent_id in {None, each.get("payment_intent")}
        ]
        if after := query.get("starting_after"):
            found = found[[each["id"] for each in found].index(after) + 1 :]
        limit = int(query.get("limit", 10))
        return {"object": "list", "has_more": len(found) > limit, "data": found[:limit]}

    # ---- writing

    def _write(self, sent: Sent) -> Json:
        form = sent.form
        match sent.path.split("/")[2:]:
            case ["payment_intents"]:
                return self.cards.expanded(self._create(form, sent.key), form)
            case ["customers"]:
                return self.cards.create_customer(_metadata(form))
            case ["payment_methods", id, "detach"]:
                return self._detach(_found(self.cards.methods, id))
            case ["payment_intents", id, "capture"]:
                return self._on_capture(_found(self.intents, id), form, sent.key)
            case ["payment_intents", id, "cancel"]:
                return self._on_cancel(_found(self.intents, id), sent.key)
            case ["refunds"]:
                return self._on_refund(form, sent.key)
            case _:
                raise _Refused("404_resource_missing")

    def _create(self, form: Json, key: str) -> Json:
        amount, token = _positive(form, "amount"), form.get("payment_method", "")
        customer = form.get("customer")
        if customer is not None:
            _found(self.cards.customers, customer)
        if token not in TOKENS and not self.cards.may_charge(token, customer):
            raise _Refused("404_resource_missing", kept=False)
        if form["currency"] == "eur" and amount < 50:
            raise _Refused("400_amount_too_small", kept=False)
        options = {
            name.removeprefix("payment_method_options[card][")[:-1]: value
            for name, value in form.items()
            if name.startswith("payment_method_options[card][")
        }
        id = f"pi_live{next(self._numbers)}"
        intent = sample(
            "api_payment_intent_created_unconfirmed",
            id=id,
            amount=amount,
            currency=form["currency"],
            capture_method=form["capture_method"],
            metadata=_metadata(form),
            created=int(self.clock()),
            client_secret=f"{id}_secret",
            payment_method=token,
            customer=customer,
            setup_future_usage=form.get("setup_future_usage"),
            payment_method_options={"card": options},
        )
        self.intents[id] = intent
        if token in DECLINES:
            raise self._declined(intent, *DECLINES[token], key)
        if token in THREE_D_SECURE:
            return self._ask_shopper(intent, form.get("return_url"), key)
        return self._charge(intent, key)

    def _declined(self, intent: Json, code: str, reason: str | None, key: str) -> _Refused:
        error: Json = {"type": "card_error", "code": code, "message": "Your card was declined."}
        if reason is not None:
            error["decline_code"] = reason
        charge = self._new_charge(intent, status="failed", captured=False, failure_code=code)
        intent.update(status="requires_payment_method", last_payment_error=error)
        self._tell("payment_intent.payment_failed", intent, key)
        about = {**error, "payment_intent": intent, "charge": charge["id"]}
        refused = _Refused("402_card_declined_insufficient_funds")
        refused.answer = replace(refused.answer, body={"error": copy.deepcopy(about)})
        return refused

    def _ask_shopper(self, intent: Json, return_url: str | None, key: str) -> Json:
        """A page to go to; without an address to come back to, Stripe's own script is needed."""
        kind = "redirect" if return_url else "sdk"
        action = sample(f"api_payment_intent_requires_action_{kind}")["next_action"]
        if return_url:
            action["redirect_to_url"]["return_url"] = return_url
        intent.update(status="requires_action", next_action=action)
        self._tell("payment_intent.requires_action", intent, key)
        return intent

    def _charge(self, intent: Json, key: str) -> Json:
        taken = intent["capture_method"] == "automatic"
        units = intent["amount"]
        captured = units if taken else 0
        charge = self._new_charge(intent, captured=taken, amount_captured=captured)
        asked = intent["payment_method_options"]["card"].get("request_multicapture")
        allowed = asked == "if_available" and intent["payment_method"] != ONE_CAPTURE_ONLY
        card = charge["payment_method_details"]["card"]
        card["multicapture"] = {"status": "available" if allowed else "unavailable"}
        intent.update(next_action=None, last_payment_error=None)
        self.cards.attach(intent)
        if taken:
            self.balance += units
            intent.update(status="succeeded", amount_received=units)
        else:
            intent.update(status="requires_capture", amount_capturable=units)
        operation_id = intent["metadata"].get("operation_id")
        kind = "SALE" if taken else "AUTHORIZE"
        self.movements.append(Movement(kind, operation_id, intent["id"], units))
        done = "succeeded" if taken else "amount_capturable_updated"
        self._tell(f"payment_intent.{done}", intent, key)
        return intent

    def _detach(self, method: Json) -> Json:
        if method["customer"] is None:
            raise _Refused("400_amount_too_small", code=None, param=None)
        method["customer"] = None
        return method

    def _new_charge(self, intent: Json, **changes: Any) -> Json:
        about = {name: intent[name] for name in ("amount", "currency", "created", "metadata")}
        charge = sample(
            "api_charge_succeeded",
            id=f"ch_of_{intent['id']}",
            payment_intent=intent["id"],
            **{**copy.deepcopy(about), **changes},
        )
        intent["latest_charge"] = charge["id"]
        self.charges[charge["id"]] = charge
        return charge

    def _on_capture(self, intent: Json, form: Json, key: str) -> Json:
        units = _positive(form, "amount_to_capture")
        final = form.get("final_capture", "true") == "true"
        if intent["status"] != "requires_capture":
            raise _Refused("400_payment_intent_unexpected_state")
        if units > intent["amount_capturable"]:
            raise _Refused("400_amount_too_small", code="amount_too_large")
        card = self.charges[intent["latest_charge"]]["payment_method_details"]["card"]
        if not final and card["multicapture"]["status"] != "available":
            raise _Refused("400_amount_too_small", code=None, param="final_capture")
        return self._capture(intent, units, _metadata(form), key, final=final)

    def _capture(self, intent: Json, units: int, metadata: Json, key: str, *, final: bool) -> Json:
        before, charge = intent["amount_received"], self.charges[intent["latest_charge"]]
        self.balance += units
        left = 0 if final else intent["amount_capturable"] - units
        status = "requires_capture" if left else "succeeded"
        intent["metadata"].update(metadata)
        intent.update(status=status, amount_received=before + units, amount_capturable=left)
        charge.update(captured=True, amount_captured=before + units)
        self.movements.append(Movement("CAPTURE", _operation(key), intent["id"], units))
        self._tell("charge.captured", charge, key, amount_captured=before)
        done = "amount_capturable_updated" if left else "succeeded"
        self._tell(f"payment_intent.{done}", intent, key)
        return intent

    def _on_cancel(self, intent: Json, key: str) -> Json:
        if intent["status"] not in {
            "requires_payment_method",
            "requires_confirmation",
            "requires_action",
            "requires_capture",
        }:
            raise _Refused("400_payment_intent_unexpected_state")
        return self._cancel(intent, key)

    def _cancel(self, intent: Json, key: str) -> Json:
        left = intent["amount"] - intent["amount_received"]
        intent.update(
            status="canceled",
            amount_capturable=0,
            next_action=None,
            canceled_at=int(self.clock()),
            cancellation_reason="requested_by_customer",
        )
        self.movements.append(Movement("VOID", _operation(key), intent["id"], left))
        self._tell("payment_intent.canceled", intent, key)
        return intent

    def _on_refund(self, form: Json, key: str) -> Json:
        units = _positive(form, "amount")
        intent = _found(self.intents, form["payment_intent"])
        gone = sum(
            each["amount"]
            for each in self.refunds.values()
            if each["payment_intent"] == intent["id"] and each["status"] != "failed"
        )
        if gone + units > intent["amount_received"]:
            raise _Refused("400_charge_already_refunded")
        return self._refund(intent, units, _metadata(form), key)

    def _refund(self, intent: Json, units: int, metadata: Json, key: str) -> Json:
        waits = intent["payment_method"] == "pm_card_pendingRefund"
        refund = sample(
            "api_refund_pending" if waits else "api_refund_succeeded",
            id=f"re_live{next(self._numbers)}",
            amount=units,
            currency=intent["currency"],
            payment_intent=intent["id"],
            charge=intent["latest_charge"],
            created=int(self.clock()),
            metadata=metadata,
        )
        self.balance -= units
        self.refunds[refund["id"]] = refund
        self.movements.append(Movement("REFUND", _operation(key), refund["id"], units))
        self._tell("refund.created", refund, key)
        return refund

    def _tell(self, kind: str, about: Json, key: str, **before: Any) -> None:
        event = sample(f"event_{kind}", id=f"evt_fake{next(self._numbers)}")
        event["created"] = int(self.clock())
        event["data"] = {"object": copy.deepcopy(about), "previous_attributes": before}
        event["request"] = {"id": "req_live", "idempotency_key": key or None}
        self.events.append(event)


def _found(objects: dict[str, Json], id: str) -> Json:
    if id not in objects:
        raise _Refused("404_resource_missing")
    return objects[id]


def _positive(form: Json, name: str) -> int:
    value = form.get(name, "")
    if not value.isdigit() or int(value) == 0:
        code = "parameter_invalid_integer" if value else "parameter_missing"
        raise _Refused("400_amount_too_small", kept=False, code=code, param=name)
    return int(value)


def _metadata(form: Json) -> Json:
    return {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}


def _operation(key: str) -> str | None:
    """Whose key it is: ours begin with the id of the operation."""
    return key.partition(".")[0] or None


def published_error(name: str, **members: Any) -> Answer:
    found = sample(f"error_{name}")
    found["body"]["error"].update(members)
    headers = {k: v for k, v in found["headers"].items() if k != "Idempotent-Replayed"}
    return Answer(found["http_status"], found["body"], headers)
