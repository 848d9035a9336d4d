"""The calls to Stripe, as flows: what is sent, and how the answer is read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Final
from urllib.parse import quote, urlencode

from gateways.port import (
    Account,
    BadRequest,
    Effect,
    Failure,
    Flow,
    HttpCall,
    HttpResponse,
    LookupResult,
    Operation,
    Outcome,
    OutcomeStatus,
    StoredMethod,
    Unparseable,
)
from gateways.stripe import captures, stored_methods
from gateways.stripe.mapping import (
    OPERATION_KEY,
    check_echo,
    intent_outcome,
    is_undecided,
    operation_of,
    refund_outcome,
    refusal,
    state_code,
    void_outcome,
)
from gateways.stripe.money import to_stripe
from gateways.stripe.reading import Json, listed, money, parse, reference, text

API_VERSION: Final = "2026-10-28.endive"
PAGES_MAX: Final = 5
"""Pages of a hundred read when searching a list; beyond that a lookup is inconclusive."""
CLOCKS_APART: Final = timedelta(minutes=5)
_METADATA_MAX: Final = 40
_METADATA_MAX_OF_SEVERAL: Final = 20
"""Where there may be several captures: each leaves a name of its own, and Stripe takes 50."""
_REFUND_REASONS: Final = {
    "DUPLICATE": "duplicate",
    "FRAUDULENT": "fraudulent",
    "REQUESTED_BY_CUSTOMER": "requested_by_customer",
}


def authorize(operation: Operation) -> Flow[Outcome]:
    """Create and confirm a PaymentIntent: SALE captures at once, AUTHORIZE later."""
    if not operation.token:
        raise BadRequest("Stripe needs a payment method token")
    customer = yield from _customer(operation)
    optional = {
        "return_url": operation.return_url,
        "statement_descriptor_suffix": (operation.descriptor or "")[:22],
    }
    form = {
        "amount": str(to_stripe(operation.amount)),
        "currency": operation.amount.currency.lower(),
        "capture_method": "automatic" if operation.kind == "SALE" else "manual",
        "confirm": "true",
        "payment_method": operation.token,
        "payment_method_types[]": "card",
        **stored_methods.terms(operation, customer),
        **_optional(operation.account, optional),
        **_metadata(operation, OPERATION_KEY),
    }
    if operation.kind == "AUTHORIZE" and operation.account.agreed(captures.AGREEMENT):
        form["payment_method_options[card][request_multicapture]"] = "if_available"
    response = yield _post(operation, "/v1/payment_intents", form)
    if response.status != 200:
        return refusal(response)
    intent = parse(response.body)
    check_echo(operation, operation_of(intent, OPERATION_KEY), operation.id)
    return intent_outcome(intent, operation.kind)


def _customer(operation: Operation) -> Flow[str | None]:
    """Stripe's Customer, made where a method is to be kept and there is none yet.

    It moves no money, and without it the payment is made all the same: the method is not kept.
    """
    if operation.provider_customer is not None or not operation.store_method:
        return operation.provider_customer
    if operation.customer_id is None:
        return None
    form = {"metadata[customer_id]": operation.customer_id}
    key = stored_methods.customer_key(operation)
    response = yield _post_freely(operation.account, "/v1/customers", form, key)
    return text(parse(response.body), "id") if response.status == 200 else None


def detach(account: Account, method: StoredMethod, key: str) -> Flow[bool]:
    """Take a card from its customer. Refused: it may be without one already, so look."""
    path = f"/v1/payment_methods/{quote(method.token, safe='')}"
    response = yield _post_freely(account, f"{path}/detach", {}, key)
    if response.status != 200:
        response = yield _read(account, path)
    if response.status == 404:
        return True
    if response.status != 200:
        raise Unparseable(f"HTTP {response.status}")
    return stored_methods.is_free(parse(response.body))


def capture(operation: Operation) -> Flow[Outcome]:
    """Take (part of) an authorized PaymentIntent.

    The rest is released, or stays open if this is not the last capture.
    """
    intent_id = _parent(operation)
    units = str(to_stripe(operation.amount))
    form = {"amount_to_capture": units, f"metadata[{captures.mark_of(operation.id)}]": units}
    if not operation.final:
        captures.demand_agreement(operation.account)
        form["final_capture"] = "false"
    response = yield _post(operation, _intent_path(intent_id) + "/capture", form)
    if response.status != 200:
        return (yield from _reconciled(operation, response))
    intent = parse(response.body)
    check_echo(operation, text(intent, "id"), intent_id)
    done = captures.outcome_of(intent, operation.id)
    place = captures.reference_of(intent_id, money(intent, "amount_received"))
    return replace(done, provider_ref=place)


def void(operation: Operation) -> Flow[Outcome]:
    """Cancel a PaymentIntent that was not captured."""
    intent_id = _parent(operation)
    form = {"cancellation_reason": "requested_by_customer"}
    response = yield _post(operation, _intent_path(intent_id) + "/cancel", form)
    if response.status != 200:
        return (yield from _reconciled(operation, response))
    intent = parse(response.body)
    check_echo(operation, text(intent, "id"), intent_id)
    return void_outcome(intent)


def refund(operation: Operation) -> Flow[Outcome]:
    """Return (part of) a captured PaymentIntent."""
    intent_id = _parent(operation)
    optional = {"reason": _REFUND_REASONS.get(operation.reason or "")}
    form = {
        "payment_intent": intent_id,
        "amount": str(to_stripe(operation.amount)),
        **_optional(operation.account, optional),
        **_metadata(operation, OPERATION_KEY),
    }
    response = yield _post(operation, "/v1/refunds", form)
    if response.status != 200:
        return (yield from _reconciled(operation, response))
    made = parse(response.body)
    check_echo(operation, operation_of(made, OPERATION_KEY), operation.id)
    check_echo(operation, reference(made, "payment_intent"), intent_id)
    return refund_outcome(made)


def lookup(operation: Operation) -> Flow[LookupResult]:
    """Find out what happened: by id where there is one, else in the list by our own id."""
    match operation.kind:
        case "SALE" | "AUTHORIZE":
            return (yield from _lookup_intent(operation))
        case "CAPTURE":
            return (yield from _lookup_capture(operation))
        case "VOID":
            return (yield from _lookup_void(operation))
        case "REFUND":
            return (yield from _lookup_refund(operation))
        case _:
            raise BadRequest(f"the adapter has no {operation.kind}")


def _reconciled(operation: Operation, response: HttpResponse) -> Flow[Outcome]:
    """A refusal. If the object is in no state for this, ask whether that is our own doing."""
    code = state_code(response)
    if code is None:
        return refusal(response)
    found = yield from lookup(operation)
    if found.outcome is not None:
        return found.outcome
    if not found.not_found_is_conclusive:
        raise Unparseable(f"{code}, and what was done could not be found")
    failure = Failure("invalid_state", "the payment is not in a state for this", provider_code=code)
    return Outcome(OutcomeStatus.DECLINED, failure=failure, raw_status=code)


def _lookup_intent(operation: Operation) -> Flow[LookupResult]:
    if operation.provider_ref is not None:
        path = _intent_path(operation.provider_ref)
        if operation.store_method:
            path += "?" + urlencode({"expand[]": stored_methods.EXPAND})
        intent = yield from _fetch(operation, path)
    else:
        query = {"limit": "100"}
        if operation.store_method:
            query["expand[]"] = f"data.{stored_methods.EXPAND}"
        if operation.sent_at is not None:
            query["created[gte]"] = str(int((operation.sent_at - CLOCKS_APART).timestamp()))
        intent, complete = yield from _find(operation, "/v1/payment_intents", query)
        if intent is None:
            return LookupResult(not_found_is_conclusive=complete and operation.sent_at is not None)
    if intent is None or is_undecided(intent):
        return LookupResult()
    check_echo(operation, operation_of(intent, OPERATION_KEY), operation.id)
    return LookupResult(intent_outcome(intent, operation.kind))


def _lookup_capture(operation: Operation) -> Flow[LookupResult]:
    intent = yield from _fetch(operation, _intent_path(_parent(operation)))
    if intent is None:
        return LookupResult()
    if operation.id in captures.ours(intent):
        return LookupResult(captures.outcome_of(intent, operation.id))
    return LookupResult(not_found_is_conclusive=True)


def _lookup_void(operation: Operation) -> Flow[LookupResult]:
    intent = yield from _fetch(operation, _intent_path(_parent(operation)))
    if intent is None:
        return LookupResult()
    if text(intent, "status") == "canceled":
        return LookupResult(void_outcome(intent))
    return LookupResult(not_found_is_conclusive=True)


def _lookup_refund(operation: Operation) -> Flow[LookupResult]:
    if operation.provider_ref is not None:
        found = yield from _fetch(
            operation, f"/v1/refunds/{quote(operation.provider_ref, safe='')}"
        )
        return LookupResult(refund_outcome(found)) if found is not None else LookupResult()
    query = {"limit": "100", "payment_intent": _parent(operation)}
    found, complete = yield from _find(operation, "/v1/refunds", query)
    if found is None:
        return LookupResult(not_found_is_conclusive=complete)
    return LookupResult(refund_outcome(found))


def _fetch(operation: Operation, path: str) -> Flow[Json | None]:
    """One object; None when Stripe has none of that id. Raises: Unparseable."""
    response = yield _get(operation, path)
    if response.status == 404:
        return None
    if response.status != 200:
        raise Unparseable(f"HTTP {response.status}")
    return parse(response.body)


def _find(
    operation: Operation, path: str, query: Mapping[str, str]
) -> Flow[tuple[Json | None, bool]]:
    """The object of a list that names our operation, and whether the whole list was read."""
    after: dict[str, str] = {}
    for _ in range(PAGES_MAX):
        response = yield _get(operation, f"{path}?{urlencode({**query, **after})}")
        if response.status != 200:
            raise Unparseable(f"HTTP {response.status}")
        entries, complete = listed(parse(response.body))
        for entry in entries:
            if operation_of(entry, OPERATION_KEY) == operation.id:
                return entry, complete
        if complete or not entries:
            return None, complete
        after = {"starting_after": text(entries[-1], "id")}
    return None, False


def _post(operation: Operation, path: str, form: Mapping[str, str]) -> HttpCall:
    key = f"{operation.idempotency_key}.1"
    headers = {
        **_headers(operation.account),
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": key,
    }
    return HttpCall(
        "POST",
        operation.account.base_url.rstrip("/") + path,
        headers=headers,
        body=urlencode(form).encode("ascii"),
        idempotency_key=key,
        secrets=_secrets(operation),
    )


def _post_freely(account: Account, path: str, form: Mapping[str, str], key: str) -> HttpCall:
    """A request that moves no money, whatever becomes of it."""
    headers = {
        **_headers(account),
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": key,
    }
    return HttpCall(
        "POST",
        account.base_url.rstrip("/") + path,
        headers=headers,
        body=urlencode(form).encode("ascii"),
        effect=Effect.NONE,
        idempotency_key=key,
        secrets=(account.secret("api_key"),),
    )


def _read(account: Account, path: str) -> HttpCall:
    return HttpCall(
        "GET",
        account.base_url.rstrip("/") + path,
        headers=_headers(account),
        effect=Effect.NONE,
        secrets=(account.secret("api_key"),),
    )


def _get(operation: Operation, path: str) -> HttpCall:
    return HttpCall(
        "GET",
        operation.account.base_url.rstrip("/") + path,
        headers=_headers(operation.account),
        effect=Effect.NONE,
        secrets=_secrets(operation),
    )


def _headers(account: Account) -> dict[str, str]:
    key = account.secret("api_key")
    if key.startswith(("sk_live_", "rk_live_") if not account.live else ("sk_test_", "rk_test_")):
        raise BadRequest("the API key is of the other mode (live, test) than the account")
    headers = {"Authorization": f"Bearer {key}", "Stripe-Version": API_VERSION}
    if connected := account.fields.get("connected_account"):
        headers["Stripe-Account"] = connected
    return headers


def _secrets(operation: Operation) -> tuple[str, ...]:
    token = (operation.token,) if operation.token else ()
    return (operation.account.secret("api_key"), *token)


def _optional(account: Account, values: Mapping[str, str | None]) -> dict[str, str]:
    """The values that are there and that this account may send."""
    return {name: value for name, value in values.items() if value and name not in account.omit}


def _metadata(operation: Operation, key: str) -> dict[str, str]:
    """The shop's metadata as far as Stripe takes it, and our id, which is what counts.

    Stripe takes 50 names of 40 characters without brackets, and values of 500.
    """
    shop = {
        f"metadata[{name}]": value
        for name, value in operation.metadata.items()
        if 1 <= len(name) <= 40
        and not {"[", "]"} & set(name)
        and name != OPERATION_KEY
        and not name.startswith(captures.MARK)
        and len(value) <= 500
    }
    several = operation.account.agreed(captures.AGREEMENT)
    most = _METADATA_MAX_OF_SEVERAL if several else _METADATA_MAX
    return {**dict(islice(shop.items(), most)), f"metadata[{key}]": operation.id}


def _parent(operation: Operation) -> str:
    if not operation.parent_ref:
        raise BadRequest(f"{operation.kind} needs the payment intent it acts on")
    return operation.parent_ref


def _intent_path(intent_id: str) -> str:
    return f"/v1/payment_intents/{quote(intent_id, safe='')}"
