"""Delivering webhooks: at least once, signed, with retries, from a queue that survives a crash.

The queue is the table `delivery`. What is being sent right now is remembered only in memory, so a
copy whose answer was lost with the process is simply sent again.
"""

import asyncio
import contextlib
import hashlib
import hmac
import sqlite3
import time
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from core.certificates import usual_authorities
from simulator import accounts, payments
from simulator.accounts import Account
from simulator.books import Books, Tx
from simulator.times import now_ms

CONCURRENCY_PER_ACCOUNT: Final = 50
ATTEMPTS_MAX: Final = 200
_BACKOFF_MS_FIRST: Final = 250
_BACKOFF_MS_MAX: Final = 30_000
_IDLE_SECONDS_MAX: Final = 1.0
_STATUSES_KEPT: Final = 20


def sign(secret: str, body: bytes, at_seconds: int) -> str:
    """The value of `Simulator-Signature`: HMAC-SHA256 over "{t}.{body}"."""
    digest = hmac.new(secret.encode(), f"{at_seconds}.".encode() + body, hashlib.sha256)
    return f"t={at_seconds},v1={digest.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One copy of one event on its way to one merchant."""

    id: int
    event: str
    body: bytes
    url: str
    secret: str


class Courier:
    """The loop that settles what is due and delivers what is queued. Start `run` as a task."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._wake = asyncio.Event()
        self._sending: dict[str, set[int]] = {}
        self._next_due_ms: int | None = None

    def nudge(self) -> None:
        """Something may have been queued: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Cancelling loses nothing: what was not confirmed is sent again."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with (
            httpx.AsyncClient(
                timeout=10, trust_env=False, limits=limits, verify=usual_authorities()
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                self._wake.clear()
                for account, parcel in await self._look():
                    group.create_task(self._send(client, account, parcel))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_seconds()):
                        await self._wake.wait()

    async def _look(self) -> list[tuple[str, Parcel]]:
        """What to send now; nothing while the books cannot be written."""
        try:
            return await self._books.run(self._round)
        except sqlite3.Error:
            self._next_due_ms = None
            return []

    def _idle_seconds(self) -> float:
        if self._next_due_ms is None:
            return _IDLE_SECONDS_MAX
        return min(max((self._next_due_ms - now_ms()) / 1000, 0.001), _IDLE_SECONDS_MAX)

    def _round(self, tx: Tx) -> list[tuple[str, Parcel]]:
        """Settle due payments and take what may be sent now. Runs on the writer thread."""
        times = [payments.settle_due(tx)]
        taken: list[tuple[str, Parcel]] = []
        for account in accounts.list_all(tx):
            sending = self._sending.setdefault(account.name, set())
            parcels = _take_due(tx, account, sending)
            sending.update(parcel.id for parcel in parcels)
            taken += [(account.name, parcel) for parcel in parcels]
            if len(sending) < CONCURRENCY_PER_ACCOUNT:  # else the end of a sending wakes the loop
                times.append(_next_due_ms(tx, account, sending))
        self._next_due_ms = min((moment for moment in times if moment is not None), default=None)
        return taken

    async def _send(self, client: httpx.AsyncClient, account: str, parcel: Parcel) -> None:
        headers = {
            "Content-Type": "application/json",
            "Simulator-Signature": sign(parcel.secret, parcel.body, int(time.time())),
            "Simulator-Event": parcel.event,
        }
        try:
            answer = await client.post(parcel.url, content=parcel.body, headers=headers)
            status = answer.status_code
        except Exception:  # noqa: BLE001 - the edge of the loop: one copy's trouble is not the others'
            # Merchants that are killed answer in ways that HTTP libraries have no name for.
            status = 0
        with contextlib.suppress(sqlite3.Error):  # not noted means sent again
            await self._books.run(lambda tx: _record(tx, parcel.id, status))
        self._sending[account].discard(parcel.id)
        self.nudge()


def _take_due(tx: Tx, account: Account, sending: set[int]) -> list[Parcel]:
    """The next copies due, as many as there is room for."""
    if account.webhook_url is None or account.webhook_secret is None:
        return []
    rows = tx.execute(
        """
        SELECT delivery.id, delivery.event, event.body
        FROM delivery JOIN event ON event.id = delivery.event
        WHERE delivery.account = ? AND delivery.state = 'pending' AND delivery.due_ms <= ?
        ORDER BY delivery.due_ms, delivery.id
        LIMIT ?
        """,
        (account.name, now_ms(), CONCURRENCY_PER_ACCOUNT),
    ).fetchall()
    room = CONCURRENCY_PER_ACCOUNT - len(sending)
    fresh = [row for row in rows if row["id"] not in sending][:room]
    return [
        Parcel(
            row["id"], row["event"], bytes(row["body"]), account.webhook_url, account.webhook_secret
        )
        for row in fresh
    ]


def _next_due_ms(tx: Tx, account: Account, sending: set[int]) -> int | None:
    rows = tx.execute(
        """
        SELECT id, due_ms FROM delivery
        WHERE account = ? AND state = 'pending' ORDER BY due_ms, id LIMIT ?
        """,
        (account.name, CONCURRENCY_PER_ACCOUNT + 1),
    ).fetchall()
    return next((row["due_ms"] for row in rows if row["id"] not in sending), None)


def _record(tx: Tx, delivery_id: int, status: int) -> None:
    """Note one attempt; anything but 2xx is tried again, later and later."""
    row: sqlite3.Row = tx.execute(
        "SELECT attempts, statuses FROM delivery WHERE id = ?", (delivery_id,)
    ).fetchone()
    attempts = row["attempts"] + 1
    statuses = [*orjson.loads(row["statuses"]), status][-_STATUSES_KEPT:]
    delivered = 200 <= status < 300
    state = "delivered" if delivered else "pending"
    if not delivered and attempts >= ATTEMPTS_MAX:
        state = "abandoned"
    pause_ms = min(_BACKOFF_MS_FIRST * 2 ** min(attempts - 1, 10), _BACKOFF_MS_MAX)
    tx.execute(
        """
        UPDATE delivery SET attempts = ?, statuses = ?, state = ?, due_ms = ?, delivered_ms = ?
        WHERE id = ? AND state <> 'delivered'
        """,
        (
            attempts,
            orjson.dumps(statuses).decode(),
            state,
            now_ms() + pause_ms,
            now_ms() if delivered else None,
            delivery_id,
        ),
    )
