"""What a first start sets up: the demo tenant, its key, its two accounts at the simulator.

Safe to run at every start: what exists is kept, addresses that moved are told anew.
"""

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psycopg
import structlog

from core.certificates import usual_authorities
from core.crypto import Vault, random_secret
from core.database import Database, DatabaseSettings, Tx
from core.errors import Unavailable
from core.identifiers import encode, new_id
from counterfoil.settings import Settings
from gateways.accounts import ProviderAccount, webhook_url
from gateways.port import WEBHOOK_SECRET
from gateways.simulator import SimulatorAdapter
from gateways.store import NewProviderAccount, add, load_all, load_named, save
from tenants import SCOPES, TenantNotFound, allow_origin, authenticate, find_tenant, issue

DEMO_TENANT: Final = "demo"
DEMO_PROVIDERS: Final = (("simulator-a", 10), ("simulator-b", 20))
"""Name and priority of the demo tenant's provider accounts."""

DEMO_ORIGINS: Final = ("http://127.0.0.1:8002", "http://localhost:8002")
"""Where the example shop runs."""

_ACTOR: Final = "system:bootstrap"
log = structlog.get_logger("counterfoil.bootstrap")


class SimulatorUnreachable(Unavailable):
    """The simulator does not answer."""

    code = "SIMULATOR_UNREACHABLE"


async def set_up(settings: Settings) -> None:
    """The demo tenant with its key (kept in DATA_DIR/demo-key, 0600) and two simulator accounts.

    Raises: SimulatorUnreachable.
    """
    database = await Database.open(DatabaseSettings(settings.app_database_url, pool_size=2))
    try:
        tenant_id = await ensure_tenant(database, settings.admin_database_url, DEMO_TENANT)
        await _ensure_demo_key(database, tenant_id, settings.data_dir / "demo-key")
        await _allow_demo_origins(database, tenant_id)
        accounts = await ensure_simulator_accounts(
            database, Vault(settings.encryption_key_bytes), tenant_id, settings.simulator_url
        )
    finally:
        await database.close()
    await register_at_simulator(accounts, settings.simulator_url, settings.public_url)


async def ensure_tenant(
    database: Database, admin_url: str, name: str, *, currency: str = "EUR", live: bool = False
) -> int:
    """The tenant of this name, made as the owner if it does not exist: the product may not."""
    with contextlib.suppress(TenantNotFound):
        return await find_tenant(database, name)
    with psycopg.connect(admin_url) as admin:
        admin.execute("SET LOCAL ROLE cf_owner")
        row = admin.execute(
            """INSERT INTO tenant (public_id, name, base_currency, live) VALUES (%s, %s, %s, %s)
               ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING tenant_id""",
            [new_id(), name, currency, live],
        ).fetchone()
    assert row is not None
    return int(row[0])


async def ensure_simulator_accounts(
    database: Database,
    vault: Vault,
    tenant_id: int,
    simulator_url: str,
    names: tuple[tuple[str, int], ...] = DEMO_PROVIDERS,
) -> list[ProviderAccount]:
    """The tenant's accounts at the simulator, added or moved to where it runs now."""
    async with database.unit_of_work(tenant_id) as tx:
        existing = {account.name: account for account in await load_all(tx, vault, tenant_id)}
        for name, priority in names:
            if name not in existing:
                await _add_simulator_account(
                    tx, vault, tenant_id, simulator_url, name=name, priority=priority
                )
            elif existing[name].base_url != simulator_url:
                locked = await load_named(tx, vault, tenant_id, name)
                await save(tx, vault, tenant_id, replace(locked, base_url=simulator_url))
        wanted = {name for name, _ in names}
        return [a for a in await load_all(tx, vault, tenant_id) if a.name in wanted]


async def register_at_simulator(
    accounts: list[ProviderAccount], simulator_url: str, public_url: str
) -> None:
    """Tell the simulator the keys of our accounts and where to call back."""
    async with httpx.AsyncClient(
        base_url=simulator_url, trust_env=False, verify=usual_authorities()
    ) as client:
        for account in accounts:
            credentials = account.credentials()
            try:
                answer = await client.post(
                    "/_accounts",
                    json={
                        "name": encode("prv", account.id),
                        "secret_key": credentials.secret("secret_key"),
                        "webhook_url": webhook_url(public_url, account.id),
                        "webhook_secret": credentials.secret(WEBHOOK_SECRET),
                    },
                )
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise SimulatorUnreachable(url=simulator_url, reason=str(error)) from error


async def _add_simulator_account(
    tx: Tx, vault: Vault, tenant_id: int, simulator_url: str, *, name: str, priority: int
) -> None:
    account = NewProviderAccount(
        name=name,
        adapter=SimulatorAdapter.manifest.name,
        base_url=simulator_url,
        priority=priority,
        secrets={
            "secret_key": [f"sim_{random_secret()}"],
            WEBHOOK_SECRET: [f"simwh_{random_secret()}"],
        },
    )
    await add(tx, vault, tenant_id, account, SimulatorAdapter.manifest)


async def _allow_demo_origins(database: Database, tenant_id: int) -> None:
    async with database.unit_of_work(tenant_id) as tx:
        for origin in DEMO_ORIGINS:
            await allow_origin(tx, tenant_id, origin, actor=_ACTOR, correlation_id="bootstrap")


async def _ensure_demo_key(database: Database, tenant_id: int, path: Path) -> None:
    """Print a new demo key once; a key that still works is left alone."""
    if await authenticate(database, _kept(path)):
        return
    async with database.unit_of_work(tenant_id) as tx:
        key = await issue(
            tx,
            tenant_id,
            name="demo",
            scopes=SCOPES,
            actor=_ACTOR,
            correlation_id="bootstrap",
        )
        # Before the commit: a key nobody knows would be worse than a file without a key.
        _keep(path, key.secret)
    log.info("demo_key_issued", path=str(path))
    print(f"\n  Demo server key (also in {path}):\n\n    {key.secret}\n")  # noqa: T201 - shown once, on purpose


def _kept(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _keep(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{secret}\n")
