"""What merchants are told: an event is written in the unit of work that made it true."""

import random
from collections.abc import Mapping
from typing import Final

import orjson

from simulator import accounts
from simulator.books import Tx
from simulator.settings import WebhookPolicy, read_webhook_policy
from simulator.times import new_id, now_ms, rfc3339

_REORDER_SPREAD_MS: Final = 300


def emit(tx: Tx, account: str, type: str, subject: Mapping[str, object]) -> None:
    """Record one event about `subject` and queue its copies."""
    at, event_id = now_ms(), new_id("evt")
    sequence = tx.execute("SELECT coalesce(max(sequence), 0) + 1 FROM event").fetchone()[0]
    body = orjson.dumps(
        {
            "id": event_id,
            "type": type,
            "created": rfc3339(at),
            "account": account,
            "sequence": sequence,
            "data": subject,
        }
    )
    payment = subject["id"] if subject["object"] == "payment" else subject["payment"]
    tx.execute(
        """
        INSERT INTO event (sequence, id, account, type, reference, payment, body, created_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (sequence, event_id, account, type, subject["reference"], payment, body, at),
    )
    queue_copies(tx, event_id)


def queue_copies(tx: Tx, event_id: str, count: int | None = None) -> int:
    """Queue more deliveries of an event (the policy's number of duplicates unless told).

    Returns how many: none for a merchant without an address.
    """
    event = tx.execute("SELECT sequence, account FROM event WHERE id = ?", (event_id,)).fetchone()
    recipient = accounts.find(tx, event["account"])
    if recipient is None or recipient.webhook_url is None or not recipient.webhook_secret:
        return 0
    policy = read_webhook_policy(tx)
    made = tx.execute("SELECT count(*) FROM delivery WHERE event = ?", (event_id,)).fetchone()[0]
    copies = range(made + 1, made + 1 + (policy.duplicate if count is None else count))
    state = "held" if policy.pause else "pending"
    at = now_ms()
    tx.executemany(
        "INSERT INTO delivery (event, account, copy, state, due_ms) VALUES (?, ?, ?, ?, ?)",
        [
            (event_id, recipient.name, copy, state, at + _delay_ms(policy, event["sequence"], copy))
            for copy in copies
        ],
    )
    return len(copies)


def _delay_ms(policy: WebhookPolicy, sequence: int, copy: int) -> int:
    """The delay of one copy: the same for the same seed, event number and copy."""
    longest = policy.delay_ms_max
    if policy.reorder:
        longest = max(longest, policy.delay_ms_min + _REORDER_SPREAD_MS)
    draw = random.Random(f"{policy.seed}:{sequence}:{copy}")  # noqa: S311 - a test's dice
    return draw.randint(policy.delay_ms_min, longest)
