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

import asyncpg
from sqlalchemy import inspect

from core.database import Tx
from events import Event, insert_from, outbox_rows
from payments.model import Aggregate, Attempt, Evidence, Operation, Payment, Refund
from payments.tables import PaymentRow


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


@dataclass(frozen=True, slots=True)
class New:
    """Rows that were not there before; the client secret's hash with the payment it opens."""

    payment: Payment | None = None
    client_secret_hash: bytes | None = None
    attempts: Sequence[Attempt] = ()
    refunds: Sequence[Refund] = ()
    operations: Sequence[Begun] = ()
    evidence: Sequence[Evidence] = ()
    """The intents behind the operations."""

    def __bool__(self) -> bool:
        return any((self.payment, self.attempts, self.refunds, self.operations))


_NEW_PAYMENT: Final = (
    "id reference status amount currency capture_mode method customer_id country return_url "
    "statement_descriptor merchant_account splits store_credit_account store_credit routing "
    "metadata attempt_limit correlation_id version paid_by_store_credit captured_gross "
    "attempt_count ended_at save_method saved_method_id"
)
_NEW_ATTEMPT: Final = "id payment_id number status provider_account_id routing"
_NEW_REFUND: Final = (
    "id payment_id status origin amount currency card_amount store_credit_amount shares reason "
    "note metadata correlation_id"
)
_NEW_OPERATION: Final = (
    "id payment_id attempt_id refund_id kind status origin provider_account_id provider_ref "
    "parent_ref amount currency final shares posted idempotency_key correlation_id sent_at fence"
)
_TOLD: Final = (
    "id operation_id source says amount currency fee provider_ref facts provider_event_id "
    "dedup_key occurred_at note"
)
_CALL: Final = "id operation_id purpose method url status error latency_ms at"
_SECRETS: Final = frozenset({"token_sealed", "client_secret_hash"})
_SHOWN: Final = [c.name for c in inspect(PaymentRow).columns if c.name not in _SECRETS]
"""Named one by one: with `*` a migration that adds a column would break plans in use."""


def _insert(table: str, names: str, parameter: str) -> str:
    """Rows of one tenant, $1, each a JSON object with the columns as members."""
    columns = ", ".join(names.split())
    return f"""
  INSERT INTO {table} (tenant_id, {columns})
  SELECT $1::INT, {columns} FROM jsonb_populate_recordset(NULL::{table}, {parameter})"""


INSERT: Final = f"""
WITH new_payment AS ({_insert("payment", f"{_NEW_PAYMENT} token_sealed client_secret_hash", "$2")}
  RETURNING {", ".join(_SHOWN)}
), attempts AS ({_insert("payment_attempt", _NEW_ATTEMPT, "$3")}
), refunds AS ({_insert("refund", _NEW_REFUND, "$4")}
), operations AS (
  INSERT INTO provider_operation
    (tenant_id, {", ".join(_NEW_OPERATION.split())}, request_sealed, next_action_at, lease_until)
  SELECT $1::INT, {", ".join(f"o.{name}" for name in _NEW_OPERATION.split())}, o.request_sealed,
         CASE WHEN each ->> 'lease_seconds' IS NOT NULL THEN clock_timestamp() END,
         clock_timestamp() + make_interval(secs => (each ->> 'lease_seconds')::FLOAT8)
    FROM jsonb_array_elements($5) AS each,
         jsonb_populate_record(NULL::provider_operation, each) AS o
), told AS ({_insert("evidence", _TOLD, "$6")}
), events AS ({insert_from("$7")})
SELECT * FROM new_payment
"""


async def insert(
    tx: Tx, tenant_id: int, new: New, events: Sequence[Event]
) -> asyncpg.Record | None:
    """Write what is new, with the events that tell of it, in one statement.

    An operation is leased to us where we are to send it; the worker takes over if we die:
    `next_action_at` is now, but nobody may claim it before the lease ends. A further attempt
    supersedes the one before. Returns the row of a new payment.
    Raises: asyncpg.UniqueViolationError (payment_reference_unique), asyncpg.CheckViolationError
    when the attempt before has not ended.
    """
    for attempt in new.attempts:
        if attempt.number > 1:
            await tx.execute(
                """
                UPDATE payment_attempt SET superseded = TRUE
                 WHERE tenant_id = $1 AND payment_id = $2 AND NOT superseded
                """,
                tenant_id,
                attempt.payment_id,
            )
    return await tx.fetchrow(
        INSERT,
        tenant_id,
        [_new_payment(new.payment, new.client_secret_hash)] if new.payment else [],
        [_row(each, _NEW_ATTEMPT) for each in new.attempts],
        [_row(each, _NEW_REFUND) for each in new.refunds],
        [_new_operation(each) for each in new.operations],
        [_row(each, _TOLD) for each in new.evidence],
        outbox_rows(tenant_id, events),
    )


SAVE: Final = f"""
WITH told AS ({_insert("evidence", _TOLD, "$2")}
), calls AS ({_insert("provider_call", _CALL, "$3")}
), events AS ({insert_from("$13")}
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
         posted = c.posted,
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
      posted TEXT[], decline JSONB, next_action JSONB, sent_at TIMESTAMPTZ,
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
RETURNING {", ".join(f"p.{name}" for name in _SHOWN)}
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
    events: Sequence[Event] = (),
) -> asyncpg.Record | None:
    """Write new evidence, what was said on the wire, every row that changed, and the events.

    Returns the row of the payment if that changed. `owned` gives, for operations leased to us, the
    fence of our claim: if it still stands they are rescheduled and the lease is given back.
    `requests` are sealed requests about to be sent.
    """
    told = [_row(e, _TOLD) for e in evidence]
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
    news = (told, said, outbox_rows(tenant_id, events))
    if not rows and any(news):
        rows = [_NO_ROWS]
    written = None
    for changed in rows:
        ids = [row and row["id"] for row in changed]
        told, said, happened = news
        row = await tx.fetchrow(
            SAVE, tenant_id, told, said, *changed, *ids, after.payment.id, happened
        )
        written, news = written or row, ([], [], [])
    return written


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


def _new_payment(payment: Payment, client_secret_hash: bytes | None) -> dict[str, Any]:
    sealed = {"token_sealed": payment.token_sealed, "client_secret_hash": client_secret_hash}
    return _row(payment, _NEW_PAYMENT) | {name: _bytea(each) for name, each in sealed.items()}


def _new_operation(begun: Begun) -> dict[str, Any]:
    return {
        **_row(begun.operation, _NEW_OPERATION),
        "request_sealed": _bytea(begun.request_sealed),
        "lease_seconds": begun.lease_seconds,
    }


def _bytea(value: bytes | None) -> str | None:
    """As PostgreSQL reads it."""
    return None if value is None else rf"\x{value.hex()}"
