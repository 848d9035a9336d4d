"""JWTs as credentials: the issuer of the settings, its keys, and the tenants its tokens name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from core.clock import Clock, SystemClock
from core.database import Database
from counterfoil.published_keys import PublishedKeys
from counterfoil.settings import Settings
from gateways.wire import make_client
from tenants import (
    Bearer,
    Issuer,
    TenantNotFound,
    VerificationKey,
    find_tenant,
    is_live,
    read_key_set,
    verify_token,
)
from tenants.tokens import FindKey

TENANT_SECONDS: Final = 60.0
"""How long a tenant that was found is not looked up again."""

log = structlog.get_logger("counterfoil.identity_provider")


@dataclass(frozen=True, slots=True)
class KnownTenant:
    """A tenant that tokens named. `live`: real money moves."""

    id: int
    live: bool
    found_at: float


@dataclass(frozen=True, slots=True)
class Identified:
    """Who holds a good token, and whose rows it opens."""

    bearer: Bearer
    tenant: KnownTenant


@dataclass(slots=True)
class IdentityProvider:
    """Tells who holds a token."""

    issuer: Issuer
    find_key: FindKey
    database: Database
    clock: Clock
    _tenants: dict[str, KnownTenant] = field(default_factory=dict, init=False)
    """By name. Only tenants that exist are kept, so it cannot grow beyond them."""

    async def identify(self, token: str) -> Identified | None:
        """None if the token is no good. Raises: Unavailable."""
        bearer = await verify_token(token, self.issuer, self.find_key, self.clock.now())
        if bearer is None:
            return None
        try:
            return Identified(bearer, await self._tenant(bearer.tenant))
        except TenantNotFound:
            return None

    async def _tenant(self, name: str) -> KnownTenant:
        """Raises: TenantNotFound."""
        now = self.clock.monotonic()
        known = self._tenants.get(name)
        if known is None or now - known.found_at > TENANT_SECONDS:
            tenant_id = await find_tenant(self.database, name)
            live = await is_live(self.database, tenant_id)
            known = self._tenants[name] = KnownTenant(tenant_id, live, now)
        return known


@asynccontextmanager
async def open_identity_provider(
    settings: Settings, database: Database
) -> AsyncIterator[IdentityProvider | None]:
    """The one of the settings; None if there is none."""
    if not settings.oidc_issuer:
        yield None
        return
    clock = SystemClock()
    issuer = Issuer(settings.oidc_issuer, settings.oidc_audience)
    if settings.oidc_jwks_file is not None:
        yield IdentityProvider(issuer, _fixed_keys(settings.oidc_jwks_file), database, clock)
        return
    async with make_client(connections_max=4) as client:
        published = PublishedKeys(settings.oidc_jwks_url, client, clock)
        yield IdentityProvider(issuer, published.find, database, clock)


def _fixed_keys(path: Path) -> FindKey:
    """The keys of a file the settings have checked."""
    found = read_key_set(path.read_bytes())
    log.info("oidc_keys_read", keys=len(found.keys), left_out=list(found.left_out))

    async def find(key_id: str) -> VerificationKey | None:
        return found.keys.get(key_id)

    return find
