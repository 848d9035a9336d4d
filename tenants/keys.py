"""API keys: shown once, kept as a hash, limited by scopes, expiry and revocation.

A server's key is a secret and has scopes. A publishable key stands in the pages of a shop for
everybody to read: it says whose shop it is, and has no scope.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from core.crypto import fingerprint, random_secret
from core.database import Database, Tx
from core.errors import Rejected
from core.identifiers import encode, new_id
from tenants.audit import record

SCOPES: Final = frozenset(
    {
        "PAYMENTS_READ",
        "PAYMENTS_WRITE",
        "REFUNDS_WRITE",
        "PAYOUTS_READ",
        "PAYOUTS_WRITE",
        "PAYOUTS_APPROVE",
        "LEDGER_READ",
        "LEDGER_WRITE",
        "DISPUTES_WRITE",
        "RECONCILIATION_READ",
        "RECONCILIATION_WRITE",
        "PROVIDERS_READ",
        "PROVIDERS_WRITE",
        "WEBHOOKS_READ",
        "WEBHOOKS_WRITE",
        "EVENTS_READ",
        "ADMIN",
    }
)
"""Everything a key can be allowed to do; the API's Scope enum has the same members."""

_KEY_LENGTH_MAX: Final = 200
_SERVER: Final = "SERVER"
_PUBLISHABLE: Final = "PUBLISHABLE"
_HINT_CHARACTERS: Final = 4


class UnknownScope(Rejected):
    """There is no such scope."""


class PublishableKeyWithScope(Rejected):
    """A publishable key is read by everybody, so it can have no scope."""


class KeyNotFound(Rejected):
    """There is no such key."""

    code = "NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, proven by a key."""

    tenant_id: int
    key_id: UUID
    scopes: frozenset[str]
    live: bool
    publishable: bool = False


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key. `secret` is shown now and never again."""

    id: UUID
    secret: str


async def authenticate(database: Database, secret: str) -> Principal | None:
    """Who holds this key; None when it is unknown, expired or revoked.

    The key is found by its hash in an index, so how long the answer takes says nothing about how
    much of a guess was right.
    """
    if not secret.startswith("cf_") or len(secret) > _KEY_LENGTH_MAX:
        return None
    row = await database.find("SELECT * FROM find_api_key($1)", fingerprint(secret))
    if row is None:
        return None
    principal = Principal(
        row["tenant_id"],
        row["key_id"],
        frozenset(row["scopes"]),
        row["live"],
        publishable=row["kind"] == _PUBLISHABLE,
    )
    if row["use_is_news"]:
        await _note_use(database, principal)
    return principal


async def _note_use(database: Database, principal: Principal) -> None:
    """Write when the key was used last: to the minute, so that a busy key costs nothing."""
    async with database.unit_of_work(principal.tenant_id) as tx:
        await tx.execute(
            """UPDATE api_key SET last_used_at = clock_timestamp()
                WHERE tenant_id = $1 AND id = $2
                  AND (last_used_at IS NULL
                       OR last_used_at < clock_timestamp() - INTERVAL '1 minute')""",
            principal.tenant_id,
            principal.key_id,
        )


async def issue(
    tx: Tx,
    tenant_id: int,
    *,
    name: str,
    scopes: Iterable[str],
    actor: str,
    correlation_id: str,
    expires_at: datetime | None = None,
    rotated_from: UUID | None = None,
    publishable: bool = False,
) -> IssuedKey:
    """Make a key. Raises: UnknownScope, PublishableKeyWithScope."""
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise UnknownScope(scopes=unknown)
    if publishable and wanted:
        raise PublishableKeyWithScope(scopes=wanted)
    kind = _PUBLISHABLE if publishable else _SERVER
    live = await tx.fetchval("SELECT live FROM tenant WHERE tenant_id = $1", tenant_id)
    prefix = f"cf_{'pub_' if publishable else ''}{'live' if live else 'test'}_"
    secret = prefix + random_secret()
    key_id = new_id()
    await tx.execute(
        """INSERT INTO api_key
             (tenant_id, id, name, secret_hash, hint, scopes, expires_at, rotated_from, kind)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        tenant_id,
        key_id,
        name,
        fingerprint(secret),
        secret[: len(prefix) + _HINT_CHARACTERS],
        wanted,
        expires_at,
        rotated_from,
        kind,
    )
    await record(
        tx,
        tenant_id,
        actor=actor,
        action="key.issue",
        subject=encode("key", key_id),
        after={"name": name, "kind": kind, "scopes": wanted, "expires_at": expires_at},
        correlation_id=correlation_id,
    )
    return IssuedKey(key_id, secret)


async def rotate(
    tx: Tx, tenant_id: int, key_id: UUID, *, grace: timedelta, actor: str, correlation_id: str
) -> IssuedKey:
    """Replace a key; the old one works for `grace` longer. Raises: KeyNotFound."""
    old = await tx.fetchrow(
        """UPDATE api_key
              SET expires_at = least(expires_at, clock_timestamp() + $3)
            WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL
              AND (expires_at IS NULL OR expires_at > clock_timestamp())
        RETURNING name, scopes, kind""",
        tenant_id,
        key_id,
        grace,
    )
    if old is None:
        raise KeyNotFound(id=encode("key", key_id))
    return await issue(
        tx,
        tenant_id,
        name=old["name"],
        scopes=old["scopes"],
        actor=actor,
        correlation_id=correlation_id,
        rotated_from=key_id,
        publishable=old["kind"] == _PUBLISHABLE,
    )


async def revoke(tx: Tx, tenant_id: int, key_id: UUID, *, actor: str, correlation_id: str) -> None:
    """Refuse a key from now on. Revoking twice changes nothing. Raises: KeyNotFound."""
    revoked_at = await tx.fetchval(
        """UPDATE api_key
              SET revoked_at = coalesce(revoked_at, clock_timestamp())
            WHERE tenant_id = $1 AND id = $2
        RETURNING revoked_at""",
        tenant_id,
        key_id,
    )
    if revoked_at is None:
        raise KeyNotFound(id=encode("key", key_id))
    await record(
        tx,
        tenant_id,
        actor=actor,
        action="key.revoke",
        subject=encode("key", key_id),
        after={"revoked_at": revoked_at},
        correlation_id=correlation_id,
    )
