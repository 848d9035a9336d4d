"""What the documents say exists: operations, commands, files."""

import re
from functools import cache
from pathlib import Path

import pytest
from graphql import GraphQLSchema, parse, validate

from schema.build import build
from tests.counterfoil.command_line import run
from tests.docs.blocks import ROOT, Block, blocks_of, documents

BLOCKS = [block for path in documents() for block in blocks_of(path)]
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)[^)]*\)")
_COMMAND = re.compile(r"python -m counterfoil ((?:[a-z-]+ ?)+)")
_OPTION = re.compile(r" (--[a-z-]+)")


@cache
def _schema() -> GraphQLSchema:
    found: GraphQLSchema = build()[0]._schema
    return found


@pytest.mark.parametrize(
    "block",
    [pytest.param(one, id=one.label) for one in BLOCKS if one.language == "graphql"],
)
def test_every_operation_in_the_documents_is_valid(block: Block) -> None:
    document = parse(block.text.replace("…", "x"))

    assert validate(_schema(), document) == []


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in documents()]
)
def test_every_link_leads_somewhere(path: Path) -> None:
    targets = _LINK.findall(path.read_text(encoding="utf-8"))

    assert [target for target in targets if not (path.parent / target).exists()] == []


@cache
def _help(*command: str) -> str:
    done = run(*command, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _commands_written() -> set[tuple[str, ...]]:
    """The longest beginning of words that is a command or a group with its command."""
    texts = [path.read_text(encoding="utf-8") for path in documents()]
    found = set()
    for match in _COMMAND.finditer("\n".join(texts)):
        words = match[1].split()
        found.add(tuple(words[: 2 if words[0] in {"keys", "providers"} else 1]))
    return found


def test_every_command_in_the_documents_exists() -> None:
    written = _commands_written()

    assert ("verify",) in written
    for command in sorted(written):
        assert command[-1] in _help(*command[:-1]), " ".join(command)


def test_every_option_in_the_runbooks_exists() -> None:
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in joined.splitlines():
            if command := re.search(r"python -m counterfoil (keys|providers) (\w+)", line):
                for option in _OPTION.findall(line):
                    assert option in _help(command[1], command[2]), f"{path.name}: {line}"


def test_every_runbook_is_in_the_index() -> None:
    folder = ROOT / "docs" / "runbooks"
    index = (folder / "README.md").read_text(encoding="utf-8")

    runbooks = {path.name for path in folder.glob("*.md")} - {"README.md"}

    assert runbooks == set(re.findall(r"\(([a-z-]+\.md)\)", index))


def test_every_promise_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "faults.md").read_text()
    proofs = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)

    missing = [
        f"{file}::{test}"
        for file, test in proofs
        if not (ROOT / file).is_file() or f"def {test}" not in (ROOT / file).read_text()
    ]

    rows = [line for line in text.splitlines() if line.startswith("| T-")]
    assert len(proofs) >= len(rows) > 30
    assert missing == []


def test_every_promise_that_is_proved_quickly_was_seen_to_fail() -> None:
    promised, _, planted = (ROOT / "docs" / "faults.md").read_text().partition("## Planted bugs")
    rows = [line.split("|") for line in promised.splitlines() if line.startswith("| T-")]
    caught = set(re.findall(r"^\| (T-[^|]+) \|", planted, re.MULTILINE))

    quick = {row.strip() for _, row, *_, by, _ in rows if re.search("`tests/(?!torture)", by)}
    assert len(quick) > 25
    assert quick - caught == set()
