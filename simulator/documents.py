"""Rows as the JSON objects that answers and webhooks carry."""

import sqlite3
from collections.abc import Mapping

import orjson

from simulator.times import rfc3339

Document = Mapping[str, object]


def payment_document(row: sqlite3.Row) -> Document:
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
        "created": rfc3339(row["created_ms"]),
        "updated": rfc3339(row["updated_ms"]),
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
