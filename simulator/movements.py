"""What happens to a payment afterwards: captures, voids, refunds, and what the dashboard does.

The money rules live here and, once more, as CHECKs in the books.
"""

import sqlite3
from dataclasses import dataclass

from simulator.books import Tx
from simulator.documents import Document, movement_document
from simulator.events import emit
from simulator.payments import Origin, document_of, fee_of, find_any, record_effect
from simulator.problems import Refused, not_found
from simulator.times import new_id, now_ms


@dataclass(frozen=True, slots=True)
class MovementOrder:
    """A validated request to capture or refund. `amount` None means all that is left.

    `deviation` is added to what was asked for: the provider's own mistake, on demand.
    """

    reference: str | None
    amount: int | None
    currency: str | None = None
    final: bool = True
    deviation: int = 0


def capture(tx: Tx, origin: Origin, payment: sqlite3.Row, order: MovementOrder) -> Document:
    """Take (part of) what was authorized; `final` releases the rest."""
    if payment["status"] not in {"authorized", "partially_captured"}:
        raise Refused(422, "payment_not_capturable", f"the payment is {payment['status']}")
    _require_currency(payment, order)
    left = payment["authorized"] - payment["captured"] - payment["voided"]
    amount = _amount(order, left, "amount_exceeds_authorization")
    rest = left - amount
    closes = order.final or rest == 0
    tx.execute(
        """
        UPDATE payment SET captured = captured + ?, voided = voided + ?, fee = fee + ?,
          status = ?, updated_ms = ?
        WHERE id = ?
        """,
        (
            amount,
            rest if closes else 0,
            fee_of(amount),
            "captured" if closes else "partially_captured",
            now_ms(),
            payment["id"],
        ),
    )
    move = _Move("capture", order.reference, amount, "capture.succeeded", final=order.final)
    return _record(tx, origin, payment, move)


def void(
    tx: Tx, origin: Origin, payment: sqlite3.Row, reference: str | None, reason: str | None = None
) -> Document:
    """Give back what is authorized and not captured, or end a payment the shopper left.

    The latter reserved nothing, so it is no money effect.
    """
    waiting = payment["status"] == "requires_action"
    if not waiting and payment["status"] not in {"authorized", "partially_captured"}:
        raise Refused(422, "payment_not_voidable", f"the payment is {payment['status']}")
    left = payment["authorized"] - payment["captured"] - payment["voided"]
    ended = "expired" if reason == "expired" else "voided"
    tx.execute(
        "UPDATE payment SET voided = voided + ?, status = ?, updated_ms = ? WHERE id = ?",
        (left, "captured" if payment["captured"] else ended, now_ms(), payment["id"]),
    )
    amount = payment["amount"] if waiting else left
    move = _Move("void", reference, amount, f"payment.{ended}", reason, moves_money=not waiting)
    return _record(tx, origin, payment, move)


def refund(tx: Tx, origin: Origin, payment: sqlite3.Row, order: MovementOrder) -> Document:
    """Return (part of) what was captured."""
    _require_currency(payment, order)
    amount = _amount(order, payment["captured"] - payment["refunded"], "amount_exceeds_captured")
    tx.execute(
        "UPDATE payment SET refunded = refunded + ?, updated_ms = ? WHERE id = ?",
        (amount, now_ms(), payment["id"]),
    )
    move = _Move("refund", order.reference, amount, "refund.succeeded")
    return _record(tx, origin, payment, move)


def expire(tx: Tx, payment: sqlite3.Row) -> Document:
    """The provider's clock ended an authorization, or a shopper's unfinished step."""
    if payment["status"] == "requires_action":
        tx.execute(
            "UPDATE payment SET status = 'expired', updated_ms = ? WHERE id = ?",
            (now_ms(), payment["id"]),
        )
        document = document_of(tx, find_any(tx, payment["id"]))
        emit(tx, payment["account"], "payment.expired", document)
        return document
    return void(tx, Origin(payment["account"], by="dashboard"), payment, None, "expired")


def fail_refund(tx: Tx, refund_id: str) -> Document:
    """The shopper's bank sent a refund back: it had succeeded, now it has not."""
    row = find_movement(tx, refund_id)
    if row["kind"] != "refund":
        raise not_found("refund")
    if row["status"] == "failed":
        raise Refused(422, "refund_already_failed", "the refund has failed before")
    tx.execute("UPDATE movement SET status = 'failed' WHERE id = ?", (refund_id,))
    tx.execute(
        "UPDATE payment SET refunded = refunded - ?, updated_ms = ? WHERE id = ?",
        (row["amount"], now_ms(), row["payment"]),
    )
    payment = find_any(tx, row["payment"])
    document = movement_document(find_movement(tx, refund_id), payment)
    origin = Origin(row["account"], by="dashboard")
    record_effect(tx, origin, "refund_failed", payment, document)
    emit(tx, row["account"], "refund.failed", document)
    return document


def find_movement(tx: Tx, movement_id: str) -> sqlite3.Row:
    """A capture, void or refund of whatever merchant. Raises: Refused 404."""
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM movement WHERE id = ?", (movement_id,)
    ).fetchone()
    if row is None:
        raise not_found("operation")
    return row


def _require_currency(payment: sqlite3.Row, order: MovementOrder) -> None:
    if order.currency is not None and order.currency != payment["currency"]:
        raise Refused(422, "currency_mismatch", f"the payment is in {payment['currency']}")


def _amount(order: MovementOrder, left: int, code: str) -> int:
    """How much will move. Raises: Refused 422 when more is asked for than is left."""
    asked = left if order.amount is None else order.amount
    if not 0 < asked <= left:
        raise Refused(422, code, f"{left} is left")
    mistaken = asked + order.deviation
    return mistaken if 0 < mistaken <= left else asked


@dataclass(frozen=True, slots=True)
class _Move:
    """A movement that has passed every rule. `event` is what the merchant is told."""

    kind: str
    reference: str | None
    amount: int
    event: str
    reason: str | None = None
    final: bool = True
    moves_money: bool = True


def _record(tx: Tx, origin: Origin, payment: sqlite3.Row, move: _Move) -> Document:
    """Write the movement, its effect and its event."""
    movement_id = new_id({"capture": "sc", "void": "sv", "refund": "sr"}[move.kind])
    tx.execute(
        """
        INSERT INTO movement (id, account, kind, payment, reference, amount, currency, fee,
          status, final, reason, created_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'succeeded', ?, ?, ?)
        """,
        (
            movement_id,
            payment["account"],
            move.kind,
            payment["id"],
            move.reference,
            move.amount,
            payment["currency"],
            fee_of(move.amount) if move.kind == "capture" else 0,
            move.final,
            move.reason,
            now_ms(),
        ),
    )
    document = movement_document(find_movement(tx, movement_id), payment)
    if move.moves_money:
        record_effect(tx, origin, move.kind, payment, document)
    emit(tx, payment["account"], move.event, document)
    return document
