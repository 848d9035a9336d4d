"""Writes what is made from code: docs/settings.md and docs/errors.md.

`python -m counterfoil.reference`, or `make docs`. The tests compare what is written with what
would be.
"""

from collections.abc import Iterator
from pathlib import Path

from counterfoil.environment import is_secret, variable_of
from counterfoil.errors_page import errors_document
from counterfoil.layout import ROOT
from counterfoil.settings import Settings

SETTINGS_INTRODUCTION = """\
# Settings

Environment variables, read once at start. An unknown or malformed one stops the start with an
error that names it; an empty one counts as unset. A secret may be given as the path of a file in
the variable with `_FILE` at its end. Made by `make docs` from `counterfoil/settings.py`.
"""


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with its text."""
    table = "\n".join(_settings_table())
    yield ROOT / "docs" / "settings.md", f"{SETTINGS_INTRODUCTION}\n{table}\n"
    yield ROOT / "docs" / "errors.md", errors_document()


def _settings_table() -> Iterator[str]:
    """The Markdown table of docs/settings.md, line by line."""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for field, definition in Settings.model_fields.items():
        default = definition.default
        shown = "" if default is None or default == "" else f"`{_plain(default)}`"
        name = f"`{variable_of(field)}`" + (" (or `…_FILE`)" if is_secret(definition) else "")
        yield f"| {name} | {shown} | {definition.description} |"


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)


def write() -> None:
    for path, text in generated():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
