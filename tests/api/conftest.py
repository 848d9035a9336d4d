"""One gateway for each module of these tests, on a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import inputs
from tests.api.gateway import Gateway, Json, Shop, a_gateway, a_key


@pytest.fixture(scope="module")
def gateway(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    database_url: str,
    admin_url: str,
) -> Iterator[Gateway]:
    """A running gateway, with the module's `SETTINGS`. Tests keep apart by opening a shop each."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    settings = getattr(request.module, "SETTINGS", {})
    with a_gateway(folder, database_url, admin_url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def shop(gateway: Gateway) -> Shop:
    """One shop for the module: nothing here may change it."""
    opened = gateway.shop(webhooks=False)
    opened.pay()  # opens the accounts of the chart that inputs name
    return opened


@pytest.fixture(scope="module")
def right(shop: Shop) -> dict[str, Json]:
    """An input of each mutation that would be carried out."""
    made = {
        mutation: {"idempotencyKey": a_key(), **make(shop)}
        for mutation, make in inputs.RIGHT.items()
    }
    shop.gateway.settle()
    return made
