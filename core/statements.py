"""SQLAlchemy's statements as the driver takes them: a text with $1, $2 …, and the arguments.

A statement is compiled once for its shape, whatever its values; the engine of SQLAlchemy and its
result objects are not needed, and cost as much as the whole rest of a small query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT: Final = dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped
_SHAPES_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class _Shape:
    """What statements have in common that differ in their values only."""

    key: tuple[Any, ...]
    statement: ClauseElement = field(compare=False)
    cache_key: CacheKey = field(compare=False)


@lru_cache(_SHAPES_MAX)
def _compiled(shape: _Shape) -> SQLCompiler:
    compiled = shape.statement.compile(dialect=_DIALECT, cache_key=shape.cache_key)
    assert isinstance(compiled, SQLCompiler)
    assert not compiled.post_compile_params, "write = any_(…) instead of IN"
    return compiled


def as_sql(statement: ClauseElement, given: Mapping[str, object]) -> tuple[str, Sequence[object]]:
    """The text, and the arguments in its order; `given` are the values of its `bindparam`s."""
    key = statement._generate_cache_key()  # noqa: SLF001 - what SQLAlchemy's own examples use
    assert key is not None, "a part of the statement has no cache key"
    compiled = _compiled(_Shape(key.key, statement, key))
    values = compiled.construct_params(given, extracted_parameters=key.bindparams)
    return compiled.string, [values[name] for name in compiled.positiontup or ()]
