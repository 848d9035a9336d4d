"""Tokens lead to tenants: by the settings, with keys by URL, looked up once a minute."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import respx

from core.database import Database
from counterfoil.identity_provider import IdentityProvider, open_identity_provider
from counterfoil.settings import Settings
from tests.tenants.signing import AUDIENCE, ISSUER, Signer, good_claims, key_set

URL = f"{ISSUER}/keys"
SIGNER = Signer.new("key-1")


@pytest.fixture
def settings() -> Settings:
    return Settings.read(
        {
            "COUNTERFOIL_OIDC_ISSUER": ISSUER,
            "COUNTERFOIL_OIDC_AUDIENCE": AUDIENCE,
            "COUNTERFOIL_OIDC_JWKS_URL": URL,
        }
    )


@pytest.fixture(autouse=True)
def issuer() -> Iterator[respx.Route]:
    with respx.mock(assert_all_called=False) as router:
        yield router.get(URL).respond(content=key_set(SIGNER.published()))


@pytest.fixture
def name(tenant_id: int, admin_url: str) -> str:
    with psycopg.connect(admin_url) as admin:
        row = admin.execute("SELECT name FROM tenant WHERE tenant_id = %s", [tenant_id]).fetchone()
    assert row is not None
    return str(row[0])


async def tenant_of(provider: IdentityProvider | None, name: str, **changes: Any) -> int | None:
    assert provider is not None
    claims = good_claims(time.time(), tenant=name, **changes)
    found = await provider.identify(SIGNER.sign(claims))
    return found.tenant.id if found else None


async def test_without_settings_there_is_none(database: Database) -> None:
    async with open_identity_provider(Settings.read({}), database) as provider:
        assert provider is None


async def test_a_token_leads_to_the_tenant_it_names(
    database: Database, settings: Settings, tenant_id: int, name: str, issuer: respx.Route
) -> None:
    async with open_identity_provider(settings, database) as provider:
        assert await tenant_of(provider, name) == tenant_id
        assert await tenant_of(provider, name, aud="other") is None

    assert issuer.call_count == 1


async def test_a_tenant_that_is_not_there_is_looked_for_again(
    database: Database, settings: Settings, tenant_id: int, name: str, admin_url: str
) -> None:
    async with open_identity_provider(settings, database) as provider:
        assert await tenant_of(provider, "later") is None
        with psycopg.connect(admin_url) as admin:
            rename = "UPDATE tenant SET name = 'later' WHERE tenant_id = %s"
            admin.execute(rename, [tenant_id])

        assert await tenant_of(provider, "later") == tenant_id
        assert await tenant_of(provider, name) is None


async def test_a_tenant_that_was_found_is_remembered_for_a_while(
    database: Database, settings: Settings, tenant_id: int, name: str
) -> None:
    async with open_identity_provider(settings, database) as provider:
        assert await tenant_of(provider, name) == tenant_id
        await database.close()  # it is not asked

        assert await tenant_of(provider, name) == tenant_id
