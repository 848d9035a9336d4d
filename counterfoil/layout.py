"""Checks at start that our packages are ours: `schema` is a name on PyPI too."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from core.errors import Broken

ROOT = Path(__file__).resolve().parent.parent


class WrongPackage(Broken):
    """A package of another program is imported in place of ours: start from our folder."""

    code = "WRONG_PACKAGE"


def own_packages() -> Iterator[str]:
    """The names of the packages at the root of the project."""
    for folder in sorted(ROOT.iterdir()):
        if (folder / "__init__.py").is_file() and folder.name.isidentifier():
            yield folder.name


def check_layout() -> None:
    """Raises: WrongPackage, naming the package and where it came from."""
    for name in own_packages():
        found = importlib.util.find_spec(name)
        origin = found.origin if found is not None else None
        if origin is None or Path(origin).resolve() != ROOT / name / "__init__.py":
            raise WrongPackage(package=name, imported_from=origin)
