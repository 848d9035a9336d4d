"""How settings come out of the environment: which variable is which field, and what is wrong."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_PREFIX = "COUNTERFOIL_"
_NOT_SETTINGS = frozenset(
    {
        "COUNTERFOIL_CI_NO_SKIPS",  # the test suite's
        "COUNTERFOIL_SCREENSHOTS",  # the test suite's
        "COUNTERFOIL_SIMULATOR_PUBLIC_URL",  # the simulator's
    }
)
_BY_CONVENTION = {
    "database_url": "DATABASE_URL",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""What other programs call these; read when our own variable is not set."""


def is_secret(field: FieldInfo) -> bool:
    """Whether a field is never printed and may come from a file."""
    return _mentions(field.annotation, SecretStr)


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def variable_of(field: str) -> str:
    """The environment variable of a field."""
    return f"{_PREFIX}{field.upper()}"


def from_environment(
    fields: Mapping[str, FieldInfo], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """What is given for each field, as text, and what is wrong with the variables."""
    given: dict[str, Any] = {}
    problems: list[str] = []
    known = {variable_of(field): field for field in fields}
    files = {
        f"{variable}_FILE": field for variable, field in known.items() if is_secret(fields[field])
    }
    for variable, value in sorted(environment.items()):
        if not variable.startswith(_PREFIX) or variable in _NOT_SETTINGS or not value:
            continue  # an empty variable is an unset one: compose files write them so
        field = known.get(variable) or files.get(variable)
        if field is None:
            problems.append(f"{variable}: there is no such setting{_did_you_mean(variable, known)}")
        elif field in given:
            problems.append(f"{variable}: {variable_of(field)} is given as well; set only one")
        elif variable in files:
            _read_file(variable, value, field, given, problems)
        else:
            given[field] = value
    for field, variable in _BY_CONVENTION.items():
        if field not in given and environment.get(variable):
            given[field] = environment[variable]
    return given, problems


def _read_file(
    variable: str, path: str, field: str, given: dict[str, Any], problems: list[str]
) -> None:
    try:
        given[field] = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        problems.append(f"{variable}: cannot read {path}: {reason}")


def _did_you_mean(variable: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def explain(problem: ErrorDetails) -> str:
    """What is wrong with a value, beginning with its variable."""
    where = str(problem["loc"][0]) if problem["loc"] else "settings"
    message = problem["msg"]
    return f"{variable_of(where)}: {message[0].lower()}{message[1:]}"
