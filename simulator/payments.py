"""Payments: taking, authorizing, declining, waiting for the shopper or for the bank.

    create ─┬─▶ captured │ authorized          at once
            ├─▶ declined
            ├─▶ requires_action ──▶ captured │ authorized │ declined      by the shopper
            └─▶ pending ──────────▶ captured │ authorized                 when it is due

All of it runs inside one unit of work: row, effect and event become true together.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from simulator import saved_methods
from simulator.books import Tx
from simulator.documents import Document, payment_document
from simulator.events import emit
from simulator.problems import not_found
from simulator.settings import read_pace
from simulator.times import new_id, now_ms
from simulator.tokens import AUTHENTICATION_FAILED, DECLINES, Behaviour, Decline

_FEE_PER_MILLE: Final = 29
_FEE_FIXED: Final = 30
_DUE_BATCH_MAX: Final = 100


def fee_of(amount: int) -> int:
    """2.9 %, half a minor unit rounds up, plus 30 minor units."""
    return (amount * _FEE_PER_MILLE + 500) // 1000 + _FEE_FIXED


@dataclass(frozen=True, slots=True)
class Origin:
    """Who caused an effect, and under which key."""

    account: str
    idempotency_key: str | None = None
    by: str = "api"


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """A validated request to pay. `amount` is what will be charged, also when that is wrong."""

    reference: str
    token: str
    amount: int
    amount_requested: int
    currency: str
    capture: bool
    return_url: str | None
    metadata: Mapping[str, str]
    customer: str | None = None
    save: bool = False


def create(
    tx: Tx, origin: Origin, order: PaymentOrder, behaviour: Behaviour, public_url: str
) -> Document:
    """Open the payment and do what its token says."""
    payment_id = _insert(tx, origin, order, public_url)
    if order.save and order.customer is not None:
        saved_methods.ask(tx, origin.account, order.customer, payment_id, order.token)
    match behaviour:
        case Behaviour.REQUIRE_ACTION:
            _await(tx, payment_id, "requires_action", due_ms=None)
        case Behaviour.PEND:
            _await(tx, payment_id, "pending", due_ms=now_ms() + read_pace(tx).pending_delay_ms)
        case _ if behaviour in DECLINES:
            _decline(tx, payment_id, DECLINES[behaviour])
        case _:
            _succeed(tx, payment_id, origin)
    return document_of(tx, find(tx, origin.account, payment_id))


def document_of(tx: Tx, payment: sqlite3.Row) -> Document:
    """The payment, with the method that is kept since it was charged."""
    return payment_document(payment, saved_methods.kept_by(tx, payment["id"]))


def find(tx: Tx, account: str, payment_id: str) -> sqlite3.Row:
    """The merchant's payment. Raises: Refused 404."""
    row = find_any(tx, payment_id)
    if row["account"] != account:
        raise not_found("payment")
    return row


def find_any(tx: Tx, payment_id: str) -> sqlite3.Row:
    """A payment of whatever merchant. Raises: Refused 404."""
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM payment WHERE id = ?", (payment_id,)
    ).fetchone()
    if row is None:
        raise not_found("payment")
    return row


def answer_action(tx: Tx, payment_id: str, *, approved: bool) -> sqlite3.Row:
    """The shopper decided. A second answer changes nothing."""
    row = find_any(tx, payment_id)
    if row["status"] == "requires_action":
        if approved:
            _succeed(tx, payment_id, Origin(row["account"], row["idempotency_key"], "shopper"))
        else:
            _decline(tx, payment_id, AUTHENTICATION_FAILED)
    return find_any(tx, payment_id)


def settle_due(tx: Tx) -> int | None:
    """Complete pending payments whose time has come; returns when the next one is due."""
    due = tx.execute(
        "SELECT * FROM payment WHERE due_ms <= ? ORDER BY due_ms LIMIT ?",
        (now_ms(), _DUE_BATCH_MAX),
    ).fetchall()
    for row in due:
        _succeed(tx, row["id"], Origin(row["account"], row["idempotency_key"], "delayed"))
    soonest: int | None = tx.execute("SELECT min(due_ms) FROM payment").fetchone()[0]
    return soonest


def record_effect(
    tx: Tx, origin: Origin, kind: str, payment: sqlite3.Row, movement: Mapping[str, object]
) -> None:
    """Append one money effect to the log."""
    tx.execute(
        """
        INSERT INTO effect (id, account, kind, origin, reference, idempotency_key, amount,
          currency, fee, payment, object, at_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            new_id("eff"),
            payment["account"],
            kind,
            origin.by,
            movement["reference"],
            origin.idempotency_key,
            movement["amount"],
            payment["currency"],
            movement["fee"],
            payment["id"],
            movement["id"],
            now_ms(),
        ),
    )


def _insert(tx: Tx, origin: Origin, order: PaymentOrder, public_url: str) -> str:
    payment_id, at = new_id("sp"), now_ms()
    tx.execute(
        """
        INSERT INTO payment (id, account, reference, idempotency_key, token, capture, currency,
          amount, amount_requested, status, return_url, action_url, metadata, created_ms,
          updated_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'created', ?, ?, ?, ?, ?)
        """,
        (
            payment_id,
            origin.account,
            order.reference,
            origin.idempotency_key,
            order.token,
            order.capture,
            order.currency,
            order.amount,
            order.amount_requested,
            order.return_url,
            f"{public_url}/3ds/{payment_id}",
            orjson.dumps(order.metadata).decode(),
            at,
            at,
        ),
    )
    return payment_id


def _succeed(tx: Tx, payment_id: str, origin: Origin) -> None:
    """The bank said yes: charge or authorize the whole amount."""
    row = find_any(tx, payment_id)
    captured, fee = (row["amount"], fee_of(row["amount"])) if row["capture"] else (0, 0)
    status, kind = ("captured", "charge") if row["capture"] else ("authorized", "authorization")
    tx.execute(
        """
        UPDATE payment SET status = ?, authorized = amount, captured = ?, fee = ?, due_ms = NULL,
          updated_ms = ?
        WHERE id = ?
        """,
        (status, captured, fee, now_ms(), payment_id),
    )
    saved_methods.keep(tx, payment_id)
    document = document_of(tx, find_any(tx, payment_id))
    record_effect(tx, origin, kind, row, document)
    emit(tx, row["account"], f"payment.{status}", document)


def _decline(tx: Tx, payment_id: str, decline: Decline) -> None:
    _set_status(tx, payment_id, "declined", decline=orjson.dumps(asdict(decline)).decode())


def _await(tx: Tx, payment_id: str, status: str, due_ms: int | None) -> None:
    _set_status(tx, payment_id, status, due_ms=due_ms)


def _set_status(
    tx: Tx, payment_id: str, status: str, *, decline: str | None = None, due_ms: int | None = None
) -> None:
    """A change that moves no money, and its event."""
    tx.execute(
        "UPDATE payment SET status = ?, decline = ?, due_ms = ?, updated_ms = ? WHERE id = ?",
        (status, decline, due_ms, now_ms(), payment_id),
    )
    row = find_any(tx, payment_id)
    emit(tx, row["account"], f"payment.{status}", document_of(tx, row))
