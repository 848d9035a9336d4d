"""Provider accounts of a tenant."""

import enum
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.table import Table

from core.errors import Rejected, Unavailable
from counterfoil.commands.session import (
    TenantName,
    encryption_key_of,
    for_tenant,
    fresh_correlation_id,
    listing,
    operator,
    out,
    say,
)

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings
    from gateways.accounts import ProviderAccount
    from gateways.port import HttpCall, Manifest

PROBE_SECONDS = 10.0

providers = typer.Typer(help="Provider accounts of a tenant.", no_args_is_help=True)

_SECRET_FILE = typer.Option(
    exists=True,
    dir_okay=False,
    readable=True,
    help="File with the secret; further lines are older ones that are still accepted.",
)


def _checked_url(url: str | None) -> str | None:
    parts = urlsplit(url or "")
    if url is not None and not (parts.scheme in {"http", "https"} and parts.hostname):
        raise typer.BadParameter("must be like https://api.provider.example")
    return url


def _checked_fields(given: list[str] | None) -> list[str] | None:
    if any(not name or not separator for name, separator, _ in map(_parts, given or ())):
        raise typer.BadParameter("must be like multicapture=yes")
    return given


def _parts(given: str) -> tuple[str, str, str]:
    return given.partition("=")


_FIELD = typer.Option(
    "--field",
    help="Setting of the account, NAME=VALUE; repeatable. Not for secrets.",
    callback=_checked_fields,
)
_URL = typer.Option(help="Where the provider is reached.", callback=_checked_url)


class EmptySecret(Rejected):
    """The secret file is empty."""


class ProviderSilent(Unavailable):
    """The provider did not answer as it should."""


class NothingToChange(Rejected):
    """Say what to change; `providers update --help` lists it."""


class BreakerMode(enum.StrEnum):
    """What the circuit breaker of an account does."""

    NORMAL = "normal"
    WATCH = "watch"
    OPEN = "open"


@providers.command("add")
def add_provider(  # noqa: PLR0917 - the command's options
    adapter: Annotated[str, typer.Option(help="Name of the adapter: stripe, simulator …")],
    name: Annotated[str, typer.Option(help="Short name; part of ledger paths.")],
    base_url: Annotated[str, _URL],
    secret_key_file: Annotated[Path, _SECRET_FILE],
    webhook_secret_file: Annotated[Path, _SECRET_FILE],
    omit: Annotated[
        list[str] | None, typer.Option(help="Optional request field not to send; repeatable.")
    ] = None,
    field: Annotated[list[str] | None, _FIELD] = None,
    priority: Annotated[int, typer.Option(help="Smaller is tried first.")] = 100,
    live: Annotated[bool, typer.Option(help="Real money at the provider.")] = False,
    tenant: TenantName = "demo",
) -> None:
    """Add an account. Its secrets are read from files and stored encrypted."""
    from core.crypto import Vault
    from core.identifiers import encode
    from counterfoil.wiring import built_in_adapters
    from gateways.accounts import webhook_url
    from gateways.port import WEBHOOK_SECRET
    from gateways.store import NewProviderAccount, add
    from tenants import record

    manifest = built_in_adapters().of(adapter).manifest
    account = NewProviderAccount(
        name=name,
        adapter=adapter,
        base_url=base_url,
        secrets={
            _key_name(manifest): _secrets(secret_key_file),
            WEBHOOK_SECRET: _secrets(webhook_secret_file),
        },
        fields=_fields(field),
        omit=frozenset(omit or ()),
        priority=priority,
        live=live,
    )

    async def run(database: "Database", tenant_id: int, settings: "Settings") -> str:
        vault = Vault(encryption_key_of(settings))
        async with database.unit_of_work(tenant_id) as tx:
            account_id = await add(tx, vault, tenant_id, account, manifest)
            await record(
                tx,
                tenant_id,
                actor=operator(),
                action="provider.add",
                subject=encode("prv", account_id),
                after={
                    "name": name,
                    "adapter": adapter,
                    "base_url": base_url,
                    "fields": dict(account.fields),
                    "live": live,
                },
                correlation_id=fresh_correlation_id(),
            )
        url = webhook_url(settings.public_url, account_id)
        return f"{encode('prv', account_id)}\nwebhooks: {url}"

    say(for_tenant(tenant, run))


@providers.command("list")
def list_providers(tenant: TenantName = "demo") -> None:
    """List the accounts of a tenant, in the order they are tried."""
    from core.identifiers import encode

    async def run(database: "Database", tenant_id: int, _settings: "Settings") -> Table:
        table = listing("id", "name", about="account")
        async with database.unit_of_work(tenant_id) as tx:
            rows = await tx.fetch(
                """SELECT id, name, adapter, base_url, priority, enabled, live
                     FROM provider_account WHERE tenant_id = $1 ORDER BY priority, name""",
                tenant_id,
            )
        for row in rows:
            table.add_row(
                encode("prv", row["id"]),
                row["name"],
                f"{row['adapter']} at {row['base_url']}\n"
                f"priority {row['priority']}, {'enabled' if row['enabled'] else 'disabled'}, "
                f"{'real money' if row['live'] else 'test money'}",
            )
        return table

    out.print(for_tenant(tenant, run))


@providers.command("update")
def update_provider(  # noqa: PLR0917 - the command's options
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    enabled: Annotated[
        bool | None,
        typer.Option(
            "--enable/--disable", help="A disabled account gets no new payments; open ones go on."
        ),
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Smaller is tried first.")] = None,
    base_url: Annotated[str | None, _URL] = None,
    field: Annotated[list[str] | None, _FIELD] = None,
    secret_key_file: Annotated[Path | None, _SECRET_FILE] = None,
    webhook_secret_file: Annotated[Path | None, _SECRET_FILE] = None,
    breaker: Annotated[
        BreakerMode | None,
        typer.Option(help="normal; watch: count and report only; open: let no call through."),
    ] = None,
    failures_to_open: Annotated[
        int | None, typer.Option(min=1, help="Failures in a row that open the breaker.")
    ] = None,
    reset_seconds: Annotated[
        float | None, typer.Option(min=0.1, max=300, help="Pause before it is tried again.")
    ] = None,
    tenant: TenantName = "demo",
) -> None:
    """Change an account. Running processes follow within one call; the audit log keeps it."""
    from core.crypto import Vault
    from core.identifiers import encode
    from gateways.store import load_named, save
    from tenants import record

    policy: dict[str, Any] = {
        "failures_to_open": failures_to_open,
        "reset_seconds": reset_seconds,
        "dry_run": breaker and breaker is BreakerMode.WATCH,
        "forced_open": breaker and breaker is BreakerMode.OPEN,
    }
    columns = {"enabled": enabled, "priority": priority, "base_url": base_url}

    async def run(database: "Database", tenant_id: int, settings: "Settings") -> str:
        vault = Vault(encryption_key_of(settings))
        async with database.unit_of_work(tenant_id) as tx:
            before = await load_named(tx, vault, tenant_id, name)
            after = replace(
                before,
                **_given(columns),
                fields={**before.fields, **_fields(field)},
                secrets={
                    **before.secrets,
                    **_new_secrets(before, secret_key_file, webhook_secret_file),
                },
                breaker_policy=replace(before.breaker_policy, **_given(policy)),
            )
            if after == before:
                raise NothingToChange
            await save(tx, vault, tenant_id, after)
            await record(
                tx,
                tenant_id,
                actor=operator(),
                action="provider.update",
                subject=encode("prv", before.id),
                before=_audited(before),
                after=_audited(after) | {"secrets_replaced": after.secrets != before.secrets},
                correlation_id=fresh_correlation_id(),
            )
        return f"{name} is changed."

    out.print(for_tenant(tenant, run), highlight=False, markup=False)


@providers.command("test")
def try_provider(
    name: Annotated[str, typer.Argument(help="Name of the account.")], tenant: TenantName = "demo"
) -> None:
    """Ask a provider whether it answers with these credentials. Moves no money."""
    from core.crypto import Vault
    from gateways.store import load_named

    async def run(database: "Database", tenant_id: int, settings: "Settings") -> str:
        vault = Vault(encryption_key_of(settings))
        async with database.unit_of_work(tenant_id) as tx:
            account = await load_named(tx, vault, tenant_id, name)
        return await _probe(account)

    out.print(for_tenant(tenant, run), highlight=False, markup=False)


async def _probe(account: "ProviderAccount") -> str:
    """What the provider says to a call that moves nothing. Raises: ProviderSilent."""
    from core.clock import SystemClock
    from counterfoil.wiring import built_in_adapters
    from gateways.driver import Caller, Driver, FlowStopped, prepare
    from gateways.port import SupportsHealth
    from gateways.wire import make_client

    adapter = built_in_adapters().of(account.adapter)
    if not isinstance(adapter, SupportsHealth):
        return f"The adapter {account.adapter} has no call that moves nothing; not asked."
    clock = SystemClock()
    async with make_client() as client:
        try:
            healthy = await Driver(client, clock).run(
                prepare(adapter.probe(account.credentials())),
                Caller(account.name, "PROBE", fresh_correlation_id()),
                deadline=clock.monotonic() + PROBE_SECONDS,
                before_money=_refuse_money,
            )
        except FlowStopped as stopped:
            raise ProviderSilent(provider=account.name, reason=stopped.message) from stopped
    if not healthy:
        raise ProviderSilent(provider=account.name, reason="it refused the credentials")
    return f"{account.name} answers and knows the credentials."


async def _refuse_money(_call: "HttpCall") -> None:
    raise AssertionError("a probe moves no money")


def _key_name(manifest: "Manifest") -> str:
    """Under which name the adapter looks for the key its calls are made with."""
    from gateways.port import WEBHOOK_SECRET

    [name] = [name for name in manifest.secret_fields if name != WEBHOOK_SECRET]
    return name


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _new_secrets(
    account: "ProviderAccount", key: Path | None, webhook: Path | None
) -> dict[str, tuple[str, ...]]:
    from counterfoil.wiring import built_in_adapters
    from gateways.port import WEBHOOK_SECRET

    manifest = built_in_adapters().of(account.adapter).manifest
    files = {_key_name(manifest): key, WEBHOOK_SECRET: webhook}
    return {name: tuple(_secrets(path)) for name, path in files.items() if path is not None}


def _audited(account: "ProviderAccount") -> dict[str, object]:
    return {
        "enabled": account.enabled,
        "priority": account.priority,
        "base_url": account.base_url,
        "fields": dict(account.fields),
        "breaker_policy": asdict(account.breaker_policy),
    }


def _fields(given: list[str] | None) -> dict[str, str]:
    return {name: value for name, _, value in map(_parts, given or ())}


def _secrets(path: Path) -> list[str]:
    """One a line, the newest first. Raises: EmptySecret."""
    lines = path.read_text(encoding="utf-8").splitlines()
    secrets = [line.strip() for line in lines if line.strip()]
    if not secrets:
        raise EmptySecret(path=str(path))
    return secrets
