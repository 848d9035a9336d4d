"""Plain rows of one tenant, read-only, no objects of the mapper.

The reads of a query see one moment; those of a mutation's answer and of an event what is there now.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, ClauseElement, ColumnElement, Select, Table, any_, literal, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.schema import Column
from sqlmodel import SQLModel

from resolvers.context import Context


def table_of(model: type[SQLModel]) -> Table:
    """The table behind a class."""
    table: Table = model.__table__  # type: ignore[attr-defined] # SQLAlchemy adds it
    return table


def columns_of(model: type[SQLModel]) -> ReadOnlyColumnCollection[str, Column[Any]]:
    """The columns of the table behind a class, by their names in the database."""
    return table_of(model).c


_UNREAD: Final = frozenset(
    {
        "token_sealed",
        "token_proof",
        "client_secret_hash",
        "request_sealed",
        "secrets_sealed",
        "fingerprint",
        "payload",
        "headers",
        "body_sha256",
        "xid",
    }
)
"""Columns no list needs: secrets, hashes of secrets, and what is large."""


def rows_of(model: type[SQLModel], *more: ColumnElement[Any]) -> Select[Any]:
    """The rows of a table without what nobody needs, and more columns of others."""
    return select(*shown_columns(model), *more)


def shown_columns(model: type[SQLModel]) -> list[Column[Any]]:
    """The columns of a table without what nobody needs."""
    return [column for column in columns_of(model) if column.key not in _UNREAD]


def any_of(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """The column is one of the values: one array, so that their number makes no other statement."""
    return column == any_(literal(list(values), ARRAY(column.type)))


async def fetch(context: Context, statement: ClauseElement, **given: object) -> Sequence[Any]:
    """Rows with the selected columns as items. Row-level security hides other tenants'.

    `given` are the values of the statement's `bindparam`s: one that is asked often is built once.
    """
    async with context.reading() as reader:
        return await reader.fetch(statement, **given)


async def fetch_one(context: Context, statement: ClauseElement, **given: object) -> Any | None:
    """The first row, if there is one."""
    rows = await fetch(context, statement, **given)
    return rows[0] if rows else None
