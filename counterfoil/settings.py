"""Everything an operator can change, read once from the environment at start.

Each field is the variable `COUNTERFOIL_<FIELD>`; a secret may be given as the path of a file in
`COUNTERFOIL_<FIELD>_FILE` instead. An unknown or malformed variable stops the start with an error
that names it: a typing mistake must not silently become a default. `docs/settings.md` is made from
this class.
"""

import base64
import binascii
import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from core.errors import Rejected

PREFIX = "COUNTERFOIL_"
NOT_SETTINGS = frozenset(
    {
        "COUNTERFOIL_CI_NO_SKIPS",  # the test suite's
        "COUNTERFOIL_SCREENSHOTS",  # the test suite's
        "COUNTERFOIL_SIMULATOR_PUBLIC_URL",  # the simulator's
    }
)
LEASE_MARGIN_SECONDS_MIN = 2.0
_BY_CONVENTION = {
    "database_url": "DATABASE_URL",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""What other programs call these; read when our own variable is not set."""


class InvalidSettings(Rejected):
    """The settings are wrong."""

    code = "INVALID_SETTINGS"

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__(problems=problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


def _is_postgresql(url: SecretStr) -> SecretStr:
    scheme = url.get_secret_value().partition("://")[0]
    if scheme not in {"postgresql", "postgres"}:
        raise PydanticCustomError("url", "must look like postgresql://user:password@host/database")
    return url


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_is_postgresql)]


class Settings(BaseModel):
    """What an operator may change. Read once; frozen; passed in, never looked up."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="Address the server listens on.")
    port: Port = Field(default=8000, description="Port the server listens on.")
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Where clients and providers reach this server; default `http://HOST:PORT`.",
    )
    data_dir: Path = Field(
        default=Path(".data"),
        description="Folder of the embedded PostgreSQL and of generated keys.",
    )

    database_url: DatabaseUrl | None = Field(
        default=None,
        description="PostgreSQL 15 or newer to use. Unset: an embedded one is started. "
        "Plain `DATABASE_URL` is respected too.",
    )
    migration_database_url: DatabaseUrl | None = Field(
        default=None,
        description="Used by `migrate`: may create roles and become `cf_owner`. "
        "Default: `DATABASE_URL`.",
    )
    pg_bin: Path | None = Field(
        default=None, description="Folder with `postgres` and `initdb` for the embedded PostgreSQL."
    )
    pool_size: int = Field(
        default=10,
        ge=2,
        le=500,
        description="Database connections per process for writing; half as many more for reading.",
    )

    encryption_key: SecretStr | None = Field(
        default=None,
        description="32 bytes in base64: encrypts provider secrets and stored requests. "
        "Unset and with the demo tenant: generated in `DATA_DIR`.",
    )

    worker_concurrency: int = Field(
        default=16, ge=1, le=1000, description="Operations one worker process carries out at once."
    )
    worker_port: Port | None = Field(
        default=None,
        description="Port on `HOST` where `work` serves `/metrics`, `/livez` and `/readyz`. "
        "Unset: none. (`serve` has them on its own port.)",
    )
    lease_seconds: Seconds = Field(
        default=35.0, description="How long a claimed operation belongs to its worker."
    )
    provider_call_budget_seconds: Seconds = Field(
        default=25.0,
        description="All calls of one operation to a provider together. At least 2 s less than "
        "`LEASE_SECONDS`.",
    )

    graphiql: bool = Field(default=True, description="Serve GraphiQL to browsers on `/graphql`.")
    request_bytes_max: int = Field(
        default=262_144, ge=1024, le=16_777_216, description="Largest GraphQL request body."
    )
    webhook_bytes_max: int = Field(
        default=1_048_576, ge=1024, le=16_777_216, description="Largest webhook body."
    )
    query_depth_max: int = Field(default=12, ge=1, le=100, description="Deepest GraphQL selection.")
    query_fields_max: int = Field(
        default=500, ge=1, le=10_000, description="Fields of a GraphQL document."
    )
    query_tokens_max: int = Field(
        default=2000, ge=1, le=100_000, description="Tokens of a GraphQL document."
    )
    query_aliases_max: int = Field(
        default=30, ge=0, le=1000, description="Aliases of a GraphQL document."
    )
    query_cost_max: int = Field(
        default=1000, ge=1, le=1_000_000, description="Static cost of a GraphQL document."
    )

    demo: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether `serve` sets up the demo tenant with two simulator accounts. `auto`: "
        "only with the embedded PostgreSQL.",
    )
    simulator_port: Port = Field(
        default=8001,
        description="Port of the provider simulator that `serve` starts for the demo tenant. "
        "Unset and taken: another free one.",
    )
    simulator_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="A provider simulator that is already running; `serve` then starts none.",
    )
    shutdown_seconds: Seconds = Field(
        default=10.0,
        description="How long running requests and operations may take to end at a stop.",
    )
    otlp_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Where traces are sent, by OTLP over HTTP: `http://collector:4318`. Unset: no "
        "traces. Plain `OTEL_EXPORTER_OTLP_ENDPOINT` is respected too.",
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="How log lines look."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("encryption_key", mode="after")
    @classmethod
    def _thirty_two_bytes(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            _decode_key(key.get_secret_value())
        return key

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("provider_call_budget_seconds", mode="after")
    @classmethod
    def _shorter_than_the_lease(cls, budget: float, info: ValidationInfo) -> float:
        lease = info.data.get("lease_seconds")
        if lease is not None and budget > lease - LEASE_MARGIN_SECONDS_MIN:
            raise PydanticCustomError(
                "lease",
                "must be at least {margin} s less than COUNTERFOIL_LEASE_SECONDS ({lease} s)",
                {"margin": LEASE_MARGIN_SECONDS_MIN, "lease": lease},
            )
        return budget

    @model_validator(mode="after")
    def _public_url_from_address(self) -> Self:
        if not self.public_url:
            host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104 - compared, not bound
            host = f"[{host}]" if ":" in host else host
            # The model is frozen for everybody else; this completes it while it is being made.
            self.__dict__["public_url"] = f"http://{host}:{self.port}"
        else:
            self.__dict__["public_url"] = self.public_url.rstrip("/")
        return self

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Settings from environment variables. Raises: InvalidSettings, naming each variable."""
        given, problems = _from_environment(os.environ if environment is None else environment)
        try:
            settings = cls(**given)
        except ValidationError as error:
            problems.extend(_explain(problem) for problem in error.errors(include_input=False))
            raise InvalidSettings(*problems) from None
        if problems:
            raise InvalidSettings(*problems)
        return settings

    @property
    def app_database_url(self) -> str:
        """The database of the running program: given by the operator or by the embedded server."""
        assert self.database_url is not None, "the database is resolved before anything is built"
        return self.database_url.get_secret_value()

    @property
    def admin_database_url(self) -> str:
        """The database for migrations: may create roles and become cf_owner."""
        url = self.migration_database_url
        return url.get_secret_value() if url is not None else self.app_database_url

    @property
    def encryption_key_bytes(self) -> bytes:
        """The 32 bytes that encrypt provider secrets."""
        assert self.encryption_key is not None, "the key is resolved before anything is built"
        return _decode_key(self.encryption_key.get_secret_value())


def _decode_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise PydanticCustomError("key", "must be 32 bytes in base64")
    return key


def is_secret(field: str) -> bool:
    """Whether a field is never printed and may come from a file."""
    return _mentions(Settings.model_fields[field].annotation, SecretStr)


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def variable_of(field: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def _from_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    given: dict[str, Any] = {}
    problems: list[str] = []
    known = {variable_of(field): field for field in Settings.model_fields}
    files = {f"{variable}_FILE": field for variable, field in known.items() if is_secret(field)}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or not value:
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


def _explain(problem: ErrorDetails) -> str:
    where = str(problem["loc"][0]) if problem["loc"] else "settings"
    message = problem["msg"]
    return f"{variable_of(where)}: {message[0].lower()}{message[1:]}"


def settings_table() -> Iterator[str]:
    """The Markdown table of docs/settings.md, line by line."""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for field, definition in Settings.model_fields.items():
        default = definition.default
        shown = "" if default is None or default == "" else f"`{_plain(default)}`"
        name = f"`{variable_of(field)}`" + (" (or `…_FILE`)" if is_secret(field) else "")
        yield f"| {name} | {shown} | {definition.description} |"


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)
