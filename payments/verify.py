"""Recompute every status and amount of payments from the evidence, and list what differs."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from uuid import UUID

from core.database import Database, Tx
from core.identifiers import encode
from payments import reading
from payments.amounts import refunded_parts, sum_of, taken_parts
from payments.due import required
from payments.model import (
    OPERATION_REFUSED,
    PAYMENT_ENDED,
    TAKING,
    Aggregate,
    Evidence,
    Operation,
    Origin,
)
from payments.projection import project, project_operation

_BATCH: Final = 200
_PREFIXES: Final = {"operations": "op", "attempts": "att", "refunds": "ref"}
_NOT_PROJECTED: Final = frozenset(
    {
        "next_action_at",
        "resolution_tries",
        "fence",
        "tries",
        "created_at",
        "sent_at",
        "completed_at",
        "version",
        "provider_ref",
        "token_sealed",
    }
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A column that is not what the evidence says."""

    subject: str
    column: str
    stored: Any
    computed: Any

    def __str__(self) -> str:
        return f"{self.subject} {self.column}: stored {self.stored!r}, computed {self.computed!r}"


async def verify(database: Database, tenant_id: int) -> AsyncIterator[Difference | int]:
    """Every difference of a tenant; between them the number of payments looked at so far."""
    after = UUID(int=0)
    looked = 0
    while True:
        async with database.unit_of_work(tenant_id) as tx:
            ids = [
                row["id"]
                for row in await tx.fetch(
                    "SELECT id FROM payment WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
                    tenant_id,
                    after,
                    _BATCH,
                )
            ]
            for id in ids:
                for difference in await _verify_one(tx, tenant_id, id):
                    yield difference
        if not ids:
            return
        after = ids[-1]
        looked += len(ids)
        yield looked


async def _verify_one(tx: Tx, tenant_id: int, payment_id: UUID) -> list[Difference]:
    """Under the lock, so that no change is seen half."""
    payment = await reading.lock(tx, tenant_id, payment_id)
    if payment is None:
        return []
    stored = await reading.load(tx, tenant_id, payment)
    evidence = await reading.evidence_of(tx, tenant_id, [o.id for o in stored.operations])
    return list(compare(stored, evidence))


def compare(stored: Aggregate, evidence: dict[UUID, list[Evidence]]) -> Iterator[Difference]:
    """What is stored against what follows from the evidence."""
    operations = tuple(project_operation(o, evidence[o.id]) for o in stored.operations)
    computed = project(replace(stored, operations=operations))
    for what, prefix in _PREFIXES.items():
        pairs = zip(getattr(stored, what), getattr(computed, what), strict=True)
        for before, after in pairs:
            yield from _columns(encode(prefix, before.id), before, after)
    yield from _columns(encode("pay", stored.payment.id), stored.payment, computed.payment)
    yield from _unposted(computed)
    yield from _misshared(stored, evidence)
    if computed.payment.status in PAYMENT_ENDED and stored.payment.ended_at is None:
        subject = encode("pay", stored.payment.id)
        yield Difference(subject, "ended_at", None, "the time it ended")


def _columns(subject: str, stored: Any, computed: Any) -> Iterator[Difference]:
    for column in fields(stored):
        before, after = getattr(stored, column.name), getattr(computed, column.name)
        if column.name not in _NOT_PROJECTED and before != after:
            yield Difference(subject, column.name, before, after)


def _unposted(aggregate: Aggregate) -> Iterator[Difference]:
    """What the evidence requires in the books and was never posted."""
    for operation in aggregate.operations:
        missing = required(aggregate, operation)
        if missing:
            subject = encode("op", operation.id)
            yield Difference(subject, "posted", operation.posted, (*operation.posted, *missing))


def _misshared(aggregate: Aggregate, evidence: dict[UUID, list[Evidence]]) -> Iterator[Difference]:
    """Parts that were not shared out whole, and accounts with more in all parts than their share.

    Only we keep to that: a provider may move more, or do what it had refused.
    """
    whole = aggregate.payment.shares
    parts = [("op", o.id, o.amount, o.shares) for o in aggregate.operations if o.kind in TAKING]
    parts += [("ref", r.id, r.amount, r.shares) for r in aggregate.refunds]
    wrong = [part for part in parts if len(part[3]) != len(whole) or sum(part[3]) != part[2]]
    for prefix, id, amount, shares in wrong:
        yield Difference(encode(prefix, id), "shares", shares, f"{len(whole)} that sum to {amount}")
    ours = all(
        o.origin is Origin.OURS and _kept_to(o, evidence[o.id]) for o in aggregate.operations
    )
    if wrong or not ours:
        return
    for of in (taken_parts, refunded_parts):
        total = sum_of(whole, of(aggregate))
        if any(parts > share for parts, share in zip(total, whole, strict=True)):
            subject = encode("pay", aggregate.payment.id)
            yield Difference(subject, "shares", total, f"at most {whole}")


def _kept_to(operation: Operation, evidence: list[Evidence]) -> bool:
    """Whether nobody said that it would not happen, or else it did not."""
    refused = any(e.says.value in OPERATION_REFUSED for e in evidence)
    return operation.status in OPERATION_REFUSED or not refused
