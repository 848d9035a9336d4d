"""Rules about the text itself, after TigerBeetle's tidy.zig."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psycopg
import pytest

from counterfoil.layout import ROOT, own_packages
from counterfoil.reference import generated

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
CODE_FOLDERS = (*own_packages(), "benchmarks", "examples", "migrations", "tests")
DECISIONS = ROOT / "docs" / "decisions"
# Started by `python -m`, by path, by Alembic or by pytest; nothing imports them.
ENTRY_POINTS = re.compile(r"__main__|benchmarks/bare|migrations/|tests/")


def modules() -> Iterator[Path]:
    for folder in CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def test_no_function_is_longer_than_a_page() -> None:
    too_long = [
        f"{path}:{function.lineno} {function.name} has {lines} lines"
        for path in modules()
        for function in ast.walk(parsed(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert not too_long


def test_no_module_is_longer_than_a_sitting() -> None:
    too_long = [
        f"{path} has {lines} lines"
        for path in modules()
        if (lines := len((ROOT / path).read_text().splitlines())) > MODULE_LINES_MAX
    ]

    assert not too_long


def test_every_module_is_used() -> None:
    paths = [path for path in modules() if not ENTRY_POINTS.search(path.as_posix())]
    imported = {name for path in modules() for name in _imports(path)}
    started = _started_by_name()
    unused = [
        name
        for path in paths
        if (name := _module_name(path)) not in imported and name not in started
    ]

    assert not unused


def test_every_decision_is_indexed() -> None:
    index = (DECISIONS / "README.md").read_text()
    records = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))

    assert records, "there are decisions"
    assert [name for name in records if f"({name})" not in index] == []
    assert [
        name for name in re.findall(r"\((\d{4}-[^)]+\.md)\)", index) if name not in records
    ] == []


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(*made, id=made[0].name) for made in generated()]
)
def test_a_generated_document_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make docs`"


def test_every_table_and_column_is_explained(admin_url: str) -> None:
    with psycopg.connect(admin_url) as connection:
        silent = connection.execute(
            """
            SELECT c.relname, a.attname
              FROM pg_class c
              LEFT JOIN pg_attribute a
                ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = 'public'::regnamespace
               AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               AND (col_description(c.oid, a.attnum) IS NULL
                    OR obj_description(c.oid, 'pg_class') IS NULL)
             ORDER BY 1, a.attnum
            """
        ).fetchall()

    assert [f"{table}.{column}" for table, column in silent] == []


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Every module a file may import: `from a.b import c` may mean a.b or a.b.c."""
    yield from {_module_name(path).rpartition(".")[0]} - {""}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _started_by_name() -> set[str]:
    """Modules that the Makefile or the containers start by `python -m`."""
    files = ("Makefile", "Dockerfile", "docker-compose.yml")
    text = "\n".join((ROOT / name).read_text() for name in files)
    return set(re.findall(r'-m"?,? "?([\w.]+)', text))
