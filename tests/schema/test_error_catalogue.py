"""Every code in the code is in the catalogue, every one in the catalogue is in the code."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
from starlette.applications import Starlette

from core.errors import CounterfoilError, Unavailable
from counterfoil.errors_page import _BESIDE, errors_routes
from resolvers.problems import TRANSLATIONS
from schema.endpoint import RateLimited
from schema.enums import ErrorCode
from schema.error_catalogue import CATALOGUE, Place, docs_of
from tests.endpoint.sample import Client
from webhooks import receiver
from webhooks.receiver import Answer

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "core counterfoil events gateways ledger payments resolvers schema tenants webhooks".split()
)
_CODE = re.compile(r"[A-Z][A-Z0-9_]{3,}")
_TELLS = {"HttpProblem", "because", "Refusal", "of", "_refuse", "refuse", "FieldProblem"} | {
    "_given",
    "_problem",
    "describe",
}


def codes_of(path: Path) -> set[str]:
    """Codes a module gives its errors: attributes of classes, arguments, members of extensions."""
    return {
        code
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for code in _values(node)
        if isinstance(code, str) and _CODE.fullmatch(code)
    }


def _values(node: ast.AST) -> Iterator[object]:
    match node:
        case ast.Assign(targets=[ast.Name("code")], value=ast.Constant(code)):
            yield code
        case ast.AnnAssign(target=ast.Name("code"), value=ast.Constant(code)):
            yield code
        case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name), args=args) if name in _TELLS:
            yield from (each.value for each in args if isinstance(each, ast.Constant))
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    yield getattr(value, "value", None)
        case _:
            return


def in_the_code() -> set[str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return set().union(*map(codes_of, files), ErrorCode.__members__)


def test_the_catalogue_has_every_code_and_no_other() -> None:
    listed = [entry.code for entry in CATALOGUE]

    assert len(listed) == len(set(listed)), "each once"
    assert sorted(in_the_code() - set(listed)) == []
    assert sorted(set(listed) - in_the_code()) == []


def test_a_code_that_is_only_in_the_code_would_be_found(tmp_path: Path) -> None:
    module = tmp_path / "new.py"
    module.write_text(
        'class New(Rejected):\n    code = "BRAND_NEW"\n\n'
        'def f():\n    raise HttpProblem(400, "ALSO_NEW", "…")\n'
        'x = {"code": "NEW_TOO"}\n'
    )

    assert codes_of(module) == {"BRAND_NEW", "ALSO_NEW", "NEW_TOO"}


def test_members_of_results_are_those_of_the_schema() -> None:
    listed = {entry.code for entry in CATALOGUE if entry.place is Place.RESULT}

    assert listed == set(ErrorCode.__members__)


def test_what_is_retryable_is_so_in_the_code_as_well() -> None:
    listed = {entry.code: entry for entry in CATALOGUE}

    for error, (_, code, _) in TRANSLATIONS.items():
        assert listed[code].retryable == error.retryable, code
    for unavailable in _below(Unavailable):
        entry = listed[unavailable.code]
        if entry.place is Place.REQUEST:
            status = 429 if unavailable is RateLimited else 503
            assert (entry.retryable, entry.status) == (True, status), unavailable.code


def _below(error: type[CounterfoilError]) -> Iterator[type[CounterfoilError]]:
    for each in error.__subclasses__():
        yield each
        yield from _below(each)


async def test_an_answer_links_to_its_explanation() -> None:
    answer = await Client().query("{ nothing }")

    extensions = answer.json()["errors"][0]["extensions"]
    assert extensions["docs"] == docs_of(extensions["code"]) == "/errors#GRAPHQL_VALIDATION_FAILED"


class _Page(HTMLParser):
    """Ids of a page, and what might load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids.extend(value for name, value in attrs if name == "id" and value)


async def test_the_page_has_a_place_for_each_code() -> None:
    transport = httpx.ASGITransport(Starlette(routes=errors_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/errors")
        posted = await client.post("/errors")

    page = _Page(answer.text)
    assert page.ids == [entry.code for entry in CATALOGUE]
    assert not page.tags & {"script", "img", "iframe", "form"}
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; style-src 'sha256-" in answer.headers["content-security-policy"]
    assert posted.status_code == 405


def test_what_a_provider_is_answered_is_listed() -> None:
    answers = {value.status for value in vars(receiver).values() if isinstance(value, Answer)}

    listed = {int(status) for status, *_ in _BESIDE}

    assert answers | {408, 413} == listed  # the last two before the receiver is asked


def test_each_entry_says_what_it_means_and_what_to_do() -> None:
    for entry in CATALOGUE:
        for sentence in (entry.meaning, entry.remedy):
            assert sentence[-1] in ".?", entry.code
            assert sentence[0].isupper() or sentence[0] == "`", entry.code
