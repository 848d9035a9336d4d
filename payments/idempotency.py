"""The permanent memory of requests: one key, one request, one effect.

The key is inserted first of all in unit of work A. A concurrent request with the same key waits on
the unique index until A is committed, and then finds it: it is answered, never carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson

from core.database import Tx
from core.errors import Rejected
from core.money import Money
from payments.commands import Actor
from payments.errors import (
    IdempotencyKeyReused,
    InsufficientFunds,
    OperationInProgress,
    RiskRejected,
)

_DIGEST_CHARACTERS: Final = 16
_RETRY_AFTER_MS: Final = 250
_RETRY_AFTER_MS_MAX: Final = 5_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request under its key. `fingerprint` is equal exactly when the inputs are."""

    mutation: str
    key: str
    fingerprint: bytes
    path_digests: Mapping[str, str]

    @classmethod
    def of(cls, mutation: str, key: str, canonical_input: Mapping[str, object]) -> "Request":
        """From the coerced input without the key. Order and white space are no difference."""
        canonical = orjson.dumps(canonical_input, option=orjson.OPT_SORT_KEYS)
        return cls(mutation, key, sha256(canonical).digest(), _digests(canonical))


def _digests(canonical: bytes) -> dict[str, str]:
    """A digest of every leaf, by its path: names what differs without keeping any value."""
    leaves: dict[str, str] = {}

    def walk(path: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(f"{path}.{name}" if path else name, inner)
        elif isinstance(value, list) and value:
            for index, inner in enumerate(value):
                walk(f"{path}.{index}", inner)
        else:
            digest = sha256(path.encode() + b"\0" + orjson.dumps(value))
            leaves[path] = digest.hexdigest()[:_DIGEST_CHARACTERS]

    walk("", orjson.loads(canonical))
    return leaves


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a key was used for. `in_progress`: its operation is being sent right now."""

    resource_type: str
    resource_id: UUID
    operation_id: UUID | None
    fingerprint: bytes
    path_digests: Mapping[str, str]
    rejection: Mapping[str, Any] | None
    created_at: datetime
    in_progress: bool
    lease_left_ms: int


async def remember(
    tx: Tx,
    actor: Actor,
    request: Request,
    resource: tuple[str, UUID],
    *,
    operation_id: UUID | None = None,
    rejection: Rejected | None = None,
) -> bool:
    """Insert the key; False if it was used before (whoever used it has committed by now)."""
    done = await tx.execute(
        """
        INSERT INTO idempotency_key
          (tenant_id, principal_scope, mutation, key, fingerprint, path_digests, resource_type,
           resource_id, operation_id, rejection, correlation_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT DO NOTHING
        """,
        actor.tenant_id,
        actor.scope,
        request.mutation,
        request.key,
        request.fingerprint,
        request.path_digests,
        *resource,
        operation_id,
        None if rejection is None else rejection_as_json(rejection),
        actor.correlation_id,
    )
    return done == "INSERT 0 1"


async def find(tx: Tx, actor: Actor, mutation: str, key: str) -> Remembered | None:
    """What a key was used for, in the scope of this actor.

    In progress means: the operation it started, or one it fell back to (of the same correlation
    id), is CREATED or SENT under a live lease.
    """
    row = await tx.fetchrow(
        """
        SELECT k.resource_type, k.resource_id, k.operation_id, k.fingerprint, k.path_digests,
               k.rejection, k.created_at, o.lease_left_ms
          FROM idempotency_key AS k
          LEFT JOIN LATERAL (
            SELECT ceil(extract(epoch FROM max(o.lease_until) - clock_timestamp()) * 1000)::BIGINT
                     AS lease_left_ms
              FROM provider_operation AS o
              JOIN provider_operation AS f
                ON f.tenant_id = k.tenant_id AND f.id = k.operation_id
             WHERE o.tenant_id = k.tenant_id AND o.payment_id = f.payment_id
               AND o.correlation_id = f.correlation_id
               AND o.status IN ('CREATED', 'SENT') AND o.lease_until > clock_timestamp()
          ) AS o ON TRUE
         WHERE k.tenant_id = $1 AND k.principal_scope = $2 AND k.mutation = $3 AND k.key = $4
        """,
        actor.tenant_id,
        actor.scope,
        mutation,
        key,
    )
    if row is None:
        return None
    lease_left_ms = row["lease_left_ms"]
    return Remembered(
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        operation_id=row["operation_id"],
        fingerprint=row["fingerprint"],
        path_digests=row["path_digests"],
        rejection=row["rejection"],
        created_at=row["created_at"],
        in_progress=lease_left_ms is not None,
        lease_left_ms=lease_left_ms or 0,
    )


async def resume(tx: Tx, actor: Actor, request: Request) -> Remembered:
    """The earlier use of this very request, finished.

    Raises: IdempotencyKeyReused, OperationInProgress, and the rejection it was answered with.
    """
    remembered = await find(tx, actor, request.mutation, request.key)
    assert remembered is not None, "a key that conflicts is there to be read"
    if remembered.fingerprint != request.fingerprint:
        raise IdempotencyKeyReused(
            remembered.created_at, _differing(remembered.path_digests, request.path_digests)
        )
    if remembered.rejection is not None:
        raise rejection_from_json(remembered.rejection)
    if remembered.in_progress:
        wait = min(_RETRY_AFTER_MS_MAX, max(_RETRY_AFTER_MS, remembered.lease_left_ms // 4))
        raise OperationInProgress(wait, (remembered.resource_type, remembered.resource_id))
    return remembered


async def renew(
    tx: Tx, actor: Actor, request: Request, operation_id: UUID | None, earlier: UUID | None
) -> bool:
    """The same key tries again, since nothing was sent the first time.

    False if somebody else did that meanwhile (`earlier` is the operation it had).
    """
    done = await tx.execute(
        """
        UPDATE idempotency_key SET operation_id = coalesce($5, operation_id)
         WHERE tenant_id = $1 AND principal_scope = $2 AND mutation = $3 AND key = $4
           AND operation_id IS NOT DISTINCT FROM $6
        """,
        actor.tenant_id,
        actor.scope,
        request.mutation,
        request.key,
        operation_id,
        earlier,
    )
    return done == "UPDATE 1"


def _differing(first: Mapping[str, str], second: Mapping[str, str]) -> Sequence[str]:
    return sorted(path for path in {*first, *second} if first.get(path) != second.get(path))


def rejection_as_json(rejection: Rejected) -> dict[str, Any]:
    """A refusal that is repeated as it was."""
    match rejection:
        case RiskRejected():
            return {"code": rejection.code, "rule": rejection.rule}
        case InsufficientFunds():
            return {
                "code": rejection.code,
                "account": rejection.account,
                "available": rejection.available.minor_units,
                "currency": rejection.available.currency,
            }
        case _:
            raise AssertionError(rejection)


def rejection_from_json(stored: Mapping[str, Any]) -> Rejected:
    """The inverse of `rejection_as_json`."""
    if stored["code"] == RiskRejected.code:
        return RiskRejected(stored["rule"])
    return InsufficientFunds(stored["account"], Money(stored["available"], stored["currency"]))
