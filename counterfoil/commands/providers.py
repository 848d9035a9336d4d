"""Provider accounts of a tenant."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
)

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings
    from gateways.accounts import ProviderAccount
    from gateways.port import HttpCall, Manifest

PROBE_SECONDS = 10.0

providers = typer.Typer(help="Provider accounts of a tenant.", no_args_is_help=True)

SecretFile = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        readable=True,
        help="File with the secret; further lines are older ones that are still accepted.",
    ),
]


class EmptySecret(Rejected):
    """The secret file is empty."""


class ProviderSilent(Unavailable):
    """The provider did not answer as it should."""


class ProviderNotFound(Rejected):
    """There is no provider account of this name."""


@providers.command("add")
def add_provider(  # noqa: PLR0917 - the command's options
    adapter: Annotated[str, typer.Option(help="Name of the adapter: stripe, simulator …")],
    name: Annotated[str, typer.Option(help="Short name; part of ledger paths.")],
    base_url: Annotated[str, typer.Option(help="Where the provider is reached.")],
    secret_key_file: SecretFile,
    webhook_secret_file: SecretFile,
    omit: Annotated[
        list[str] | None, typer.Option(help="Optional request field not to send; repeatable.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Smaller is tried first.")] = 100,
    live: Annotated[bool, typer.Option(help="Real money at the provider.")] = False,
    tenant: TenantName = "demo",
) -> None:
    """Add an account. Its secrets are read from files and stored encrypted."""
    from core.crypto import Vault
    from core.identifiers import encode
    from counterfoil.wiring import built_in_adapters
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
        omit=frozenset(omit or ()),
        priority=priority,
        live=live,
    )

    async def run(database: "Database", tenant_id: int, settings: "Settings") -> str:
        vault = Vault(encryption_key_of(settings))
        async with database.unit_of_work(tenant_id) as tx:
            account_id = encode("prv", await add(tx, vault, tenant_id, account, manifest))
            await record(
                tx,
                tenant_id,
                actor=operator(),
                action="provider.add",
                subject=account_id,
                after={"name": name, "adapter": adapter, "base_url": base_url, "live": live},
                correlation_id=fresh_correlation_id(),
            )
        return f"{account_id}\nwebhooks: {settings.public_url}/webhooks/{account_id}"

    out.print(for_tenant(tenant, run), highlight=False, markup=False, soft_wrap=True)


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


@providers.command("test")
def try_provider(
    name: Annotated[str, typer.Argument(help="Name of the account.")], tenant: TenantName = "demo"
) -> None:
    """Ask a provider whether it answers with these credentials. Moves no money."""
    from core.crypto import Vault
    from gateways.store import load_all

    async def run(database: "Database", tenant_id: int, settings: "Settings") -> str:
        async with database.unit_of_work(tenant_id) as tx:
            accounts = await load_all(tx, Vault(encryption_key_of(settings)), tenant_id)
        for account in accounts:
            if account.name == name:
                return await _probe(account)
        raise ProviderNotFound(name=name)

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


def _secrets(path: Path) -> list[str]:
    """One a line, the newest first. Raises: EmptySecret."""
    lines = path.read_text(encoding="utf-8").splitlines()
    secrets = [line.strip() for line in lines if line.strip()]
    if not secrets:
        raise EmptySecret(path=str(path))
    return secrets
