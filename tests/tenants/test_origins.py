import pytest

from core.database import Database
from tenants import (
    BadOrigin,
    OriginNotFound,
    allow_origin,
    disallow_origin,
    is_allowed,
    origin_of_url,
    origins_of,
    tenants_allowing,
)
from tests.conftest import add_tenant

ACT = {"actor": "test", "correlation_id": "cor_test"}
SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (SHOP, SHOP),
        ("HTTPS://Shop.Example", SHOP),
        ("https://shop.example:443", SHOP),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://127.0.0.1:8002", "http://127.0.0.1:8002"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
async def test_an_origin_is_kept_as_a_browser_writes_it(
    database: Database, tenant_id: int, given: str, stored: str
) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        await allow_origin(tx, tenant_id, given, **ACT)

        assert await origins_of(tx, tenant_id) == [stored]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "null",
        "*",
        "shop.example",
        "https://",
        "https://*.shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example?q",
        "https://user@shop.example",
        "https://shop.example:port",
        "https://shop.example\n",
        "https://shop.exämple",
        "http://shop.example",
        "http://localhost.evil.example",
        "ftp://shop.example",
        "https://" + "a" * 300,
    ],
)
async def test_what_is_no_origin_is_refused(database: Database, tenant_id: int, given: str) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        with pytest.raises(BadOrigin):
            await allow_origin(tx, tenant_id, given, **ACT)

        assert await origins_of(tx, tenant_id) == []


async def test_an_origin_is_one_tenants_until_it_is_removed(
    database: Database, tenant_id: int, admin_url: str
) -> None:
    other = add_tenant(admin_url)
    origin = f"https://shop-{tenant_id}.example"

    async with database.unit_of_work(tenant_id) as tx:
        await allow_origin(tx, tenant_id, origin, **ACT)
        await allow_origin(tx, tenant_id, origin, **ACT)
        assert await is_allowed(tx, tenant_id, origin)
    async with database.unit_of_work(other) as tx:
        assert not await is_allowed(tx, tenant_id, origin)
    assert await tenants_allowing(database, origin) == {tenant_id}
    async with database.unit_of_work(tenant_id) as tx:
        await disallow_origin(tx, tenant_id, origin, **ACT)
        with pytest.raises(OriginNotFound):
            await disallow_origin(tx, tenant_id, origin, **ACT)
        told = await tx.fetch(
            "SELECT action FROM audit_log WHERE tenant_id = $1 ORDER BY id", tenant_id
        )

    assert await tenants_allowing(database, origin) == set()
    assert [line["action"] for line in told] == ["origin.allow", "origin.disallow"]


@pytest.mark.parametrize("asked", ["null", "", "x" * 10_000, "https://a\x00b", "https://\ud800"])
async def test_nobody_allows_what_is_no_origin(database: Database, asked: str) -> None:
    assert await tenants_allowing(database, asked) == set()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://shop.example", SHOP),
        ("https://shop.example/thanks?order=7#top", SHOP),
        ("https://SHOP.example:443?x", SHOP),
        ("http://127.0.0.1:8002/back", "http://127.0.0.1:8002"),
        ("https://shop.example@evil.example/", None),
        ("https://shop.example:pw@evil.example/", None),
        ("https://evil.example\\@shop.example/", None),
        ("https://shop.example\\.evil.example/", None),
        ("https://shop.example%2eevil.example/", None),
        ("javascript:alert(1)//https://shop.example", None),
        ("//shop.example/", None),
    ],
)
def test_the_origin_of_a_url_is_the_one_a_browser_would_go_to(url: str, origin: str | None) -> None:
    assert origin_of_url(url) == origin
