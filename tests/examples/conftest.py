"""The example shop: built once per version of it, its server, and a browser for its visitors."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from counterfoil.graphiql_build import find_node
from examples.storefront.run import ROOT, SERVER, build, server_environment
from tests.api.gateway import Gateway, Shop, a_gateway, free_port
from tests.examples.visitor import CHROMIUM, FLAGS, Storefront, Visitor


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, admin_url: str
) -> Iterator[Gateway]:
    with a_gateway(tmp_path_factory.mktemp("gateway"), database_url, admin_url) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(gateway: Gateway) -> Shop:
    """Whose storefront it is; the provider calls back."""
    return gateway.shop()


@pytest.fixture(scope="session")
def built() -> None:
    """Types generated, checked by the compiler, and bundled: as `make shop` does it."""
    asyncio.run(build(ROOT / ".data"))


@pytest.fixture(scope="module")
def storefront(
    built: None, tenant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storefront]:
    """The shop, on an origin that its tenant allows."""
    yield from open_storefront(tenant, tmp_path_factory.mktemp("shop"), allowed=True)


@pytest.fixture(scope="module")
def stranger(
    built: None, tenant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storefront]:
    """The same program and key, on an origin that nobody allows."""
    yield from open_storefront(tenant, tmp_path_factory.mktemp("stranger"), allowed=False)


def open_storefront(tenant: Shop, folder: Path, *, allowed: bool) -> Iterator[Storefront]:
    origin = f"http://127.0.0.1:{free_port()}"
    if allowed:
        tenant.allow(origin)
    settings = {
        "SHOP_ORIGIN": origin,
        "SHOP_SERVER_KEY": tenant.key,
        "COUNTERFOIL_URL": tenant.gateway.base,
    }
    node, _ = find_node()
    log = folder / "shop.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [node, "--enable-source-maps", SERVER],
            env=server_environment(settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        greeting = [process.stdout.readline() for _ in range(2)]
        assert origin in greeting[1], log.read_text()
        yield Storefront(origin, tenant, log)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


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
    window = await browser.new_context()
    newcomer = Visitor(await window.new_page(), storefront)
    yield newcomer
    await window.close()
    assert newcomer.complaints == []
