"""Recompute the books from their entries and list everything that differs.

One snapshot of one tenant is read in three passes: accounts (gaps, running totals, balances),
transactions (completeness, zero sum, content hash), holds. Findings come in order, so the first
one of a kind names the first wrong row.
"""

import enum
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from core.database import Database, Tx
from core.identifiers import encode
from ledger.content_hash import Row, content_hash

_PREFETCH: Final = 1000
_SNAPSHOT: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
)
_BALANCES: Final = """
SELECT account_id, currency, seq, last_recorded_at,
       debits_posted, credits_posted, debits_pending, credits_pending
  FROM account_balance WHERE tenant_id = $1
"""
_ENTRIES: Final = """
SELECT account_id, seq, transaction_id, leg_no, layer, direction, amount, currency,
       debits_posted_after, credits_posted_after, debits_pending_after, credits_pending_after,
       effective_at, recorded_at
  FROM entry WHERE tenant_id = $1
"""
_TRANSACTIONS: Final = """
SELECT tenant_id, id, public_id, key, recipe, leg_count,
       hold_id, hold_opened, hold_captured, hold_released, reverses_id,
       payment_id, refund_id, operation_id, provider_account_id, provider_ref, correlation_id,
       effective_at, recorded_at, description, metadata::TEXT AS metadata, external_fact,
       created_by, content_hash
  FROM ledger_transaction WHERE tenant_id = $1 ORDER BY id
"""
_HOLDS: Final = """
SELECT id, transaction_id, currency, amount, captured, released FROM hold WHERE tenant_id = $1
"""
_COUNTERS: Final = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")
_EFFECTS: Final[Mapping[tuple[str, int], tuple[int, int]]] = {
    ("D", 0): (0, 1),
    ("C", 0): (1, 1),
    ("D", 1): (2, 1),
    ("C", 1): (3, 1),
    ("D", 2): (3, -1),
    ("C", 2): (2, -1),
}
"""Which counter an entry changes, and whether it adds or takes away."""


class Kind(enum.StrEnum):
    """What is wrong."""

    SEQUENCE_GAP = "SEQUENCE_GAP"
    TIME_GOES_BACK = "TIME_GOES_BACK"
    COUNTER_MISMATCH = "COUNTER_MISMATCH"
    BALANCE_MISMATCH = "BALANCE_MISMATCH"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    ENTRY_WITHOUT_TRANSACTION = "ENTRY_WITHOUT_TRANSACTION"
    INCOMPLETE = "INCOMPLETE"
    UNBALANCED = "UNBALANCED"
    HASH_MISMATCH = "HASH_MISMATCH"
    HOLD_MISMATCH = "HOLD_MISMATCH"


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that is not what the other rows say."""

    kind: Kind
    subject: str
    stored: object
    computed: object

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: stored {self.stored}, computed {self.computed}"


async def verify_ledger(database: Database, tenant_id: int) -> AsyncIterator[Finding | int]:
    """Every finding of a tenant; between them the number of rows looked at so far."""
    async with database.unit_of_work(tenant_id) as tx:
        await tx.execute(_SNAPSHOT)
        looked = 0
        for check in (_accounts, _transactions):
            async for found in check(tx, tenant_id):
                if isinstance(found, int):
                    looked += found
                    yield looked
                else:
                    yield found
        for finding in await _holds(tx, tenant_id):
            yield finding


@dataclass(slots=True)
class _Account:
    """What the entries of one account read so far add up to."""

    id: int
    seq: int = 0
    counters: tuple[int, ...] = (0, 0, 0, 0)
    recorded_at: datetime | None = None

    def read(self, entry: Row, currency: str | None) -> Iterator[Finding]:
        """Take one more entry into account; a wrong one is named once and then believed."""
        subject = f"account {self.id} seq {entry['seq']}"
        if entry["seq"] != self.seq + 1:
            yield Finding(Kind.SEQUENCE_GAP, subject, entry["seq"], self.seq + 1)
        if self.recorded_at is not None and entry["recorded_at"] < self.recorded_at:
            yield Finding(Kind.TIME_GOES_BACK, subject, entry["recorded_at"], self.recorded_at)
        if entry["currency"] != currency:
            yield Finding(Kind.UNKNOWN_ACCOUNT, subject, entry["currency"], currency)
        computed = list(self.counters)
        index, sign = _EFFECTS[entry["direction"], entry["layer"]]
        computed[index] += sign * entry["amount"]
        stored = tuple(entry[f"{name}_after"] for name in _COUNTERS)
        if stored != tuple(computed):
            yield Finding(Kind.COUNTER_MISMATCH, subject, stored, tuple(computed))
        self.seq, self.counters, self.recorded_at = entry["seq"], stored, entry["recorded_at"]

    def close(self, balance: Row | None) -> Iterator[Finding]:
        """Compare with the account's balance row."""
        if balance is None:
            return
        stored = (balance["seq"], *(balance[name] for name in _COUNTERS))
        computed = (self.seq, *self.counters)
        if stored != computed:
            yield Finding(Kind.BALANCE_MISMATCH, f"account {self.id}", stored, computed)


async def _accounts(tx: Tx, tenant_id: int) -> AsyncIterator[Finding | int]:
    balances = {row["account_id"]: row for row in await tx.fetch(_BALANCES, tenant_id)}
    empty = set(balances)
    account: _Account | None = None
    read = 0
    async for entry in tx.cursor(
        f"{_ENTRIES} ORDER BY account_id, seq", tenant_id, prefetch=_PREFETCH
    ):
        if account is None or account.id != entry["account_id"]:
            for finding in account.close(balances.get(account.id)) if account else ():
                yield finding
            account = _Account(entry["account_id"])
            empty.discard(account.id)
        balance = balances.get(account.id)
        for finding in account.read(entry, balance["currency"] if balance else None):
            yield finding
        read += 1
        if read % _PREFETCH == 0:
            yield _PREFETCH
    yield read % _PREFETCH
    for finding in account.close(balances.get(account.id)) if account else ():
        yield finding
    for id in sorted(empty):
        for finding in _Account(id).close(balances[id]):
            yield finding


async def _transactions(tx: Tx, tenant_id: int) -> AsyncIterator[Finding | int]:
    groups = _legs_by_transaction(tx, tenant_id)
    group = await anext(groups, None)
    read = 0
    async for header in tx.cursor(_TRANSACTIONS, tenant_id, prefetch=_PREFETCH):
        while group is not None and group[0] < header["id"]:
            yield _without_transaction(group)
            group = await anext(groups, None)
        legs: Sequence[Row] = ()
        if group is not None and group[0] == header["id"]:
            legs = group[1]
            group = await anext(groups, None)
        for finding in _check(header, legs):
            yield finding
        read += 1
        if read % _PREFETCH == 0:
            yield _PREFETCH
    yield read % _PREFETCH
    while group is not None:
        yield _without_transaction(group)
        group = await anext(groups, None)


async def _legs_by_transaction(tx: Tx, tenant_id: int) -> AsyncIterator[tuple[int, list[Row]]]:
    legs: list[Row] = []
    async for entry in tx.cursor(
        f"{_ENTRIES} ORDER BY transaction_id, leg_no", tenant_id, prefetch=_PREFETCH
    ):
        if legs and legs[0]["transaction_id"] != entry["transaction_id"]:
            yield legs[0]["transaction_id"], legs
            legs = []
        legs.append(entry)
    if legs:
        yield legs[0]["transaction_id"], legs


def _without_transaction(group: tuple[int, Sequence[Row]]) -> Finding:
    first = group[1][0]
    subject = f"account {first['account_id']} seq {first['seq']}"
    return Finding(Kind.ENTRY_WITHOUT_TRANSACTION, subject, group[0], None)


def _check(header: Row, legs: Sequence[Row]) -> Iterator[Finding]:
    subject = f"transaction {encode('txn', UUID(str(header['public_id'])))}"
    if len(legs) != header["leg_count"]:
        yield Finding(Kind.INCOMPLETE, subject, len(legs), header["leg_count"])
    totals: dict[tuple[str, int], int] = defaultdict(int)
    for leg in legs:
        sign = 1 if leg["direction"] == "D" else -1
        totals[leg["currency"], leg["layer"]] += sign * leg["amount"]
    for (currency, layer), difference in sorted(totals.items()):
        if difference:
            yield Finding(Kind.UNBALANCED, f"{subject} {currency} layer {layer}", difference, 0)
    times = {(leg["effective_at"], leg["recorded_at"]) for leg in legs}
    computed = content_hash(header, legs)
    if computed != header["content_hash"]:
        yield Finding(Kind.HASH_MISMATCH, subject, header["content_hash"].hex(), computed.hex())
    elif times != {(header["effective_at"], header["recorded_at"])}:
        yield Finding(Kind.HASH_MISMATCH, f"{subject} times of its entries", times, None)


async def _holds(tx: Tx, tenant_id: int) -> list[Finding]:
    """Holds against the transactions that opened and settled them, and the pending totals."""
    holds = {row["id"]: row for row in await tx.fetch(_HOLDS, tenant_id)}
    computed: dict[UUID, list[int]] = defaultdict(lambda: [0, 0, 0])
    async for row in tx.cursor(
        "SELECT hold_id, hold_opened, hold_captured, hold_released FROM ledger_transaction"
        " WHERE tenant_id = $1 AND hold_id IS NOT NULL",
        tenant_id,
        prefetch=_PREFETCH,
    ):
        for index, name in enumerate(("hold_opened", "hold_captured", "hold_released")):
            computed[row["hold_id"]][index] += row[name] or 0
    findings = []
    for id in sorted(set(holds) | set(computed)):
        stored = (
            [holds[id][name] for name in ("amount", "captured", "released")]
            if id in holds
            else None
        )
        if stored != computed.get(id):
            subject = f"hold {encode('hld', UUID(str(id)))}"
            findings.append(Finding(Kind.HOLD_MISMATCH, subject, stored, computed.get(id)))
    return findings + await _pending_totals(tx, tenant_id)


async def _pending_totals(tx: Tx, tenant_id: int) -> list[Finding]:
    """What is left of all holds is what is pending on all accounts, on either side."""
    rows = await tx.fetch(
        """
        SELECT currency, sum(debits_pending) AS debits, sum(credits_pending) AS credits,
               coalesce((SELECT sum(h.amount - h.captured - h.released) FROM hold AS h
                          WHERE h.tenant_id = $1 AND h.currency = b.currency), 0) AS held
          FROM account_balance AS b WHERE tenant_id = $1 GROUP BY currency ORDER BY currency
        """,
        tenant_id,
    )
    return [
        Finding(
            Kind.HOLD_MISMATCH,
            f"pending totals in {row['currency']}",
            f"debits {row['debits']}, credits {row['credits']}",
            row["held"],
        )
        for row in rows
        if not row["debits"] == row["credits"] == row["held"]
    ]
