"""Stripe's published answers, and operations to meet them with."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import respx

from core.money import Money
from gateways.dispatcher import Dispatched, LookedUp
from gateways.port import (
    Operation,
    Outcome,
)
from gateways.stripe import StripeAdapter
from tests.gateways.builders import Bench, a_bench, an_account, an_operation

HERE = Path(__file__).parent
API = "https://psp.example"
INTENTS = f"{API}/v1/payment_intents"
INTENT = f"{INTENTS}/pi_3SAMPLEord1001"
REFUNDS = f"{API}/v1/refunds"
KINDS = ["SALE", "AUTHORIZE", "CAPTURE", "VOID", "REFUND"]


def body(name: str, **changes: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HERE / f"samples/{name}.json").read_text("utf-8"))
    return {**loaded, **changes}


def intent(name: str, **changes: Any) -> httpx.Response:
    return httpx.Response(200, json=body(f"api_payment_intent_{name}", **changes))


def captured(units: int = 3000, *, by: str = "op_1", **changes: Any) -> httpx.Response:
    """The intent of which 30.00 were captured, with the mark a capture of ours leaves."""
    marks = {f"capture_{by}": str(units)}
    return intent("partial_capture_final", **{"metadata": marks, **changes})


def refund(name: str, **changes: Any) -> httpx.Response:
    return httpx.Response(200, json=body(f"api_refund_{name}", **changes))


def error(name: str) -> httpx.Response:
    answer = body(f"error_{name}")
    return httpx.Response(answer["http_status"], headers=answer["headers"], json=answer["body"])


def an_operation_of(kind: str, **changes: Any) -> Operation:
    account = an_account("stripe").credentials()
    parent = None if kind in {"SALE", "AUTHORIZE"} else "pi_3SAMPLEord1001"
    amount = Money(1500 if kind == "REFUND" else 4250, "EUR")
    defaults = {"account": account, "parent_ref": parent, "amount": amount}
    return an_operation(kind, **{**defaults, **changes})


def url_of(kind: str) -> str:
    return {
        "SALE": INTENTS,
        "AUTHORIZE": INTENTS,
        "CAPTURE": f"{INTENT}/capture",
        "VOID": f"{INTENT}/cancel",
        "REFUND": REFUNDS,
    }[kind]


async def send(kind: str, *answers: Any, bench: Bench | None = None, **changes: Any) -> Dispatched:
    bench = bench or a_bench(StripeAdapter())
    account, operation = an_account("stripe"), an_operation_of(kind, **changes)
    respx.post(url_of(kind)).mock(side_effect=list(answers))
    prepared = bench.dispatcher.prepare(account, operation)
    return await bench.dispatcher.send(prepared, bench.commit)


async def look(kind: str, **changes: Any) -> LookedUp:
    operation = an_operation_of(kind, **changes)
    return await a_bench(StripeAdapter()).dispatcher.lookup(an_account("stripe"), operation)


def form() -> dict[str, str]:
    sent = respx.calls.last.request.content.decode()
    return {name: value for name, [value] in parse_qs(sent).items()}


def code_of(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.code
