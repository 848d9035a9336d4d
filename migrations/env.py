"""Runs migrations on the connection it is given, each revision in a unit of work of its own."""

import importlib
import importlib.util
import pkgutil
from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

from counterfoil.layout import ROOT
from counterfoil.migrate import migration_connection
from counterfoil.settings import Settings


def import_tables() -> None:
    """Import every package's `tables` module, which is what fills SQLModel's metadata."""
    for package in pkgutil.iter_modules([str(ROOT)]):
        if package.ispkg and importlib.util.find_spec(f"{package.name}.tables"):
            importlib.import_module(f"{package.name}.tables")


def is_compared(_item: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
    """For `alembic check`: tables and columns. Constraints and indexes are the SQL files' own."""
    if kind == "table" and reflected:
        return name in SQLModel.metadata.tables
    return kind in {"table", "column"}


def run(connection: Connection) -> None:
    # Comments, like constraints and indexes, are written in the SQL files only.
    connection.dialect.supports_comments = False
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        transaction_per_migration=True,
        include_object=is_compared,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


import_tables()
given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with migration_connection(Settings.read().admin_database_url) as own:
        run(own)
