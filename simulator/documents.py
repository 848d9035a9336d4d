"""Rows as the JSON objects that answers and webhooks carry."""

import sqlite3
from collections.abc import Mapping

import orjson

from simulator.times import rfc3339

Document = Mapping[str, object]


def payment_document(row: sqlite3.Row, saved: sqlite3.Row | None) -> Document:
    """A payment. `amount` is what was really charged or authorized."""
    waiting = row["status"] == "requires_action"
    return {
        "object": "payment",
        "id": row["id"],
        "reference": row["reference"],
        "status": row["status"],
        "amount": row["amount"],
        "amount_requested": row["amount_requested"],
        "amount_authorized": row["authorized"],
        "amount_captured": row["captured"],
        "amount_voided": row["voided"],
        "amount_refunded": row["refunded"],
        "currency": row["currency"],
        "fee": row["fee"],
        "capture": bool(row["capture"]),
        "token": row["token"],
        "next_action": {"type": "redirect", "url": row["action_url"]} if waiting else None,
        "decline": orjson.loads(row["decline"]) if row["decline"] else None,
        "metadata": orjson.loads(row["metadata"]),
        "saved_method": saved_method_document(saved) if saved is not None else None,
        "created": rfc3339(row["created_ms"]),
        "updated": rfc3339(row["updated_ms"]),
    }


def saved_method_document(row: sqlite3.Row) -> Document:
    """A method a customer keeps: a card with digits of its own, which no issuer has."""
    number = int(row["id"][-8:], 16)
    return {
        "object": "saved_method",
        "id": row["id"],
        "customer": row["customer"],
        "brand": "visa",
        "last4": f"{number % 10_000:04}",
        "exp_month": 1 + number % 12,
        "exp_year": 2040,
        "detached": row["detached_ms"] is not None,
    }


def movement_document(row: sqlite3.Row, payment: sqlite3.Row) -> Document:
    """A capture, void or refund. `reference` is null when the merchant did not start it."""
    return {
        "object": row["kind"],
        "id": row["id"],
        "payment": row["payment"],
        "payment_reference": payment["reference"],
        "reference": row["reference"],
        "status": row["status"],
        "amount": row["amount"],
        "currency": row["currency"],
        "fee": row["fee"],
        "final": bool(row["final"]),
        "reason": row["reason"],
        "created": rfc3339(row["created_ms"]),
    }
