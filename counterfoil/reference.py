"""Writes what is made from code: docs/settings.md and docs/errors.md.

`python -m counterfoil.reference`, or `make docs`. The tests compare what is written with what
would be.
"""

from collections.abc import Iterator
from pathlib import Path

from counterfoil.errors_page import errors_document
from counterfoil.layout import ROOT
from counterfoil.settings import settings_table

SETTINGS_INTRODUCTION = """\
# Settings

Environment variables, read once at start. An unknown or malformed one stops the start with an
error that names it; an empty one counts as unset. A secret may be given as the path of a file in
the variable with `_FILE` at its end. Made by `make docs` from `counterfoil/settings.py`.
"""


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with its text."""
    table = "\n".join(settings_table())
    yield ROOT / "docs" / "settings.md", f"{SETTINGS_INTRODUCTION}\n{table}\n"
    yield ROOT / "docs" / "errors.md", errors_document()


def write() -> None:
    for path, text in generated():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
