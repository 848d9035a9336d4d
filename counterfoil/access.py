"""Who sends a request: a server by a key or a JWT, a browser by the client secret of a payment."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from core.crypto import fingerprint
from core.database import Database
from counterfoil.identity_provider import IdentityProvider
from schema.endpoint import HttpRequest, Unauthenticated
from tenants import authenticate, is_token

_CLIENT_SECRET_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """Who sends a request, as the endpoint and the resolvers see it.

    A server has a key, or is the subject of a token (`jwt:…`), and has scopes; a browser has one
    payment and no scope; nobody has nothing.
    """

    tenant_id: int | None = None
    key_id: UUID | None = None
    subject: str | None = None
    payment_id: UUID | None = None
    scopes: frozenset[str] = frozenset()
    live: bool = False
    cost_max: int | None = None


NOBODY: Final = ApiCaller()


def authenticator(
    database: Callable[[], Database],
    *,
    anonymous: bool,
    tokens: Callable[[], IdentityProvider | None] = lambda: None,
) -> Callable[[HttpRequest], Awaitable[ApiCaller]]:
    """Reads `Authorization: Bearer …`; without one the caller is nobody, where that is allowed.

    What is given and not valid is always refused, with one message for every reason. JWTs are
    taken where `tokens` knows an identity provider.
    """

    async def find_caller(request: HttpRequest) -> ApiCaller:
        header = request.headers.get("authorization")
        if header is None:
            if anonymous:
                return NOBODY
            raise Unauthenticated
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated
        found = await _by_shape(secret)
        if found is None:
            raise Unauthenticated
        return found

    async def _by_shape(secret: str) -> ApiCaller | None:
        if secret.startswith("cf_"):
            return await _by_key(database(), secret)
        if is_token(secret):
            return await _by_token(tokens(), secret)
        return await _by_client_secret(database(), secret)

    return find_caller


async def _by_key(database: Database, secret: str) -> ApiCaller | None:
    principal = await authenticate(database, secret)
    if principal is None:
        return None
    return ApiCaller(
        tenant_id=principal.tenant_id,
        key_id=principal.key_id,
        scopes=principal.scopes,
        live=principal.live,
    )


async def _by_token(provider: IdentityProvider | None, token: str) -> ApiCaller | None:
    known = await provider.identify(token) if provider else None
    if known is None:
        return None
    return ApiCaller(
        tenant_id=known.tenant.id,
        subject=known.bearer.name,
        scopes=known.bearer.scopes,
        live=known.tenant.live,
    )


async def _by_client_secret(database: Database, secret: str) -> ApiCaller | None:
    if len(secret) > _CLIENT_SECRET_LENGTH_MAX:
        return None
    async with database.unit_of_work(None) as tx:
        row = await tx.fetchrow("SELECT * FROM find_client_secret($1)", fingerprint(secret))
    if row is None:
        return None
    return ApiCaller(tenant_id=row["tenant_id"], payment_id=row["payment_id"])
