"""Methods that a merchant's customer keeps.

    asked for with a payment ──▶ kept, once it is charged or authorized ──▶ detached

A kept method is paid with like a token, by its customer only; it behaves as the one it was made of.
"""

import sqlite3
from typing import Final

from simulator.books import Tx
from simulator.problems import Refused
from simulator.times import new_id, now_ms

PREFIX: Final = "saved_"


def ask(tx: Tx, account: str, customer: str, payment_id: str, token: str) -> None:
    """Remember that the customer wants to keep the method of this payment."""
    tx.execute(
        "INSERT INTO saved_method (id, account, customer, payment, token) VALUES (?, ?, ?, ?, ?)",
        (new_id("saved"), account, customer, payment_id, token),
    )


def keep(tx: Tx, payment_id: str) -> None:
    """The payment was charged: keep its method, if that was asked for."""
    tx.execute(
        "UPDATE saved_method SET kept_ms = ? WHERE payment = ? AND kept_ms IS NULL",
        (now_ms(), payment_id),
    )


def kept_by(tx: Tx, payment_id: str) -> sqlite3.Row | None:
    """What is kept since this payment was charged."""
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM saved_method WHERE payment = ? AND kept_ms IS NOT NULL", (payment_id,)
    ).fetchone()
    return row


def find(tx: Tx, account: str, id: str) -> sqlite3.Row:
    """A kept method of the merchant. Raises: Refused 404."""
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM saved_method WHERE id = ? AND account = ? AND kept_ms IS NOT NULL",
        (id, account),
    ).fetchone()
    if row is None:
        raise Refused(404, "saved_method_not_found", "no such saved method")
    return row


def token_behind(tx: Tx, account: str, token: str) -> str:
    """The token whose behaviour decides. Raises: Refused 404 saved_method_not_found."""
    if not token.startswith(PREFIX):
        return token
    behind: str = find(tx, account, token)["token"]
    return behind


def check_usable(tx: Tx, account: str, token: str, customer: str | None) -> None:
    """Raises: Refused 422 saved_method_unusable: forgotten, or another customer's."""
    if not token.startswith(PREFIX):
        return
    row = find(tx, account, token)
    if row["customer"] != customer or row["detached_ms"] is not None:
        message = "the customer has no such method (any more)"
        raise Refused(422, "saved_method_unusable", message)


def detach(tx: Tx, id: str) -> None:
    """Forget it. A second time changes nothing."""
    tx.execute(
        "UPDATE saved_method SET detached_ms = ? WHERE id = ? AND detached_ms IS NULL",
        (now_ms(), id),
    )
