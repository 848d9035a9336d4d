"""A gateway as `make serve` starts it, with a data folder and ports of its own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.gateway import serving
from tests.docs.blocks import ROOT, Reader
from tests.loopback import TRUSTS_NOBODY
from tests.ports import free_port


@pytest.fixture
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A newcomer whose gateway has just started and is empty."""
    folder: Path = tmp_path_factory.mktemp("newcomer")
    port, simulator_port = free_port(), free_port()
    data, base = folder / "data", f"http://127.0.0.1:{port}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COUNTERFOIL_") and name != "DATABASE_URL"
    } | {
        "COUNTERFOIL_DATA_DIR": str(data),
        "COUNTERFOIL_PORT": str(port),
        "COUNTERFOIL_SIMULATOR_PORT": str(simulator_port),
        "COUNTERFOIL_DEMO": "on",
        "COUNTERFOIL_GRAPHIQL": "off",
        "COUNTERFOIL_LOG_LEVEL": "warning",
        "NO_PROXY": "127.0.0.1",
    }
    here = {
        "http://127.0.0.1:8000": base,
        "http://127.0.0.1:8001": f"http://127.0.0.1:{simulator_port}",
        ".data/": f"{data}/",
        "my-shop.key": str(folder / "my-shop.key"),
        ".venv/bin/python": shutil.which("python", path=str(ROOT / ".venv" / "bin")) or "python",
    }
    with serving(environment, folder / "gateway.log", base):
        # Webhooks a little late, as in life: else one may come before the answer it is about.
        httpx.post(
            f"http://127.0.0.1:{simulator_port}/_webhooks",
            json={"delay_ms": [3000, 3000]},
            trust_env=False,
            verify=TRUSTS_NOBODY,
        ).raise_for_status()
        key = (data / "demo-key").read_text("ascii").strip()
        with Reader(base, key, here, environment) as newcomer:
            yield newcomer
