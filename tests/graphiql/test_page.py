"""The routes: states of the page, files, headers, and who is told the demo key."""

import gzip
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

from counterfoil.graphiql import CONTENT_SECURITY_POLICY, Graphiql
from counterfoil.graphiql_build import Failed, source_key

KEY = "cf_test_demo"
SCRIPT = "export const answer = 42;\n" * 100


def a_page(folder: Path, *, built: bool = True, enabled: bool = True) -> Graphiql:
    sources = folder / "graphiql"
    sources.mkdir()
    (sources / "index.html").write_text("source")
    if built:
        directory = folder / "data" / "graphiql" / source_key(sources)
        (directory / "assets").mkdir(parents=True)
        (directory / "index.html").write_text("<!doctype html>the page")
        (directory / "assets" / "index-abc.js").write_text(SCRIPT)
        packed = gzip.compress(SCRIPT.encode(), mtime=0)
        (directory / "assets" / "index-abc.js.gz").write_bytes(packed)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "demo-key").write_text(KEY)
    return Graphiql(
        data_dir=folder / "data", sources=sources, demo_key=lambda: KEY, enabled=enabled
    )


def a_browser(
    page: Graphiql, *, address: str = "127.0.0.1", host: str = "127.0.0.1:8000"
) -> httpx.AsyncClient:
    app = Starlette(routes=page.routes())
    transport = httpx.ASGITransport(app=app, client=(address, 4000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


async def test_the_page_is_served_with_the_strict_policy(tmp_path: Path) -> None:
    async with a_browser(a_page(tmp_path)) as browser:
        answer = await browser.get("/graphiql")

    assert (answer.status_code, answer.text) == (200, "<!doctype html>the page")
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_asset_is_compressed_typed_and_kept_for_ever(tmp_path: Path) -> None:
    async with a_browser(a_page(tmp_path)) as browser:
        packed = await browser.get("/graphiql/assets/index-abc.js")
        plain = await browser.get(
            "/graphiql/assets/index-abc.js", headers={"Accept-Encoding": "identity"}
        )
        again = await browser.get(
            "/graphiql/assets/index-abc.js", headers={"If-None-Match": packed.headers["etag"]}
        )

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text == SCRIPT
    assert "content-encoding" not in plain.headers
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "../demo-key",
        "assets/../../demo-key",
        "..%2f..%2fdemo-key",
        "assets/%2e%2e/%2e%2e/%2e%2e/demo-key",
        "%2fetc/passwd",
        "//etc/passwd",
        "assets/..\\..\\demo-key",
        "assets/%00",
        "assets",
    ],
)
async def test_nothing_outside_the_build_is_served(tmp_path: Path, path: str) -> None:
    async with a_browser(a_page(tmp_path)) as browser:
        url = httpx.URL(browser.base_url, raw_path=f"/graphiql/{path}".encode())
        answer = await browser.get(url)

    assert answer.status_code == 404
    assert KEY not in answer.text


async def test_while_it_is_built_the_page_says_so_and_reloads_itself(tmp_path: Path) -> None:
    async with a_browser(a_page(tmp_path, built=False)) as browser:
        answer = await browser.get("/graphiql")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert '<meta http-equiv="refresh" content="2">' in answer.text
    assert "being built" in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", True), ("192.0.2.7", False)])
async def test_a_failed_build_says_what_to_do_and_its_output_stays_here(
    tmp_path: Path, address: str, *, shown: bool
) -> None:
    page = a_page(tmp_path, built=False)
    assert page._build is not None
    page._build.state = Failed("npm ci ended.", "Check the network.", "<b>ENOTFOUND</b>", 0.0)

    async with a_browser(page, address=address) as browser:
        answer = await browser.get("/graphiql")

    assert answer.status_code == 503
    assert "Check the network." in answer.text
    assert "<b>" not in answer.text
    assert ("&lt;b&gt;ENOTFOUND" in answer.text) is shown


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost", "[::1]:8000"])
async def test_a_browser_on_this_machine_is_given_the_demo_key(tmp_path: Path, host: str) -> None:
    async with a_browser(a_page(tmp_path), host=host) as browser:
        answer = await browser.get("/graphql/config.json")

    assert answer.json() == {"endpoint": "/graphql", "demoKey": KEY}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.7", {}),
        ("127.0.0.1", {"Host": "rebound.example:8000"}),
        ("127.0.0.1", {"Host": "127.0.0.1.rebound.example"}),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}),
        ("127.0.0.1", {"Sec-Fetch-Site": "cross-site"}),
        ("127.0.0.1", {"Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_nobody_else_is_given_the_demo_key(
    tmp_path: Path, address: str, headers: dict[str, str]
) -> None:
    async with a_browser(a_page(tmp_path), address=address) as browser:
        answer = await browser.get("/graphql/config.json", headers=headers)

    assert answer.json() == {"endpoint": "/graphql", "demoKey": None}


async def test_when_it_is_off_there_is_no_page_and_no_key(tmp_path: Path) -> None:
    page = a_page(tmp_path, enabled=False)

    async with page.building(), a_browser(page) as browser:
        statuses = [
            (await browser.get(path)).status_code
            for path in ("/graphiql", "/graphiql/assets/index-abc.js", "/graphql/config.json")
        ]

    assert statuses == [404, 404, 404]


async def test_a_browser_at_the_endpoint_is_sent_to_the_page_and_a_client_is_not(
    tmp_path: Path,
) -> None:
    endpoint = a_page(tmp_path).for_browsers(PlainTextResponse("endpoint"))
    transport = httpx.ASGITransport(app=endpoint)

    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        person = await client.get("/graphql", headers={"Accept": "text/html,*/*;q=0.8"})
        program = await client.get("/graphql", headers={"Accept": "application/json"})
        query = await client.get("/graphql?query={a}", headers={"Accept": "text/html"})

    assert (person.status_code, person.headers["location"]) == (307, "/graphiql")
    assert (program.text, query.text) == ("endpoint", "endpoint")
