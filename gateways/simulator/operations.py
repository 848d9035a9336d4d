"""The flows: which calls are made, and what the last answer means.

Our operation id goes as `reference`, so that everything can be found by it again.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import orjson

from gateways.port import (
    Account,
    BadRequest,
    Effect,
    Flow,
    HttpCall,
    LookupResult,
    Operation,
    Outcome,
    StoredMethod,
    Unparseable,
)
from gateways.simulator import mapping

AMOUNT_MAX: Final = 999_999_999_999
_PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


def authorize(operation: Operation) -> Flow[Outcome]:
    """Charge (SALE) or reserve (AUTHORIZE) the amount with the token."""
    if operation.kind not in mapping.PAYMENT_KINDS:
        raise BadRequest(f"{operation.kind} is no payment")
    if not operation.token:
        raise BadRequest("a payment needs a token")
    body = {
        **_amount(operation),
        "token": operation.token,
        "capture": operation.kind == "SALE",
        "return_url": operation.return_url,
        "metadata": dict(operation.metadata),
        **_customer(operation),
    }
    return (yield from _move(operation, "/v1/payments", body))


def _customer(operation: Operation) -> Mapping[str, object]:
    """Whose saved method it is, or becomes. Sent only then: most payments need no customer here."""
    if operation.store_method:
        return {"customer": operation.customer_id, "save": True}
    if operation.provider_customer is not None:
        return {"customer": operation.provider_customer}
    return {}


def capture(operation: Operation) -> Flow[Outcome]:
    """Take (part of) what was authorized."""
    body = {**_amount(operation), "final": operation.final}
    return (yield from _move(operation, f"/v1/payments/{_parent(operation)}/captures", body))


def void(operation: Operation) -> Flow[Outcome]:
    """Give back what is authorized and not captured; the answer says how much that was."""
    path = f"/v1/payments/{_parent(operation)}/void"
    return (yield from _move(operation, path, {"reference": operation.id}))


def refund(operation: Operation) -> Flow[Outcome]:
    """Return (part of) what was captured."""
    body = {**_amount(operation), "payment": _parent(operation)}
    return (yield from _move(operation, "/v1/refunds", body))


def lookup(operation: Operation) -> Flow[LookupResult]:
    """By the provider's id where it is known, else by our reference.

    Nothing under our reference and nothing in progress is conclusive.
    """
    if operation.provider_ref is not None:
        path = f"/v1/operations/{_checked(operation.provider_ref)}"
        response = yield _call(operation.account, "GET", path, effect=Effect.NONE)
        return LookupResult(mapping.found_outcome(operation, mapping.read_document(response)))
    path = f"/v1/operations?reference={quote(operation.id, safe='')}"
    response = yield _call(operation.account, "GET", path, effect=Effect.NONE)
    page = mapping.read_page(response)
    if not page.found:
        return LookupResult(not_found_is_conclusive=not page.in_progress)
    if len(page.found) > 1:
        raise Unparseable("one reference, several operations")
    return LookupResult(mapping.found_outcome(operation, page.found[0]))


def detach(account: Account, method: StoredMethod, key: str) -> Flow[bool]:
    """Forget a saved method. One that is not there (any more) is forgotten."""
    path = f"/v1/saved_methods/{_checked(method.token)}/detach"
    call = _call(account, "POST", path, body={}, effect=Effect.NONE, idempotency_key=key)
    return mapping.is_detached((yield call))


def probe(account: Account) -> Flow[bool]:
    """Whether the provider answers and knows the key."""
    response = yield _call(account, "GET", "/v1/account", effect=Effect.NONE)
    return response.status == 200


def _move(operation: Operation, path: str, body: Mapping[str, object]) -> Flow[Outcome]:
    """One call that may move money."""
    key = operation.idempotency_key
    response = yield _call(operation.account, "POST", path, body=body, idempotency_key=key)
    return mapping.outcome(operation, response)


def _call(
    account: Account,
    method: str,
    path: str,
    *,
    body: Mapping[str, object] | None = None,
    effect: Effect = Effect.MONEY,
    idempotency_key: str | None = None,
) -> HttpCall:
    secret = account.secret("secret_key")
    headers = {"Authorization": f"Bearer {secret}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    return HttpCall(
        method,
        account.base_url.rstrip("/") + path,
        headers=headers,
        body=b"" if body is None else orjson.dumps(body),
        effect=effect,
        idempotency_key=idempotency_key,
        secrets=(secret,),
    )


def _amount(operation: Operation) -> Mapping[str, object]:
    """Amount, currency and reference. Raises: BadRequest when it is out of range."""
    units = operation.amount.minor_units
    if not 0 < units <= AMOUNT_MAX:
        raise BadRequest(f"amounts are 1 to {AMOUNT_MAX} minor units")
    return {"amount": units, "currency": operation.amount.currency, "reference": operation.id}


def _parent(operation: Operation) -> str:
    if operation.parent_ref is None:
        raise BadRequest(f"{operation.kind} needs the payment's id at the provider")
    return _checked(operation.parent_ref)


def _checked(provider_id: str) -> str:
    """An id that may stand in a path. Raises: BadRequest."""
    if not _PROVIDER_ID.fullmatch(provider_id):
        raise BadRequest("no id of this provider")
    return provider_id
