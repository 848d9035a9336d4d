"""The simulator's answers in our words. Pure.

What is not understood is `Unparseable`, never a guess: after a call that may have moved money the
driver makes that UNKNOWN.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateways.port import (
    DeclineKind,
    Failure,
    HttpResponse,
    NextAction,
    NextActionKind,
    Operation,
    Outcome,
    OutcomeStatus,
    StoredMethod,
    Unparseable,
)
from gateways.simulator.reading import (
    Document,
    child,
    flag,
    integer,
    moment,
    money,
    optional_text,
    parse,
    text,
)

PAYMENT_KINDS: Final = frozenset({"SALE", "AUTHORIZE"})
_OBJECT_OF_KIND: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SALE": "payment",
        "AUTHORIZE": "payment",
        "CAPTURE": "capture",
        "VOID": "void",
        "REFUND": "refund",
    }
)
_WAITING: Final[Mapping[str, OutcomeStatus]] = MappingProxyType(
    {"pending": OutcomeStatus.PENDING, "requires_action": OutcomeStatus.REQUIRES_ACTION}
)
_AUTHORIZED: Final = frozenset(
    {"authorized", "partially_captured", "captured", "voided", "expired"}
)


def _read_declines() -> Mapping[str, tuple[DeclineKind, bool]]:
    """Kind of refusal, and whether another provider may be tried, by the simulator's code."""
    groups = tomllib.loads(Path(__file__).with_name("declines.toml").read_text())
    return MappingProxyType(
        {
            code: (DeclineKind(kind), group["elsewhere"])
            for kind, group in groups.items()
            for code in group["codes"]
        }
    )


_DECLINES: Final = _read_declines()


@dataclass(frozen=True, slots=True)
class Page:
    """What a search found. `in_progress`: a request with the reference is being worked on now."""

    found: tuple[Document, ...]
    in_progress: bool


def outcome(operation: Operation, response: HttpResponse) -> Outcome:
    """What the answer to a money call says about the operation. Raises: Unparseable."""
    match response.status:
        case 200 | 201:
            return _own_outcome(operation, parse(response.body))
        case 402:
            return _declined(operation, child(parse(response.body), "payment"))
        case 401 | 403:
            return _not_executed(
                Failure(
                    "authentication",
                    "The provider does not accept our credentials.",
                    decline=DeclineKind.CONFIG,
                    retry_other_provider=True,
                ),
                response,
            )
        case 429:
            return _not_executed(_turned_away(response), response)
        case 400 | 404 | 405 | 409 | 413 | 415 | 422:
            return _refused(text(child(parse(response.body), "error"), "code"))
        case _:
            raise Unparseable(f"status {response.status}")


def _own_outcome(operation: Operation, document: Document) -> Outcome:
    """What a fresh answer says: it must echo our reference."""
    if document.get("reference") != operation.id:
        raise Unparseable("the answer does not echo our reference")
    return found_outcome(operation, document)


def _declined(operation: Operation, payment: Document) -> Outcome:
    """402 with a payment that is anything but declined contradicts itself."""
    said = _own_outcome(operation, payment)
    if said.status is not OutcomeStatus.DECLINED:
        raise Unparseable("refused and not declined")
    return said


def found_outcome(operation: Operation, document: Document) -> Outcome:
    """What the provider's object says about the operation it was made for.

    Raises: Unparseable, also when it is the object of another operation.
    """
    reference = document.get("reference")
    if reference is not None and reference != operation.id:
        raise Unparseable("the answer is about another operation")
    if operation_kind(document) != operation.kind:
        raise Unparseable("the answer is about another kind of operation")
    return document_outcome(document)


def operation_kind(document: Document) -> str:
    """SALE, AUTHORIZE, CAPTURE, VOID or REFUND. Raises: Unparseable."""
    name = text(document, "object")
    if name == "payment":
        return "SALE" if flag(document, "capture") else "AUTHORIZE"
    for kind, object_name in _OBJECT_OF_KIND.items():
        if object_name == name:
            return kind
    raise Unparseable("unknown object")


def document_outcome(document: Document) -> Outcome:
    """What an object says about the operation that made it. Raises: Unparseable."""
    if text(document, "object") == "payment":
        return _payment_outcome(document)
    return _movement_outcome(document)


def read_document(response: HttpResponse) -> Document:
    """The object a request made or read. Raises: Unparseable."""
    if response.status not in {200, 201}:
        raise Unparseable(f"status {response.status}")
    return parse(response.body)


def read_page(response: HttpResponse) -> Page:
    """The answer to a search. Raises: Unparseable."""
    page = read_document(response)
    found = page.get("data")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Unparseable("not a list")
    return Page(tuple(found), flag(page, "in_progress"))


def failure_of(code: str, details: Document) -> Failure:
    """Their code in our words; one we do not know is OTHER and not tried again."""
    kind, elsewhere = _DECLINES.get(code, (DeclineKind.OTHER, False))
    return Failure(
        "declined" if kind is not DeclineKind.OTHER else "refused",
        optional_text(details, "message") or "The provider refused.",
        decline=kind,
        provider_code=code,
        network_code=optional_text(details, "network_code"),
        advice_code=optional_text(details, "advice_code"),
        retry_other_provider=elsewhere,
    )


def _payment_outcome(document: Document) -> Outcome:
    raw = text(document, "status")
    status = _payment_status(document, raw)
    failure = None
    if status is OutcomeStatus.DECLINED:
        details = child(document, "decline") if raw == "declined" else {}
        failure = failure_of(text(details, "code") if details else f"payment_{raw}", details)
    sold = status is OutcomeStatus.SUCCEEDED and flag(document, "capture")
    return Outcome(
        status,
        provider_ref=text(document, "id"),
        amount=money(document, "amount"),
        fee=money(document, "fee") if sold else None,
        failure=failure,
        next_action=_next_action(document) if raw == "requires_action" else None,
        raw_status=raw,
        occurred_at=moment(document, "updated" if status in _FINAL else "created"),
        stored_method=_stored_method(document) if status is OutcomeStatus.SUCCEEDED else None,
    )


def _stored_method(document: Document) -> StoredMethod | None:
    """What the customer keeps, if it was asked for."""
    if document.get("saved_method") is None:
        return None
    saved = child(document, "saved_method")
    return StoredMethod(
        token=text(saved, "id"),
        provider_customer=text(saved, "customer"),
        brand=text(saved, "brand"),
        last4=text(saved, "last4"),
        exp_month=integer(saved, "exp_month"),
        exp_year=integer(saved, "exp_year"),
    )


def is_detached(response: HttpResponse) -> bool:
    """Whether a saved method is forgotten. Raises: Unparseable."""
    if response.status == 404:
        return text(child(parse(response.body), "error"), "code") == "saved_method_not_found"
    return flag(read_document(response), "detached")


_FINAL: Final = frozenset({OutcomeStatus.SUCCEEDED, OutcomeStatus.DECLINED})


def _payment_status(document: Document, raw: str) -> OutcomeStatus:
    """A payment that ended before anything was reserved is a refusal: no money moved."""
    if raw in _WAITING:
        return _WAITING[raw]
    if raw == "declined":
        return OutcomeStatus.DECLINED
    if raw not in _AUTHORIZED:
        raise Unparseable("unknown status")
    reserved = money(document, "amount_authorized").minor_units
    if not reserved and raw in {"voided", "expired"}:
        return OutcomeStatus.DECLINED
    if reserved != money(document, "amount").minor_units:
        raise Unparseable("authorized another amount than it says")
    if flag(document, "capture") and raw != "captured":
        raise Unparseable("a sale that is not captured")
    return OutcomeStatus.SUCCEEDED


def _movement_outcome(document: Document) -> Outcome:
    """A capture, void or refund is done when it exists; a refund may be sent back later."""
    raw = text(document, "status")
    if raw not in {"succeeded", "failed"}:
        raise Unparseable("unknown status")
    capture = text(document, "object") == "capture"
    done = raw == "succeeded"
    reason = optional_text(document, "reason")
    return Outcome(
        OutcomeStatus.SUCCEEDED if done else OutcomeStatus.REVERSED,
        provider_ref=text(document, "id"),
        amount=money(document, "amount"),
        fee=money(document, "fee") if capture else None,
        failure=None if done else Failure("returned", "The refund came back."),
        raw_status=reason or raw,
        occurred_at=moment(document, "created"),
    )


def _not_executed(failure: Failure, response: HttpResponse) -> Outcome:
    """The provider did not look at the request: it surely did nothing."""
    return Outcome(OutcomeStatus.NOT_EXECUTED, failure=failure, raw_status=str(response.status))


def _turned_away(response: HttpResponse) -> Failure:
    """429 is for everybody's requests, so it counts as an outage."""
    wait = response.headers.get("retry-after", "")
    return Failure(
        "provider_busy",
        "The provider takes no more requests right now.",
        provider_code="rate_limited",
        retry_same_provider=True,
        retry_other_provider=True,
        retry_after_seconds=float(wait) if re.fullmatch("[0-9]{1,6}", wait) else None,
        outage=True,
    )


_PROVES_NOTHING: Final[Mapping[str, str]] = MappingProxyType(
    {"idempotency_key_in_progress": "in_progress", "idempotency_key_reused": "idempotency_error"}
)
"""Refusals that leave open what the first request with the key did."""


def _refused(code: str) -> Outcome:
    """The request broke a rule, or met another one with its key."""
    if code in _PROVES_NOTHING:
        failure = Failure(
            _PROVES_NOTHING[code], "Another request with this key decides.", provider_code=code
        )
        return Outcome(OutcomeStatus.UNKNOWN, failure=failure, raw_status=code)
    return Outcome(OutcomeStatus.DECLINED, failure=failure_of(code, {}), raw_status=code)


def _next_action(document: Document) -> NextAction:
    action = child(document, "next_action")
    if text(action, "type") != "redirect":
        raise Unparseable("unknown action")
    return NextAction(NextActionKind.REDIRECT, url=text(action, "url"))
