"""Our packages are ours: some of their names belong to others on PyPI."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from counterfoil.layout import ROOT, own_packages

PACKAGES = sorted(own_packages())


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_imported_from_this_project(name: str) -> None:
    module = importlib.import_module(name)

    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


def test_the_package_whose_name_is_also_on_pypi_is_among_them() -> None:
    assert "schema" in PACKAGES


def test_a_start_with_a_foreign_package_in_front_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "__init__.py").touch()
    script = (
        "import sys\n"
        f"sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from counterfoil.layout import check_layout\n"
        "check_layout()\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert ended.returncode != 0
    assert "WrongPackage: A package of another program is imported" in ended.stderr
    assert str(tmp_path / "schema") in ended.stderr


def test_import_rules_and_image_know_every_package() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert sorted(rules["root_packages"]) == PACKAGES
    assert sorted({*copied} - {"graphiql", "migrations"}) == PACKAGES


def test_every_import_rule_covers_every_package_it_could() -> None:
    contracts = {
        contract["name"]: contract
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
            "importlinter"
        ]["contracts"]
    }
    layered = re.findall(r"\w+", " ".join(contracts["Imports point downwards"]["layers"]))
    domain = contracts["Domain packages know neither Strawberry nor Starlette"]["source_modules"]
    product = contracts["The product does not know the simulator program"]["source_modules"]

    assert {*PACKAGES} - {*layered} == {"simulator"}
    assert {*PACKAGES} - {*domain} == {"counterfoil", "resolvers", "schema", "simulator"} & {
        *PACKAGES
    }
    assert {*PACKAGES} - {*product} == {"simulator"}
    assert sorted(contracts["No cycles inside a package"]["ancestors"]) == PACKAGES


def test_the_requirements_agree_with_the_lock() -> None:
    uv = ROOT / ".tools" / "bin" / "uv"

    exported = subprocess.run(
        [uv, "export", "--frozen", "--quiet", "--no-dev"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout

    assert _without_comments((ROOT / "requirements.txt").read_text()) == _without_comments(exported)


def _without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]
