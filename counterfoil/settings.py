"""Everything an operator can change, read once from the environment at start.

Each field is the variable `COUNTERFOIL_<FIELD>`; a secret may be given as the path of a file in
`COUNTERFOIL_<FIELD>_FILE` instead. An unknown or malformed variable stops the start with an error
that names it: a typing mistake must not silently become a default. `docs/settings.md` is made from
this class.
"""

import base64
import binascii
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

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
from pydantic_core import PydanticCustomError

from core.errors import Rejected
from counterfoil.environment import explain, from_environment

LEASE_MARGIN_SECONDS_MIN = 2.0


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
        description="Database connections per process for requests that write; half as many more "
        "for those that read.",
    )
    webhook_pool_size: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Database connections per process for taking webhooks in, whatever else is "
        "going on.",
    )
    background_pool_size: int = Field(
        default=5,
        ge=2,
        le=500,
        description="Database connections per process for background work and health checks.",
    )

    encryption_key: SecretStr | None = Field(
        default=None,
        description="32 bytes in base64: encrypts provider secrets and stored requests. "
        "Unset and with the demo tenant: generated in `DATA_DIR`.",
    )

    oidc_issuer: str = Field(
        default="",
        max_length=500,
        description="Issuer (`iss`) of the JWTs taken on `/graphql` beside API keys. "
        "Unset: JWTs are refused.",
    )
    oidc_audience: str = Field(
        default="", max_length=500, description="Audience (`aud`) those JWTs are made for."
    )
    oidc_jwks_url: str = Field(
        default="",
        description="Where the issuer publishes its keys; https, or http on this machine.",
    )
    oidc_jwks_file: Path | None = Field(
        default=None,
        description="A JSON Web Key Set read once at start, instead of `OIDC_JWKS_URL`.",
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
    query_seconds: Seconds = Field(
        default=20.0, description="A query that takes longer is cancelled."
    )
    mutation_seconds: Seconds = Field(
        default=60.0,
        description="A mutation that takes longer is answered `DEADLINE_EXCEEDED`; it is never "
        "stopped.",
    )
    sockets_max: int = Field(
        default=2000, ge=0, le=100_000, description="WebSockets at once, per process and endpoint."
    )
    socket_subscriptions_max: int = Field(
        default=50, ge=1, le=1000, description="Subscriptions at once on one WebSocket."
    )
    running_max: int = Field(
        default=100, ge=1, le=10_000, description="GraphQL requests a process carries out at once."
    )
    waiting_max: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="GraphQL requests that may wait for their turn; more are answered 503.",
    )
    waiting_seconds: Seconds = Field(
        default=0.5, description="How long a GraphQL request waits for its turn."
    )
    key_cost_per_minute: int = Field(
        default=1_200_000,
        ge=0,
        le=1_000_000_000,
        description="Cost an API key, or a subject of JWTs, may ask for within a minute, per "
        "process; at least `QUERY_COST_MAX`. 0: any.",
    )
    browser_requests_per_second: int = Field(
        default=50,
        ge=0,
        le=1_000_000,
        description="Requests a second of one payment's client secret, of one customer, of one "
        "address with neither, and credentials one address may try; per process. 0: any.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses and networks of your load balancers, with commas between them: from "
        "these `X-Forwarded-For` and `X-Forwarded-Proto` are believed, from nobody else.",
    )
    persisted_operations: Literal["off", "allow", "only"] = Field(
        default="allow",
        description="`/graphql`: whether operations may be named by an id or hash; `only`: whether "
        "they must be.",
    )
    persisted_operations_file: Path | None = Field(
        default=None,
        description="JSON file `{id: text}`, or a folder of such, with the operations of your "
        "servers.",
    )
    storefront_persisted_operations: Literal["auto", "off", "allow", "only"] = Field(
        default="auto",
        description="The same for `/storefront/graphql`. `auto`: `only` where a file is given and "
        "GraphiQL is off, else `allow`.",
    )
    storefront_persisted_operations_file: Path | None = Field(
        default=None, description="The same for the operations of your pages and apps."
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

    @field_validator("oidc_audience", mode="after")
    @classmethod
    def _goes_with_an_issuer(cls, audience: str, info: ValidationInfo) -> str:
        issuer = info.data.get("oidc_issuer")
        if issuer and not audience:
            raise PydanticCustomError("oidc", "is required with COUNTERFOIL_OIDC_ISSUER")
        _demand_issuer(audience, info)
        return audience

    @field_validator("oidc_jwks_url", mode="after")
    @classmethod
    def _cannot_be_read_along_the_way(cls, url: str, info: ValidationInfo) -> str:
        if not url:
            return url
        parts = _parts_of(url)
        nearby = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if not parts.hostname or not (parts.scheme == "https" or nearby):
            raise PydanticCustomError("oidc", "must be an https URL, or http on this machine")
        _demand_issuer(url, info)
        return url

    @field_validator("oidc_jwks_file", mode="after")
    @classmethod
    def _has_keys_unless_a_url_has(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        url = info.data.get("oidc_jwks_url")
        if path is not None and url:
            raise PydanticCustomError("oidc", "set it or COUNTERFOIL_OIDC_JWKS_URL, not both")
        if path is None:
            if info.data.get("oidc_issuer") and url == "":
                message = "it or COUNTERFOIL_OIDC_JWKS_URL is required with COUNTERFOIL_OIDC_ISSUER"
                raise PydanticCustomError("oidc", message)
            return None
        _demand_issuer(path, info)
        _check_key_set(path)
        return path

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _networks(cls, text: str) -> str:
        for item in filter(None, (part.strip() for part in text.split(","))):
            try:
                ipaddress.ip_network(item)
            except ValueError:
                raise PydanticCustomError(
                    "network", "must be addresses or networks such as 10.0.0.0/8, with commas"
                ) from None
        return text

    @field_validator("key_cost_per_minute", mode="after")
    @classmethod
    def _one_request_fits(cls, budget: int, info: ValidationInfo) -> int:
        if 0 < budget < info.data.get("query_cost_max", 0):
            raise PydanticCustomError(
                "budget", "must be 0 or at least COUNTERFOIL_QUERY_COST_MAX, else some never run"
            )
        return budget

    @field_validator(
        "persisted_operations_file", "storefront_persisted_operations_file", mode="after"
    )
    @classmethod
    def _where_it_is_used(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        assert info.field_name is not None
        mode = info.data.get(info.field_name.removesuffix("_file"))
        if path is None and mode == "only":
            raise PydanticCustomError("operations", "is required: nothing else would be allowed")
        if path is not None and mode == "off":
            raise PydanticCustomError("operations", "would not be used: operations are `off`")
        return path

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
        given, problems = from_environment(
            cls.model_fields, os.environ if environment is None else environment
        )
        try:
            settings = cls(**given)
        except ValidationError as error:
            problems.extend(explain(problem) for problem in error.errors(include_input=False))
            raise InvalidSettings(*problems) from None
        if problems:
            raise InvalidSettings(*problems)
        return settings

    @property
    def storefront_mode(self) -> Literal["off", "allow", "only"]:
        """How browsers name operations, `auto` decided."""
        if self.storefront_persisted_operations != "auto":
            return self.storefront_persisted_operations
        has_file = self.storefront_persisted_operations_file is not None
        return "only" if has_file and not self.graphiql else "allow"

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


def _parts_of(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _demand_issuer(value: object, info: ValidationInfo) -> None:
    if value and info.data.get("oidc_issuer") == "":
        raise PydanticCustomError("oidc", "needs COUNTERFOIL_OIDC_ISSUER")


def _check_key_set(path: Path) -> None:
    from tenants.key_sets import BadKeySet, read_key_set  # noqa: PLC0415 - only where it is needed

    try:
        found = read_key_set(path.read_bytes())
    except OSError as error:
        reason = {"reason": error.strerror or "unreadable"}
        raise PydanticCustomError("oidc", "cannot be read: {reason}", reason) from None
    except BadKeySet:
        raise PydanticCustomError("oidc", "is no JSON Web Key Set") from None
    if not found.keys:
        why = {"why": "; ".join(found.left_out) or "it is empty"}
        raise PydanticCustomError("oidc", "has no key that can be used: {why}", why)


def _decode_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise PydanticCustomError("key", "must be 32 bytes in base64")
    return key
