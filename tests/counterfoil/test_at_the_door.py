"""What is decided before a process serves: whose word on addresses counts, which operations run."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from counterfoil.serving import uvicorn_config
from counterfoil.settings import Settings
from schema.endpoint import BadPersistedOperation

DATABASE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}


async def address_seen(settings: Settings, client: str, forwarded: str) -> str:
    """The client as our access log has it, for a request with X-Forwarded-For."""
    config = uvicorn_config(settings, with_worker=False)
    config.load()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/livez",
        "query_string": b"",
        "headers": [(b"x-forwarded-for", forwarded.encode())],
        "client": (client, 1234),
        "server": ("127.0.0.1", 8000),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(_message: Any) -> None:
        return

    with capture_logs() as lines:
        await config.loaded_app(scope, receive, send)
    (line,) = [line for line in lines if line["event"] == "request"]
    return str(line["client"])


@pytest.mark.parametrize(
    ("trusted", "client", "forwarded", "seen"),
    [
        ("", "127.0.0.1", "192.0.2.1", "127.0.0.1"),
        ("10.0.0.0/8", "10.1.2.3", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.0/8", "198.51.100.1", "192.0.2.1", "198.51.100.1"),
        ("10.0.0.0/8, 203.0.113.7", "203.0.113.7", "1.2.3.4, 192.0.2.1, 10.9.9.9", "192.0.2.1"),
    ],
    ids=["nobody is trusted", "the proxy", "a stranger", "what a client made up before"],
)
async def test_only_our_own_proxies_say_where_a_request_comes_from(
    trusted: str, client: str, forwarded: str, seen: str
) -> None:
    settings = Settings.read({**DATABASE, "COUNTERFOIL_TRUSTED_PROXIES": trusted})

    assert await address_seen(settings, client, forwarded) == seen


@pytest.mark.parametrize("view", ["", "STOREFRONT_"])
def test_a_bad_operation_stops_the_start(tmp_path: Path, view: str) -> None:
    file = tmp_path / "operations.json"
    file.write_text('{"good": "{ __typename }", "bad": "{ nope }"}')
    named = {f"COUNTERFOIL_{view}PERSISTED_OPERATIONS_FILE": str(file)}

    with pytest.raises(BadPersistedOperation, match="bad"):
        uvicorn_config(Settings.read({**DATABASE, **named}), with_worker=False)


def test_each_view_has_operations_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "operations.json"
    file.write_text('{"servers": "{ viewer { tenantId } }"}')
    of_servers = {"COUNTERFOIL_PERSISTED_OPERATIONS_FILE": str(file)}
    of_pages = {"COUNTERFOIL_STOREFRONT_PERSISTED_OPERATIONS_FILE": str(file)}

    uvicorn_config(Settings.read({**DATABASE, **of_servers}), with_worker=False)
    with pytest.raises(BadPersistedOperation, match="viewer"):
        uvicorn_config(Settings.read({**DATABASE, **of_pages}), with_worker=False)
