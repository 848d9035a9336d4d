"""Who sends a request.

A server comes with a key, or a token of the identity provider; a browser with a publishable key,
the client secret of one payment, or the token of a customer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from core.database import Database
from counterfoil.http import foreign_origin
from counterfoil.identity_provider import IdentityProvider
from payments import find_by_client_secret
from schema.endpoint import HttpRequest, OriginNotAllowed, Unauthenticated
from tenants import authenticate, find_customer, is_customer_token, is_jwt, tenants_allowing


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """Who sends a request, as the endpoint and the resolvers see it.

    A server has a key, or is the subject of a token (`jwt:…`), and has scopes; a browser has one
    payment, one customer or a publishable key, and no scope; nobody has nothing. `origin_tenants`
    are those that allow the page it comes from.
    """

    tenant_id: int | None = None
    key_id: UUID | None = None
    subject: str | None = None
    payment_id: UUID | None = None
    scopes: frozenset[str] = frozenset()
    live: bool = False
    cost_max: int | None = None
    publishable: bool = False
    customer_id: str | None = None
    origin_tenants: frozenset[int] | None = None

    @property
    def is_storefront(self) -> bool:
        """Whether it may be used in the browser's view only."""
        return self.publishable or self.customer_id is not None


NOBODY: Final = ApiCaller()


def authenticator(
    database: Callable[[], Database],
    *,
    anonymous: bool,
    identity_provider: Callable[[], IdentityProvider | None] = lambda: None,
) -> Callable[[HttpRequest], Awaitable[ApiCaller]]:
    """Reads `Authorization: Bearer …`; without one the caller is nobody, where that is allowed.

    What is given and not valid is always refused, with one message for every reason. JWTs are
    taken where there is an identity provider.
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
        if found is None or (found.is_storefront and not anonymous):
            raise Unauthenticated
        return found

    async def _by_shape(secret: str) -> ApiCaller | None:
        if is_customer_token(secret):
            return await _by_customer_token(database(), secret)
        if secret.startswith("cf_"):
            return await _by_key(database(), secret)
        if is_jwt(secret):
            return await _by_jwt(identity_provider(), secret)
        return await _by_client_secret(database(), secret)

    return find_caller


def storefront_authenticator(
    database: Callable[[], Database], *, public_url: str
) -> Callable[[HttpRequest], Awaitable[ApiCaller]]:
    """The same for the browser's view, where the page must be one the caller's tenant allows.

    What comes from no page proves itself by its secret alone; a publishable key is no secret.
    """
    find_anybody = authenticator(database, anonymous=True)

    async def find_caller(request: HttpRequest) -> ApiCaller:
        origin = foreign_origin(request.headers, public_url)
        if origin is None:
            caller = await find_anybody(request)
            if caller.publishable:
                raise OriginNotAllowed
            return caller
        allowing = await tenants_allowing(database(), origin)
        if not allowing:
            raise OriginNotAllowed
        caller = await find_anybody(request)
        if caller.tenant_id is not None and caller.tenant_id not in allowing:
            raise OriginNotAllowed
        return replace(caller, origin_tenants=allowing)

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
        publishable=principal.publishable,
    )


async def _by_customer_token(database: Database, secret: str) -> ApiCaller | None:
    found = await find_customer(database, secret)
    if found is None:
        return None
    return ApiCaller(tenant_id=found.tenant_id, customer_id=found.customer_id, live=found.live)


async def _by_jwt(provider: IdentityProvider | None, token: str) -> ApiCaller | None:
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
    found = await find_by_client_secret(database, secret)
    return ApiCaller(tenant_id=found[0], payment_id=found[1]) if found else None
