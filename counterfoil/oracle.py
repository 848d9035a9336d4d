"""Does the simulator's own money log say what our ledger says?

The two know nothing of each other: one is what a provider really did, the other what we believe it
did. Both are read page by page into a spool on disk, so memory stays bounded; there they are joined
by our operation id, which the provider was told as its reference.

    simulator  GET /_log   ─┐
    provider_operation      ├─▶ spool ─▶ differences
    psp:{name}:clearing    ─┘

Read-only, and per tenant as the product sees it. It compares what has settled: call it when
nothing is on its way.
"""

import enum
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from core.database import Database
from core.identifiers import encode
from counterfoil.oracle_spool import (
    Books,
    count_rows,
    open_spool,
    spool_entries,
    spool_log,
    spool_operations,
)
from gateways.simulator import SimulatorAdapter

DIFFERENCES_MAX: Final = 1_000
"""Most differences of one kind that are told; one is bad enough."""
PAGE_SIZE: Final = 1_000
"""Rows of either side in memory at once."""
_ADAPTER: Final = SimulatorAdapter.manifest.name


class DifferenceKind(enum.StrEnum):
    """What can be different."""

    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    """The provider moved money for nothing we know of."""
    NOT_POSTED = "NOT_POSTED"
    """The provider moved money and the books do not say so."""
    NOT_MOVED = "NOT_MOVED"
    """The books say money moved and the provider knows nothing of it."""
    COUNT = "COUNT"
    """It moved more or fewer times than it is posted."""
    AMOUNT = "AMOUNT"
    """Another amount is posted than moved."""
    CURRENCY = "CURRENCY"
    """Another currency is posted than moved."""
    FEE = "FEE"
    """Another provider fee is posted than was taken."""
    NO_EFFECT = "NO_EFFECT"
    """An operation counts as SUCCEEDED and the provider did nothing."""
    SEVERAL_KEYS = "SEVERAL_KEYS"
    """One operation was sent under more than one idempotency key."""
    OTHER_KEY = "OTHER_KEY"
    """An operation was sent under another idempotency key than was committed."""
    WRONG_PROVIDER = "WRONG_PROVIDER"
    """It moved or is posted at another provider account than the operation's."""
    WRONG_PAYMENT = "WRONG_PAYMENT"
    """The provider moved the money of another payment."""
    CHARGED_TWICE = "CHARGED_TWICE"
    """One payment was charged or authorized more than once, over all providers."""
    NO_OPERATION = "NO_OPERATION"
    """A clearing account was posted to without an operation."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing the two disagree about. `subject` is an operation (op_…), a payment (pay_…) or the
    provider's own object; the sides are in words, amounts in minor units.
    """

    kind: DifferenceKind
    subject: str
    what: str
    provider_says: str
    books_say: str

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.what} of {self.subject}: "
            f"the provider says {self.provider_says}, we say {self.books_say}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what was found."""

    effects: int
    operations: int
    entries: int
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        return not self.differences

    def lines(self) -> Iterable[str]:
        """The report: one line a difference, then one that sums up."""
        yield from map(str, self.differences)
        verdict = "equal" if self.agrees else f"{len(self.differences)} differences"
        yield (
            f"{self.effects} effects at the provider, {self.operations} operations, "
            f"{self.entries} entries on clearing accounts: {verdict}"
        )


async def compare(
    database: Database, tenant_id: int, simulator_url: str, *, page_size: int = PAGE_SIZE
) -> Comparison:
    """Compare every simulator account of a tenant with the books. Raises: SimulatorUnreachable."""
    async with database.unit_of_work(tenant_id) as tx:
        rows = await tx.fetch(
            "SELECT id, name FROM provider_account WHERE tenant_id = $1 AND adapter = $2",
            tenant_id,
            _ADAPTER,
        )
    books = Books(database, tenant_id, {row["id"]: row["name"] for row in rows}, page_size)
    with closing(open_spool()) as spool:
        for id in books.accounts:
            await spool_log(spool, simulator_url, encode("prv", id), page_size)
        await spool_operations(spool, books)
        await spool_entries(spool, books)
        return Comparison(
            effects=count_rows(spool, "effect"),
            operations=count_rows(spool, "operation"),
            entries=count_rows(spool, "entry"),
            differences=tuple(_differences(spool)),
        )


# ---- comparing

# An effect belongs to the operation it names; one without a name (made in the dashboard) to the one
# that has the provider's object. Two operations of one payment never share an object.
_MATCHED: Final = """
CREATE TABLE matched AS
  SELECT e.rowid AS effect, o.id AS operation
    FROM effect AS e JOIN operation AS o ON o.id = e.reference
  UNION ALL
  SELECT e.rowid, o.id
    FROM effect AS e JOIN operation AS o ON o.account = e.account AND o.ref = e.object
   WHERE e.reference IS NULL AND o.kind = CASE e.kind
         WHEN 'charge' THEN 'SALE' WHEN 'authorization' THEN 'AUTHORIZE' WHEN 'capture'
         THEN 'CAPTURE' WHEN 'void' THEN 'VOID' ELSE 'REFUND' END;
CREATE INDEX matched_by_effect ON matched (effect);
CREATE INDEX matched_by_operation ON matched (operation);
"""

# Posted legs are money; pending ones matter where they say what was reserved or given back.
_MOVED: Final = """
CREATE TABLE moved AS
  SELECT m.operation, e.kind, 1 AS effects, e.amount AS effect_amount, e.currency, NULL AS booked,
         0 AS postings, 0 AS posted_amount
    FROM matched AS m JOIN effect AS e ON e.rowid = m.effect
  UNION ALL
  SELECT n.operation,
         CASE o.kind || n.layer || n.direction
           WHEN 'SALE0D' THEN 'charge' WHEN 'SALE0C' THEN 'charge_reversed'
           WHEN 'CAPTURE0D' THEN 'capture' WHEN 'CAPTURE0C' THEN 'capture_reversed'
           WHEN 'REFUND0C' THEN 'refund' WHEN 'REFUND0D' THEN 'refund_failed'
           WHEN 'AUTHORIZE1D' THEN 'authorization' WHEN 'VOID2C' THEN 'void'
           ELSE lower(o.kind) || '?' END,
         0, 0, NULL, n.currency, 1, n.amount
    FROM entry AS n JOIN operation AS o ON o.id = n.operation
   WHERE n.recipe NOT LIKE 'psp_fee%'
     AND (n.layer = 0 OR o.kind || n.layer || n.direction IN ('AUTHORIZE1D', 'VOID2C'));
CREATE INDEX moved_by_operation ON moved (operation, kind);
"""

_TOTALS: Final = """
SELECT s.operation, s.kind, sum(s.effects) AS effects, sum(s.effect_amount) AS effect_amount,
       group_concat(DISTINCT s.currency) AS currency, sum(s.postings) AS postings,
       sum(s.posted_amount) AS posted_amount, group_concat(DISTINCT s.booked) AS booked,
       o.doubted
  FROM moved AS s JOIN operation AS o ON o.id = s.operation
 GROUP BY s.operation, s.kind
HAVING sum(s.effects) <> sum(s.postings) OR sum(s.effect_amount) <> sum(s.posted_amount)
    OR group_concat(DISTINCT s.currency) IS NOT group_concat(DISTINCT s.booked)
"""

_FEES: Final = """
SELECT operation, sum(taken) AS taken, sum(posted) AS posted
  FROM (SELECT m.operation, e.fee AS taken, 0 AS posted, e.currency
          FROM matched AS m JOIN effect AS e ON e.rowid = m.effect
        UNION ALL
        SELECT operation, 0, CASE direction WHEN 'C' THEN amount ELSE -amount END, currency
          FROM entry WHERE operation IS NOT NULL AND recipe LIKE 'psp_fee%')
 GROUP BY operation, currency HAVING sum(taken) <> sum(posted)
"""

_PLAIN: Final[tuple[tuple[DifferenceKind, str], ...]] = (
    (
        DifferenceKind.UNKNOWN_OPERATION,
        """SELECT coalesce(e.reference, e.object) AS subject, e.kind AS what,
                  e.amount || ' ' || e.currency AS provider_says, 'nothing' AS books_say
             FROM effect AS e LEFT JOIN matched AS m ON m.effect = e.rowid
            WHERE m.effect IS NULL""",
    ),
    (
        DifferenceKind.NO_EFFECT,
        """SELECT o.id AS subject, o.kind AS what, 'nothing' AS provider_says,
                  o.status AS books_say
             FROM operation AS o LEFT JOIN matched AS m ON m.operation = o.id
            WHERE m.operation IS NULL AND o.kind <> 'VOID'
              AND o.status IN ('SUCCEEDED', 'REVERSED')""",
    ),
    (
        DifferenceKind.SEVERAL_KEYS,
        """SELECT reference AS subject, 'the keys' AS what, group_concat(key, ' ') AS provider_says,
                  'one' AS books_say
             FROM sent GROUP BY reference HAVING count(*) > 1""",
    ),
    (
        DifferenceKind.OTHER_KEY,
        """SELECT s.reference AS subject, 'the key' AS what, s.key AS provider_says,
                  o.key AS books_say
             FROM sent AS s JOIN operation AS o ON o.id = s.reference WHERE s.key <> o.key""",
    ),
    (
        DifferenceKind.WRONG_PROVIDER,
        """SELECT o.id AS subject, 'the ' || e.kind AS what, e.account AS provider_says,
                  o.account AS books_say
             FROM matched AS m JOIN effect AS e ON e.rowid = m.effect
             JOIN operation AS o ON o.id = m.operation WHERE o.account <> e.account
           UNION ALL
           SELECT o.id, 'the posting ' || n.recipe, o.provider, n.provider
             FROM entry AS n JOIN operation AS o ON o.id = n.operation
            WHERE n.provider <> o.provider""",
    ),
    (
        DifferenceKind.WRONG_PAYMENT,
        """SELECT o.id AS subject, 'the payment of the ' || e.kind AS what,
                  e.payment AS provider_says, o.opening_ref AS books_say
             FROM matched AS m JOIN effect AS e ON e.rowid = m.effect
             JOIN operation AS o ON o.id = m.operation WHERE o.opening_ref <> e.payment""",
    ),
    (
        DifferenceKind.CHARGED_TWICE,
        """SELECT o.payment AS subject, 'the charges' AS what,
                  count(*) || ' for ' || group_concat(o.id, ' ') AS provider_says,
                  'at most one' AS books_say
             FROM matched AS m JOIN effect AS e ON e.rowid = m.effect
             JOIN operation AS o ON o.id = m.operation
            WHERE e.kind IN ('charge', 'authorization')
            GROUP BY o.payment HAVING count(*) > 1""",
    ),
    (
        DifferenceKind.NO_OPERATION,
        """SELECT 'psp:' || n.provider || ':clearing' AS subject, n.recipe AS what,
                  'nothing' AS provider_says, n.amount || ' ' || n.currency AS books_say
             FROM entry AS n LEFT JOIN operation AS o ON o.id = n.operation
            WHERE o.id IS NULL""",
    ),
)


def _differences(spool: sqlite3.Connection) -> Iterable[Difference]:
    spool.executescript(_MATCHED)
    spool.executescript(_MOVED)
    for row in spool.execute(f"{_TOTALS} LIMIT {DIFFERENCES_MAX}"):
        difference = _movement(row)
        if difference is not None:
            yield difference
    for row in spool.execute(f"{_FEES} LIMIT {DIFFERENCES_MAX}"):
        yield Difference(
            DifferenceKind.FEE, row["operation"], "the fee", str(row["taken"]), str(row["posted"])
        )
    for kind, query in _PLAIN:
        for row in spool.execute(f"{query} LIMIT {DIFFERENCES_MAX}"):
            yield Difference(kind, **row)


def _movement(row: sqlite3.Row) -> Difference | None:
    """How one kind of movement of one operation differs."""
    effects, postings = row["effects"], row["postings"]
    if not postings and row["kind"] == "authorization" and row["doubted"]:
        # Nothing moved yet: an authorization a person has to look at is not in the books.
        return None
    if not postings:
        kind = DifferenceKind.NOT_POSTED
    elif not effects:
        kind = DifferenceKind.NOT_MOVED
    elif effects != postings:
        kind = DifferenceKind.COUNT
    elif row["currency"] != row["booked"]:
        kind = DifferenceKind.CURRENCY
    else:
        kind = DifferenceKind.AMOUNT
    return Difference(
        kind,
        row["operation"],
        row["kind"],
        _side(effects, row["effect_amount"], row["currency"]),
        _side(postings, row["posted_amount"], row["booked"]),
    )


def _side(times: int, amount: int, currency: str | None) -> str:
    if not times:
        return "nothing"
    return f"{amount} {currency}" + (f" in {times} parts" if times > 1 else "")
