"""Payments in the database: what is new is inserted, what changed is saved in one statement.

Called under the lock on the payment's row (payments.reading).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from core.database import Tx
from payments.model import Aggregate, Attempt, Evidence, Operation, Payment, Refund


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation together with what only its row keeps."""

    operation: Operation
    request_sealed: bytes | None = None
    lease_seconds: float | None = None
    """None: nobody here sends it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP exchange for an operation, masked. `purpose` is SEND, LOOKUP or REPLAY."""

    id: UUID
    operation_id: UUID
    purpose: str
    method: str
    url: str
    status: int | None
    error: str | None
    latency_ms: int
    at: datetime


async def insert_payment(
    tx: Tx, tenant_id: int, payment: Payment, client_secret_hash: bytes
) -> None:
    """Write a new payment as it is by now.

    Raises: asyncpg.UniqueViolationError (payment_reference_unique).
    """
    await tx.execute(
        """
        INSERT INTO payment
          (tenant_id, id, reference, status, amount, currency, capture_mode, method, token_sealed,
           customer_id, country, return_url, statement_descriptor, merchant_account, splits,
           store_credit_account, store_credit, routing, metadata, client_secret_hash,
           attempt_limit, correlation_id, version, paid_by_store_credit, captured_gross,
           attempt_count, ended_at, save_method, saved_method_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)
        """,
        tenant_id,
        payment.id,
        payment.reference,
        payment.status,
        payment.amount,
        payment.currency,
        payment.capture_mode,
        payment.method,
        payment.token_sealed,
        payment.customer_id,
        payment.country,
        payment.return_url,
        payment.statement_descriptor,
        payment.merchant_account,
        list(payment.splits),
        payment.store_credit_account,
        payment.store_credit,
        payment.routing,
        payment.metadata,
        client_secret_hash,
        payment.attempt_limit,
        payment.correlation_id,
        payment.version,
        payment.paid_by_store_credit,
        payment.captured_gross,
        payment.attempt_count,
        payment.ended_at,
        payment.save_method,
        payment.saved_method_id,
    )


async def insert_attempt(tx: Tx, tenant_id: int, attempt: Attempt) -> None:
    """Write a new attempt; the one before it is superseded first.

    Raises: asyncpg.CheckViolationError when that one has not ended.
    """
    if attempt.number > 1:
        await tx.execute(
            """
            UPDATE payment_attempt SET superseded = TRUE
             WHERE tenant_id = $1 AND payment_id = $2 AND NOT superseded
            """,
            tenant_id,
            attempt.payment_id,
        )
    await tx.execute(
        """
        INSERT INTO payment_attempt
          (tenant_id, id, payment_id, number, status, provider_account_id, routing)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        tenant_id,
        attempt.id,
        attempt.payment_id,
        attempt.number,
        attempt.status,
        attempt.provider_account_id,
        attempt.routing,
    )


async def insert_refund(tx: Tx, tenant_id: int, refund: Refund) -> None:
    """Write a new refund."""
    await tx.execute(
        """
        INSERT INTO refund
          (tenant_id, id, payment_id, status, origin, amount, currency, card_amount,
           store_credit_amount, shares, reason, note, metadata, correlation_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        """,
        tenant_id,
        refund.id,
        refund.payment_id,
        refund.status,
        refund.origin,
        refund.amount,
        refund.currency,
        refund.card_amount,
        refund.store_credit_amount,
        list(refund.shares),
        refund.reason,
        refund.note,
        refund.metadata,
        refund.correlation_id,
    )


async def insert_operation(
    tx: Tx, tenant_id: int, begun: Begun, evidence: Sequence[Evidence]
) -> None:
    """Write a new operation and the intent behind it, leased to us where we are to send it.

    The worker takes over if we die: `next_action_at` is now, but nobody may claim it before the
    lease ends.
    """
    operation = begun.operation
    await tx.execute(
        """
        WITH operation AS (
          INSERT INTO provider_operation
            (tenant_id, id, payment_id, attempt_id, refund_id, kind, status, origin,
             provider_account_id, provider_ref, parent_ref, amount, currency, final, shares,
             posted, idempotency_key, request_sealed, correlation_id, sent_at,
             next_action_at, lease_until, fence)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                  $18, $19, $20,
                  CASE WHEN $21::FLOAT8 IS NOT NULL THEN clock_timestamp() END,
                  clock_timestamp() + make_interval(secs => $21::FLOAT8), $28)
        )
        INSERT INTO evidence (tenant_id, id, operation_id, source, says, facts, dedup_key,
                              occurred_at)
        SELECT $1, e.id, $2, e.source, e.says, e.facts, e.dedup_key, e.occurred_at
          FROM unnest($22::UUID[], $23::TEXT[], $24::TEXT[], $25::JSONB[], $26::TEXT[],
                      $27::TIMESTAMPTZ[]) AS e(id, source, says, facts, dedup_key, occurred_at)
        """,
        tenant_id,
        operation.id,
        operation.payment_id,
        operation.attempt_id,
        operation.refund_id,
        operation.kind,
        operation.status,
        operation.origin,
        operation.provider_account_id,
        operation.provider_ref,
        operation.parent_ref,
        operation.amount,
        operation.currency,
        operation.final,
        list(operation.shares),
        list(operation.posted),
        operation.idempotency_key,
        begun.request_sealed,
        operation.correlation_id,
        operation.sent_at,
        begun.lease_seconds,
        [e.id for e in evidence],
        [e.source for e in evidence],
        [e.says for e in evidence],
        [e.facts for e in evidence],
        [e.dedup_key for e in evidence],
        [e.occurred_at for e in evidence],
        operation.fence,
    )


SAVE: Final = """
WITH told AS (
  INSERT INTO evidence (tenant_id, id, operation_id, source, says, amount, currency, fee,
                        provider_ref, facts, provider_event_id, dedup_key, occurred_at, note)
  SELECT $1, id, operation_id, source, says, amount, currency, fee, provider_ref, facts,
         provider_event_id, dedup_key, occurred_at, note
    FROM jsonb_to_recordset($2) AS e(
      id UUID, operation_id UUID, source TEXT, says TEXT, amount BIGINT, currency TEXT, fee BIGINT,
      provider_ref TEXT, facts JSONB, provider_event_id TEXT, dedup_key TEXT,
      occurred_at TIMESTAMPTZ, note TEXT)
), calls AS (
  INSERT INTO provider_call (tenant_id, id, operation_id, purpose, method, url, status, error,
                             latency_ms, at)
  SELECT $1, id, operation_id, purpose, method, url, status, error, latency_ms, at
    FROM jsonb_to_recordset($3) AS c(
      id UUID, operation_id UUID, purpose TEXT, method TEXT, url TEXT, status INT, error TEXT,
      latency_ms INT, at TIMESTAMPTZ)
), attempt AS (
  UPDATE payment_attempt AS a
     SET status = c.status, decline = c.decline, next_action = c.next_action,
         updated_at = clock_timestamp()
    FROM jsonb_to_record($4) AS c(status TEXT, decline JSONB, next_action JSONB)
   WHERE a.tenant_id = $1 AND a.payment_id = $12 AND a.id = $8
), operation AS (
  UPDATE provider_operation AS o
     SET status = c.status, provider_ref = c.provider_ref, moved_amount = c.moved_amount,
         fee = c.fee, expired = c.expired,
         posted = ARRAY(SELECT jsonb_array_elements_text(c.posted)),
         decline = c.decline, next_action = c.next_action, sent_at = c.sent_at,
         completed_at = c.completed_at, resolution_tries = c.resolution_tries,
         request_sealed = CASE WHEN c.open THEN coalesce(decode(c.request, 'hex'), o.request_sealed)
                          END,
         next_action_at = CASE WHEN NOT c.open THEN NULL
                               WHEN c.fence = o.fence THEN c.next_action_at
                               ELSE least(o.next_action_at, c.next_action_at) END,
         lease_until = CASE WHEN c.open AND c.fence IS DISTINCT FROM o.fence THEN o.lease_until END,
         updated_at = clock_timestamp()
    FROM jsonb_to_record($5) AS c(
      status TEXT, provider_ref TEXT, moved_amount BIGINT, fee BIGINT, expired BOOLEAN,
      posted JSONB, decline JSONB, next_action JSONB, sent_at TIMESTAMPTZ,
      completed_at TIMESTAMPTZ, next_action_at TIMESTAMPTZ, resolution_tries INT, open BOOLEAN,
      fence BIGINT, request TEXT)
   WHERE o.tenant_id = $1 AND o.id = $9
), refunds AS (
  UPDATE refund AS r
     SET status = c.status, failure_message = c.failure_message, version = r.version + 1,
         updated_at = clock_timestamp()
    FROM jsonb_to_record($6) AS c(status TEXT, failure_message TEXT)
   WHERE r.tenant_id = $1 AND r.id = $10
)
UPDATE payment AS p
   SET status = c.status, version = c.version, method = c.method,
       token_sealed = decode(c.token, 'hex'),
       return_url = c.return_url,
       paid_by_store_credit = c.paid_by_store_credit, authorized = c.authorized,
       captured_gross = c.captured_gross, capture_reversed = c.capture_reversed,
       refund_reserved = c.refund_reserved, refunded = c.refunded,
       refunded_external = c.refunded_external, fees = c.fees, attempt_count = c.attempt_count,
       last_decline = c.last_decline, next_action = c.next_action,
       cancel_requested_at = c.cancel_requested_at, ended_at = c.ended_at,
       save_method = c.save_method, saved_method_id = c.saved_method_id,
       updated_at = clock_timestamp()
  FROM jsonb_to_record($7) AS c(
    status TEXT, version INT, method JSONB, token TEXT, return_url TEXT,
    paid_by_store_credit BOOLEAN, authorized BIGINT, captured_gross BIGINT,
    capture_reversed BIGINT, refund_reserved BIGINT, refunded BIGINT, refunded_external BIGINT,
    fees BIGINT, attempt_count INT, last_decline JSONB, next_action JSONB,
    cancel_requested_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, save_method BOOLEAN,
    saved_method_id UUID)
 WHERE p.tenant_id = $1 AND p.id = $11
"""
"""One row of each table at most, by its id: of a set of unknown length the planner assumes 100, and
would rather read all payments of the tenant than look for each."""

_NOBODY: Final[Mapping[UUID, int]] = MappingProxyType({})
_NO_REQUEST: Final[Mapping[UUID, bytes]] = MappingProxyType({})


async def save(
    tx: Tx,
    tenant_id: int,
    before: Aggregate,
    after: Aggregate,
    *,
    evidence: Sequence[Evidence] = (),
    calls: Sequence[Call] = (),
    owned: Mapping[UUID, int] = _NOBODY,
    requests: Mapping[UUID, bytes] = _NO_REQUEST,
) -> None:
    """Write new evidence, what was said on the wire, and every row that changed.

    `owned` gives, for operations leased to us, the fence of our claim: if it still stands they are
    rescheduled and the lease is given back. `requests` are sealed requests about to be sent.
    """
    told = [_told(e) for e in evidence]
    said = [_row(c, _CALL) for c in calls]
    attempts = [
        _row(a, "id status decline next_action") for a in _changed(before, after, "attempts")
    ]
    operations = [
        {**_operation_row(o), "fence": owned.get(o.id), "request": _hex(requests.get(o.id))}
        for o in _known(before, after.operations)
        if o.id in owned or o.id in requests or o != before.operation(o.id)
    ]
    refunds = [_row(r, "id status failure_message") for r in _changed(before, after, "refunds")]
    payments = [_payment_row(after.payment)] if before.payment != after.payment else []
    rows = list(zip_longest(attempts, operations, refunds, payments))
    for changed in rows or ([_NO_ROWS] if told or said else []):
        ids = [row and row["id"] for row in changed]
        await tx.execute(SAVE, tenant_id, told, said, *changed, *ids, after.payment.id)
        told, said = [], []


_CALL: Final = "id operation_id purpose method url status error latency_ms at"
_NO_ROWS: Final = (None, None, None, None)


def _known(before: Aggregate, operations: Iterable[Operation]) -> list[Operation]:
    ids = {o.id for o in before.operations}
    return [o for o in operations if o.id in ids]


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _changed(before: Aggregate, after: Aggregate, what: str) -> Iterable[Any]:
    """Rows that existed before and are different now."""
    old = {each.id: each for each in getattr(before, what)}
    return [each for each in getattr(after, what) if old.get(each.id, each) != each]


def _row(value: object, names: str) -> dict[str, Any]:
    row = {name: getattr(value, name) for name in names.split()}
    # The driver's ids are of a class of its own, which the JSON encoder does not take.
    return {name: str(field) if isinstance(field, UUID) else field for name, field in row.items()}


def _operation_row(operation: Operation) -> dict[str, Any]:
    row = _row(
        operation,
        "id status provider_ref moved_amount fee expired posted decline next_action sent_at "
        "completed_at next_action_at resolution_tries",
    )
    return {**row, "open": operation.is_open}


def _payment_row(payment: Payment) -> dict[str, Any]:
    row = _row(
        payment,
        "id status version method return_url paid_by_store_credit authorized captured_gross "
        "capture_reversed refund_reserved refunded refunded_external fees attempt_count "
        "last_decline next_action cancel_requested_at ended_at save_method saved_method_id",
    )
    return {**row, "token": _hex(payment.token_sealed)}


def _told(evidence: Evidence) -> dict[str, Any]:
    return _row(
        evidence,
        "id operation_id source says amount currency fee provider_ref facts provider_event_id "
        "dedup_key occurred_at note",
    )
