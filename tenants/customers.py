"""Customer tokens: what a shop's server hands to the browser of a customer who is logged in.

Random, kept as a hash, valid by the database's clock. Each new one takes expired ones away, more of
them than it adds, so that the table stays as small as what is valid.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.crypto import fingerprint, random_secret
from core.database import Database, Tx
from core.identifiers import new_id

_PREFIX: Final = "cf_cus_"
CUSTOMER_TOKEN_SECONDS: Final = range(60, 3601)
"""How long a token may be valid."""
_LENGTH_MAX: Final = 200
_PURGED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class CustomerToken:
    """A new token, shown now and never again."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a token names."""

    tenant_id: int
    customer_id: str
    live: bool


def is_customer_token(secret: str) -> bool:
    """Whether this is meant to be one."""
    return secret.startswith(_PREFIX)


async def issue_customer_token(
    tx: Tx, tenant_id: int, customer_id: str, *, seconds: int, actor: str
) -> CustomerToken:
    """Make a token for one customer of the shop."""
    assert seconds in CUSTOMER_TOKEN_SECONDS
    await _purge(tx, tenant_id)
    token = f"{_PREFIX}{random_secret()}"
    expires_at = await tx.fetchval(
        """INSERT INTO customer_token
             (tenant_id, id, customer_id, secret_hash, created_by, expires_at)
           VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))
        RETURNING expires_at""",
        tenant_id,
        new_id(),
        customer_id,
        fingerprint(token),
        actor,
        seconds,
    )
    return CustomerToken(token, expires_at)


async def _purge(tx: Tx, tenant_id: int) -> None:
    """Delete expired tokens; those another unit of work is deleting are left to it."""
    await tx.execute(
        """DELETE FROM customer_token AS c
            USING (SELECT id FROM customer_token
                    WHERE tenant_id = $1 AND expires_at <= clock_timestamp()
                    ORDER BY expires_at
                    LIMIT $2
                      FOR UPDATE SKIP LOCKED) AS expired
            WHERE c.tenant_id = $1 AND c.id = expired.id""",
        tenant_id,
        _PURGED_MAX,
    )


async def find_customer(database: Database, token: str) -> Customer | None:
    """Whom a token names; None when it is unknown or expired."""
    if not is_customer_token(token) or len(token) > _LENGTH_MAX:
        return None
    row = await database.find("SELECT * FROM find_customer_token($1)", fingerprint(token))
    return Customer(row["tenant_id"], row["customer_id"], row["live"]) if row else None
