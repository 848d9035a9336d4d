"""The example shop: built once per version of it, its server, and a browser for its visitors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from counterfoil.graphiql_build import BuildFailed
from examples.storefront.run import ROOT, build
from tests.api.gateway import Gateway, Shop, a_gateway
from tests.chromium import CHROMIUM, FLAGS
from tests.conftest import ServerAddresses
from tests.examples.storefront import Storefront, a_storefront, an_origin
from tests.examples.visitor import Visitor


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    server_addresses: ServerAddresses,
    clone_database: Callable[[], str],
) -> Iterator[Gateway]:
    """One for all of these tests: they keep apart by placing orders of their own."""
    database, folder = clone_database(), tmp_path_factory.mktemp("gateway")
    app_url, admin_url = (server_addresses.of(role, database) for role in ("app", "admin"))
    with a_gateway(folder, app_url, admin_url) as running:
        yield running


@pytest.fixture(scope="session")
def tenant(gateway: Gateway) -> Shop:
    """Whose storefront it is; the provider calls back."""
    return gateway.shop()


@pytest.fixture(scope="session")
def built() -> None:
    """Types generated, checked by the compiler, and bundled: as `make shop` does it."""
    try:
        asyncio.run(build(ROOT / ".data"))
    except BuildFailed as failure:
        pytest.fail(f"{failure.reason}\n{failure.output}")


@pytest.fixture(scope="session")
def storefront(
    built: None, tenant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storefront]:
    """The shop, on an origin that its tenant allows."""
    origin = tenant.allow(an_origin())
    with a_storefront(tenant, tmp_path_factory.mktemp("shop"), origin) as running:
        yield running


@pytest.fixture(scope="session")
def stranger(
    built: None, tenant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storefront]:
    """The same program and key, on an origin that nobody allows."""
    with a_storefront(tenant, tmp_path_factory.mktemp("stranger"), an_origin()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(storefront: Storefront) -> AsyncIterator[Browser]:
    """One for all visitors: each gets a window that shares nothing with the others."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(storefront: Storefront, browser: Browser) -> AsyncIterator[Visitor]:
    """Somebody new, whose browser has nothing to complain about."""
    window = await browser.new_context(reduced_motion="reduce")
    newcomer = Visitor(await window.new_page(), storefront)
    yield newcomer
    await window.close()
    assert newcomer.complaints == []
