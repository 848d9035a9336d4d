"""The way back from a provider's page: through us, so that the shop shows what is so by then.

    provider's page ──▶ /return/{token} ──▶ the shop's returnUrl
                        asks the provider, as paymentSync does

The token is derived like a client secret and opens nothing but this door. What a provider adds to
the URL proves nothing and is not read.
"""

import hmac
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from core.crypto import Vault
from core.database import Tx
from core.identifiers import MalformedId, decode, encode
from payments.methods import client_secret, find_by_client_secret
from payments.model import Payment
from payments.services import PaymentServices
from tenants import is_allowed, origin_of_url

_INFIX: Final = "_return_"
_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where a shopper goes on to; without `url` they stay with us. `status` is the payment's."""

    payment_id: UUID
    status: str
    url: str | None


def return_token(vault: Vault, payment_id: UUID) -> str:
    """What proves to us that a shopper comes from the page we sent them to."""
    public_id = encode("pay", payment_id)
    return f"{public_id}{_INFIX}{vault.proof(f'return:{public_id}')}"


async def return_url_of(
    tx: Tx, services: PaymentServices, tenant_id: int, payment: Payment
) -> str | None:
    """What the provider is told: our door, for a page of the shop; else what the server said.

    We send shoppers on to allowed origins only, so the others are the provider's to send.
    """
    if not await _is_of_the_shop(tx, tenant_id, payment.return_url):
        return payment.return_url
    return f"{services.public_url}/return/{return_token(services.vault, payment.id)}"


async def _is_of_the_shop(tx: Tx, tenant_id: int, url: str | None) -> bool:
    origin = origin_of_url(url or "")
    return origin is not None and await is_allowed(tx, tenant_id, origin)


async def open_return(services: PaymentServices, token: str) -> tuple[int, UUID] | None:
    """Tenant and payment behind a token; None for what we never made."""
    payment_id = _payment_named(services.vault, token)
    if payment_id is None:
        return None
    return await find_by_client_secret(services.database, client_secret(services.vault, payment_id))


def _payment_named(vault: Vault, token: str) -> UUID | None:
    if len(token) > _LENGTH_MAX:
        return None
    try:
        payment_id = decode("pay", token.partition(_INFIX)[0])
    except MalformedId:
        return None
    proof = return_token(vault, payment_id).encode()
    return payment_id if hmac.compare_digest(token.encode(), proof) else None


async def count_attempts(services: PaymentServices, tenant_id: int, payment_id: UUID) -> int:
    """Which try of the payment a shopper comes back from: the first is 1."""
    async with services.database.unit_of_work(tenant_id) as tx:
        count: int = await tx.fetchval(
            "SELECT attempt_count FROM payment WHERE tenant_id = $1 AND id = $2",
            tenant_id,
            payment_id,
        )
    return count


async def way_back(services: PaymentServices, tenant_id: int, payment_id: UUID) -> WayBack:
    """Where the shopper goes on to, as things are now: an origin may have been removed."""
    async with services.database.unit_of_work(tenant_id) as tx:
        row = await tx.fetchrow(
            "SELECT status, return_url FROM payment WHERE tenant_id = $1 AND id = $2",
            tenant_id,
            payment_id,
        )
        assert row is not None, "payments are never deleted"
        url = row["return_url"]
        allowed = await _is_of_the_shop(tx, tenant_id, url)
    return WayBack(payment_id, row["status"], url if allowed else None)
