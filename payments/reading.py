"""Payments in the database: locked, and loaded whole.

Whoever changes anything of a payment holds the lock on its row first; that alone serializes all
that is known about it. Lock order: payment → saved method → attempt → operation →
refund; a method that is kept is locked last of all.
"""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from core.database import Tx
from payments.model import (
    Aggregate,
    Attempt,
    AttemptStatus,
    Evidence,
    Operation,
    OperationKind,
    OperationStatus,
    Origin,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    Says,
    Source,
)

_JSON: Final = frozenset({"decline", "next_action", "routing", "metadata", "facts"})
"""Inside a row value asyncpg gets JSON in a binary form its text codec cannot read."""
_AS_TEXT: Final = dict.fromkeys(_JSON, "::TEXT") | {"shares": "::TEXT[]"}
"""Nor does it know there, on a fresh connection, an array of anything else."""


def _columns(table: type, alias: str) -> str:
    return ", ".join(f"{alias}.{f.name}" for f in fields(table))


def _values(table: type, alias: str) -> str:
    columns = (f"{alias}.{f.name}{_AS_TEXT.get(f.name, '')}" for f in fields(table))
    return ", ".join(columns)


_ID: Final = attrgetter("id")
_PAYMENT: Final = _columns(Payment, "p")
_ATTEMPT: Final = _values(Attempt, "a")
_OPERATION: Final = _values(Operation, "o")
_REFUND: Final = _values(Refund, "r")
_EVIDENCE: Final = _values(Evidence, "e")
OF_PAYMENT: Final = f"""
  ARRAY(SELECT ROW({_ATTEMPT}) FROM payment_attempt AS a
         WHERE a.tenant_id = $1 AND a.payment_id = $2 ORDER BY a.number) AS attempts,
  ARRAY(SELECT ROW({_OPERATION}) FROM provider_operation AS o
         WHERE o.tenant_id = $1 AND o.payment_id = $2 ORDER BY o.id) AS operations,
  ARRAY(SELECT ROW({_REFUND}) FROM refund AS r
         WHERE r.tenant_id = $1 AND r.payment_id = $2) AS refunds
"""
OF_OPERATION: Final = f"""
  ARRAY(SELECT ROW({_EVIDENCE}) FROM evidence AS e
         WHERE e.tenant_id = $1 AND e.operation_id = $3) AS evidence
"""
"""Ordered only where the index ends so; the rest is sorted here. While tables are tiny, reading
all of a tenant by id looks cheaper than sorting few, and connections keep such plans."""


async def lock(tx: Tx, tenant_id: int, payment_id: UUID) -> Payment | None:
    """Lock a payment and read it as it is now; None if the tenant has no such payment."""
    row = await tx.fetchrow(
        f"""
        SELECT {_PAYMENT} FROM payment AS p
         WHERE p.tenant_id = $1 AND p.id = $2
           FOR NO KEY UPDATE
        """,
        tenant_id,
        payment_id,
    )
    return _payment(row) if row else None


async def lock_by_operation(tx: Tx, tenant_id: int, operation_id: UUID) -> Payment | None:
    """Lock the payment an operation belongs to."""
    row = await tx.fetchrow(
        f"""
        SELECT {_PAYMENT} FROM payment AS p
         WHERE p.tenant_id = $1
           AND p.id = (SELECT o.payment_id FROM provider_operation AS o
                        WHERE o.tenant_id = $1 AND o.id = $2)
           FOR NO KEY UPDATE
        """,
        tenant_id,
        operation_id,
    )
    return _payment(row) if row else None


async def load(tx: Tx, tenant_id: int, payment: Payment) -> Aggregate:
    """All that belongs to a payment that was locked by an earlier statement.

    A statement of its own: one that waited for the lock would still see what was true before it.
    """
    row = await tx.fetchrow(f"SELECT {OF_PAYMENT}", tenant_id, payment.id)
    assert row is not None
    return _aggregate(payment, row)


async def load_with_evidence(
    tx: Tx, tenant_id: int, payment: Payment, operation_id: UUID
) -> tuple[Aggregate, list[Evidence]]:
    """As `load`, and what is known about one of the operations, oldest first."""
    row = await tx.fetchrow(
        f"SELECT {OF_PAYMENT}, {OF_OPERATION}", tenant_id, payment.id, operation_id
    )
    assert row is not None
    known = [_evidence(values) for values in row["evidence"]]
    return _aggregate(payment, row), sorted(known, key=_ID)


async def read(tx: Tx, tenant_id: int, payment_id: UUID) -> Aggregate | None:
    """A payment with all that belongs to it, not locked: for looking, not for deciding."""
    row = await tx.fetchrow(
        f"SELECT {_PAYMENT} FROM payment AS p WHERE p.tenant_id = $1 AND p.id = $2",
        tenant_id,
        payment_id,
    )
    return await load(tx, tenant_id, _payment(row)) if row else None


async def evidence_of(
    tx: Tx, tenant_id: int, operation_ids: Sequence[UUID]
) -> dict[UUID, list[Evidence]]:
    """The evidence sets of operations, oldest first."""
    rows = await tx.fetch(
        f"""
        SELECT ROW({_EVIDENCE}) AS known FROM evidence AS e
         WHERE e.tenant_id = $1 AND e.operation_id = ANY($2::UUID[])
        """,
        tenant_id,
        operation_ids,
    )
    found: dict[UUID, list[Evidence]] = {id: [] for id in operation_ids}
    for row in rows:
        evidence = _evidence(row["known"])
        found[evidence.operation_id].append(evidence)
    return {id: sorted(known, key=_ID) for id, known in found.items()}


def _payment(row: asyncpg.Record) -> Payment:
    values = dict(row)
    values["status"] = PaymentStatus(values["status"])
    values["splits"] = tuple(values["splits"])
    return Payment(**values)


def _aggregate(payment: Payment, row: asyncpg.Record) -> Aggregate:
    return Aggregate(
        payment,
        tuple(_attempt(values) for values in row["attempts"]),
        tuple(_operation(values) for values in row["operations"]),
        tuple(sorted((_refund(values) for values in row["refunds"]), key=_ID)),
    )


def _attempt(values: Sequence[Any]) -> Attempt:
    named = _named(Attempt, values)
    named["status"] = AttemptStatus(named["status"])
    return Attempt(**named)


def _operation(values: Sequence[Any]) -> Operation:
    named = _named(Operation, values)
    named["kind"] = OperationKind(named["kind"])
    named["origin"] = Origin(named["origin"])
    named["status"] = OperationStatus(named["status"])
    named["posted"] = tuple(named["posted"])
    named["shares"] = tuple(map(int, named["shares"]))
    return Operation(**named)


def _refund(values: Sequence[Any]) -> Refund:
    named = _named(Refund, values)
    named["origin"] = Origin(named["origin"])
    named["status"] = RefundStatus(named["status"])
    named["shares"] = tuple(map(int, named["shares"]))
    return Refund(**named)


def _evidence(values: Sequence[Any]) -> Evidence:
    named = _named(Evidence, values)
    named["source"] = Source(named["source"])
    named["says"] = Says(named["says"])
    return Evidence(**named)


def _named(table: type, values: Sequence[Any]) -> dict[str, Any]:
    named = {f.name: value for f, value in zip(fields(table), values, strict=True)}
    for name in _JSON & named.keys():
        named[name] = None if named[name] is None else orjson.loads(named[name])
    return named
