"""The merchant's API: what each endpoint takes, checks and does.

An endpoint only reads: it validates and returns a `Task`. Whether and how the task is performed is
the pipeline's decision, which knows about replays and planned faults.
"""

import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from simulator import movements, payments, saved_methods
from simulator.books import Tx
from simulator.documents import Document, movement_document, saved_method_document
from simulator.fields import Fields, json_object
from simulator.movements import MovementOrder
from simulator.payments import Origin, PaymentOrder
from simulator.problems import Refused, invalid, not_found
from simulator.tokens import Behaviour, behaviour_of


@dataclass(frozen=True, slots=True)
class Inquiry:
    """An authenticated request on its way to an endpoint."""

    origin: Origin
    id: str
    query: Mapping[str, list[str]]
    body: bytes
    public_url: str
    reference_in_progress: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What an endpoint would do. `perform(deviation)` does it and returns status and document.

    `behaviour` is set only where a token decides what happens.
    """

    perform: Callable[[int], tuple[int, Document]]
    reference: str | None = None
    token: str | None = None
    behaviour: Behaviour | None = None
    deviation: int = field(default=-1)
    """How far off a wrong amount is."""


Endpoint = Callable[[Tx, Inquiry], Task]


def create_payment(tx: Tx, inquiry: Inquiry) -> Task:
    fields = Fields(json_object(inquiry.body))
    amount, currency = fields.amount(), fields.currency()
    given, reference = fields.text("token"), fields.text("reference")
    capture = fields.boolean("capture", default=True)
    return_url, metadata = fields.url_or_none("return_url"), fields.metadata()
    customer, save = fields.text_or_none("customer"), fields.boolean("save", default=False)
    fields.done()
    if save and customer is None:
        raise invalid("customer", "is required to save a method")
    account = inquiry.origin.account
    token = saved_methods.token_behind(tx, account, given)
    behaviour = behaviour_of(token)

    def perform(deviation: int) -> tuple[int, Document]:
        saved_methods.check_usable(tx, account, given, customer)
        order = PaymentOrder(
            reference,
            token,
            amount + deviation,
            amount,
            currency,
            capture,
            return_url,
            metadata,
            customer,
            save,
        )
        document = payments.create(tx, inquiry.origin, order, behaviour, inquiry.public_url)
        if document["status"] != "declined":
            return 201, document
        decline = document["decline"]
        assert isinstance(decline, dict)
        return 402, {"error": {"type": "declined", **decline}, "payment": document}

    return Task(perform, reference, token, behaviour, deviation=1)


def capture_payment(tx: Tx, inquiry: Inquiry) -> Task:
    fields = Fields(json_object(inquiry.body))
    order = _movement_order(fields)
    final = fields.boolean("final", default=True)
    fields.done()
    payment = payments.find(tx, inquiry.origin.account, inquiry.id)

    def perform(deviation: int) -> tuple[int, Document]:
        wanted = MovementOrder(order.reference, order.amount, order.currency, final, deviation)
        return 201, movements.capture(tx, inquiry.origin, payment, wanted)

    return Task(perform, order.reference, payment["token"])


def void_payment(tx: Tx, inquiry: Inquiry) -> Task:
    fields = Fields(json_object(inquiry.body))
    reference = fields.text("reference")
    fields.done()
    payment = payments.find(tx, inquiry.origin.account, inquiry.id)

    def perform(_deviation: int) -> tuple[int, Document]:
        return 201, movements.void(tx, inquiry.origin, payment, reference)

    return Task(perform, reference, payment["token"])


def create_refund(tx: Tx, inquiry: Inquiry) -> Task:
    fields = Fields(json_object(inquiry.body))
    payment_id, order = fields.text("payment"), _movement_order(fields)
    fields.done()
    payment = payments.find(tx, inquiry.origin.account, payment_id)

    def perform(deviation: int) -> tuple[int, Document]:
        wanted = MovementOrder(order.reference, order.amount, order.currency, deviation=deviation)
        return 201, movements.refund(tx, inquiry.origin, payment, wanted)

    return Task(perform, order.reference, payment["token"])


def read_payment(tx: Tx, inquiry: Inquiry) -> Task:
    payment = payments.find(tx, inquiry.origin.account, inquiry.id)
    document = payments.document_of(tx, payment)
    return Task(lambda _: (200, document), token=payment["token"])


def read_saved_method(tx: Tx, inquiry: Inquiry) -> Task:
    row = saved_methods.find(tx, inquiry.origin.account, inquiry.id)
    return Task(lambda _: (200, saved_method_document(row)))


def detach_saved_method(tx: Tx, inquiry: Inquiry) -> Task:
    """Forget a method: it is not paid with again. Safe to repeat."""
    Fields(json_object(inquiry.body)).done()
    account, id = inquiry.origin.account, inquiry.id
    saved_methods.find(tx, account, id)

    def perform(_deviation: int) -> tuple[int, Document]:
        saved_methods.detach(tx, id)
        return 200, saved_method_document(saved_methods.find(tx, account, id))

    return Task(perform, id)


def read_refund(tx: Tx, inquiry: Inquiry) -> Task:
    row = movements.find_movement(tx, inquiry.id)
    if row["kind"] != "refund" or row["account"] != inquiry.origin.account:
        raise not_found("refund")
    return _read_movement(tx, row)


def read_operation(tx: Tx, inquiry: Inquiry) -> Task:
    """A payment, capture, void or refund by its id here."""
    if inquiry.id.startswith("sp_"):
        return read_payment(tx, inquiry)
    row = movements.find_movement(tx, inquiry.id)
    if row["account"] != inquiry.origin.account:
        raise not_found("operation")
    return _read_movement(tx, row)


def find_payments(tx: Tx, inquiry: Inquiry) -> Task:
    """Payments by the caller's reference."""
    reference = _reference(inquiry)
    rows = _payments_of(tx, inquiry.origin.account, reference)
    found = [payments.document_of(tx, row) for row in rows]
    return _list(inquiry, reference, found, rows[0]["token"] if rows else None)


def find_operations(tx: Tx, inquiry: Inquiry) -> Task:
    """Everything that was done under the caller's reference.

    Empty and not in progress is conclusive: no request with this reference has had an effect, and
    none that has arrived still will.
    """
    reference = _reference(inquiry)
    rows = _payments_of(tx, inquiry.origin.account, reference)
    moves = tx.execute(
        "SELECT * FROM movement WHERE account = ? AND reference = ? ORDER BY rowid LIMIT 100",
        (inquiry.origin.account, reference),
    ).fetchall()
    found = [payments.document_of(tx, row) for row in rows]
    found += [movement_document(row, payments.find_any(tx, row["payment"])) for row in moves]
    return _list(inquiry, reference, found, rows[0]["token"] if rows else None)


def read_account(_tx: Tx, inquiry: Inquiry) -> Task:
    """Whose key this is: shows that the provider answers, without moving money."""
    return Task(lambda _: (200, {"object": "account", "name": inquiry.origin.account}))


def _movement_order(fields: Fields) -> MovementOrder:
    amount, reference = fields.amount(), fields.text("reference")
    return MovementOrder(reference, amount, fields.currency_or_none())


def _read_movement(tx: Tx, row: sqlite3.Row) -> Task:
    payment = payments.find_any(tx, row["payment"])
    document = movement_document(row, payment)
    return Task(lambda _: (200, document), token=payment["token"])


def _reference(inquiry: Inquiry) -> str:
    values = inquiry.query.get("reference", [])
    if len(values) != 1 or set(inquiry.query) != {"reference"}:
        raise invalid("reference", "give exactly one reference and nothing else")
    return Fields({"reference": values[0]}).text("reference")


def _payments_of(tx: Tx, account: str, reference: str) -> list[sqlite3.Row]:
    return tx.execute(
        "SELECT * FROM payment WHERE account = ? AND reference = ? ORDER BY rowid LIMIT 100",
        (account, reference),
    ).fetchall()


def _list(inquiry: Inquiry, reference: str, found: list[Document], token: str | None) -> Task:
    answer = {"data": found, "in_progress": inquiry.reference_in_progress}
    return Task(lambda _: (200, answer), reference, token)


_ID: Final = r"(?P<id>[A-Za-z0-9_]{1,64})"
_ROUTES: Final[tuple[tuple[str, re.Pattern[str], Endpoint], ...]] = tuple(
    (method, re.compile(path), endpoint)
    for method, path, endpoint in (
        ("POST", "/v1/payments", create_payment),
        ("GET", "/v1/payments", find_payments),
        ("GET", f"/v1/payments/{_ID}", read_payment),
        ("POST", f"/v1/payments/{_ID}/captures", capture_payment),
        ("POST", f"/v1/payments/{_ID}/void", void_payment),
        ("POST", "/v1/refunds", create_refund),
        ("GET", f"/v1/refunds/{_ID}", read_refund),
        ("GET", f"/v1/saved_methods/{_ID}", read_saved_method),
        ("POST", f"/v1/saved_methods/{_ID}/detach", detach_saved_method),
        ("GET", "/v1/operations", find_operations),
        ("GET", f"/v1/operations/{_ID}", read_operation),
        ("GET", "/v1/account", read_account),
    )
)


def route(method: str, path: str) -> tuple[Endpoint, str]:
    """The endpoint of a request and the id in its path. Raises: Refused 404, 405."""
    known = False
    for allowed, pattern, endpoint in _ROUTES:
        match = pattern.fullmatch(path)
        if match and allowed == method:
            return endpoint, match.groupdict().get("id", "")
        known = known or match is not None
    if known:
        raise Refused(405, "method_not_allowed", "this address takes other methods")
    raise not_found("address")
