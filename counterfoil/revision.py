"""Which revision the schema of a database is at. Kept apart from Alembic, which starts slowly."""

from contextlib import closing
from typing import Final

import psycopg

from core.errors import Unavailable
from counterfoil.layout import ROOT

VERSIONS: Final = ROOT / "migrations" / "versions"


class MigrationFailed(Unavailable):
    """The database could not be brought to the newest schema."""

    code = "MIGRATION_FAILED"


def is_current(url: str) -> bool:
    """Whether the database has the newest schema. Raises: MigrationFailed if it cannot be asked."""
    try:
        with closing(psycopg.connect(url, connect_timeout=10)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return False
    except psycopg.Error as error:
        raise MigrationFailed(reason=str(error).strip()) from error
    return row is not None and row[0] == head_revision()


def head_revision() -> str:
    """The newest revision this program knows; a test holds it to Alembic's own answer.

    Read from the file names, since loading Alembic would slow every start.
    """
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))
