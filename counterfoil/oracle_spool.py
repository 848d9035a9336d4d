"""The two sides of the oracle, read page by page into a database on disk.

One page of the simulator's log or of our tables is in memory at a time, whatever their size.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import httpx
from asyncpg import Record

from core.certificates import usual_authorities
from core.database import Database
from core.identifiers import encode
from counterfoil.bootstrap import SimulatorUnreachable

_SPOOL: Final = """
CREATE TABLE effect (account TEXT, kind TEXT, reference TEXT, amount INT, currency TEXT, fee INT,
  payment TEXT, object TEXT);
CREATE TABLE sent (reference TEXT, key TEXT, PRIMARY KEY (reference, key)) WITHOUT ROWID;
CREATE TABLE operation (id TEXT PRIMARY KEY, account TEXT, provider TEXT, kind TEXT, origin TEXT,
  status TEXT, ref TEXT, key TEXT, payment TEXT, opening_ref TEXT, doubted INT) WITHOUT ROWID;
CREATE INDEX operation_by_ref ON operation (account, ref);
CREATE TABLE entry (operation TEXT, provider TEXT, recipe TEXT, layer INT, direction TEXT,
  amount INT, currency TEXT);
"""


def open_spool() -> sqlite3.Connection:
    """A database of this comparison's own: on disk once it is large, gone when it is closed."""
    spool = sqlite3.connect("")
    spool.row_factory = sqlite3.Row
    spool.executescript(_SPOOL)
    return spool


def count_rows(spool: sqlite3.Connection, table: str) -> int:
    return int(spool.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def spool_log(spool: sqlite3.Connection, url: str, account: str, page_size: int) -> None:
    """Every effect of an account, and under which keys it was asked for them."""
    async with httpx.AsyncClient(
        base_url=url, trust_env=False, timeout=30, verify=usual_authorities()
    ) as client:
        async for page in _pages(client, account, "effects", page_size):
            spool.executemany(
                "INSERT INTO effect VALUES (:account, :kind, :reference, :amount, :currency, :fee,"
                " :payment, :object)",
                page,
            )
        async for page in _pages(client, account, "requests", page_size):
            spool.executemany(
                "INSERT OR IGNORE INTO sent VALUES (?, ?)",
                [
                    (line["reference"], line["idempotency_key"])
                    for line in page
                    if line["idempotency_key"] and line["reference"]
                ],
            )


async def _pages(
    client: httpx.AsyncClient, account: str, kind: str, page_size: int
) -> AsyncIterator[list[dict[str, Any]]]:
    after: int | None = 0
    while after is not None:
        try:
            answer = await client.get(
                "/_log",
                params={"account": account, "kind": kind, "after": after, "limit": page_size},
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise SimulatorUnreachable(url=str(client.base_url), reason=str(error)) from error
        page = answer.json()
        yield page["data"]
        after = page["next_after"]


@dataclass(frozen=True, slots=True)
class Books:
    """Our side: a tenant and its provider accounts at the simulator (id and short name)."""

    database: Database
    tenant_id: int
    accounts: Mapping[UUID, str]
    page_size: int


@dataclass(frozen=True, slots=True)
class _Query:
    """A query to page through: by which columns, from where. The last parameter is the limit."""

    sql: str
    key: tuple[str, ...]
    start: tuple[UUID | int, ...]


_OPERATIONS: Final = _Query(
    """
SELECT o.id, o.provider_account_id, o.kind, o.origin, o.status, o.provider_ref, o.idempotency_key,
       o.payment_id, f.provider_ref AS opening_ref,
       EXISTS (SELECT FROM discrepancy AS d
                WHERE d.tenant_id = o.tenant_id AND d.operation_id = o.id) AS doubted
  FROM provider_operation AS o
  LEFT JOIN provider_operation AS f
    ON f.tenant_id = o.tenant_id AND f.payment_id = o.payment_id
   AND f.attempt_id = o.attempt_id AND f.kind IN ('SALE', 'AUTHORIZE')
 WHERE o.tenant_id = $1 AND o.id > $2
 ORDER BY o.id
 LIMIT $3
""",
    key=("id",),
    start=(UUID(int=0),),
)


async def spool_operations(spool: sqlite3.Connection, books: Books) -> None:
    """Every operation at one of the accounts, with the opening of its attempt."""
    accounts = books.accounts

    def spooled(rows: Sequence[Record]) -> None:
        spool.executemany(
            "INSERT INTO operation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    encode("op", row["id"]),
                    encode("prv", row["provider_account_id"]),
                    accounts[row["provider_account_id"]],
                    row["kind"],
                    row["origin"],
                    row["status"],
                    row["provider_ref"],
                    row["idempotency_key"],
                    encode("pay", row["payment_id"]),
                    row["opening_ref"],
                    row["doubted"],
                )
                for row in rows
                if row["provider_account_id"] in accounts
            ],
        )

    await _read_all(books, _OPERATIONS, spooled)


_ENTRIES: Final = _Query(
    """
SELECT e.account_id, e.seq, split_part(a.path, ':', 2) AS provider, t.operation_id, t.recipe,
       e.layer, e.direction, e.amount, e.currency
  FROM entry AS e
  JOIN account AS a ON a.tenant_id = e.tenant_id AND a.id = e.account_id
  JOIN ledger_transaction AS t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id
 WHERE e.tenant_id = $1 AND (e.account_id, e.seq) > ($2, $3)
   AND e.account_id IN (SELECT c.id FROM account AS c
                         WHERE c.tenant_id = $1 AND c.path LIKE 'psp:%:clearing')
 ORDER BY e.account_id, e.seq
 LIMIT $4
""",
    key=("account_id", "seq"),
    start=(0, 0),
)


async def spool_entries(spool: sqlite3.Connection, books: Books) -> None:
    """Every entry on the clearing accounts of those provider accounts."""
    ours = frozenset(books.accounts.values())

    def spooled(rows: Sequence[Record]) -> None:
        spool.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    encode("op", row["operation_id"]) if row["operation_id"] else None,
                    *(row[name] for name in _ENTRY_COLUMNS),
                )
                for row in rows
                if row["provider"] in ours
            ],
        )

    await _read_all(books, _ENTRIES, spooled)


_ENTRY_COLUMNS: Final = ("provider", "recipe", "layer", "direction", "amount", "currency")


async def _read_all(books: Books, query: _Query, take: Callable[[Sequence[Record]], None]) -> None:
    """Page through a query, each page in a unit of work of its own."""
    after: tuple[Any, ...] = query.start
    while True:
        async with books.database.unit_of_work(books.tenant_id) as tx:
            rows = await tx.fetch(query.sql, books.tenant_id, *after, books.page_size)
        take(rows)
        if len(rows) < books.page_size:
            return
        after = tuple(rows[-1][name] for name in query.key)
