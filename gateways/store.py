"""Provider accounts in the database: added, read with their secrets opened, changed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID

import asyncpg
import orjson

from core.crypto import Vault
from core.database import Database, Tx
from core.errors import Rejected
from core.identifiers import encode, new_id
from gateways.accounts import BreakerPolicy, ProviderAccount
from gateways.breaker import BreakerStatus
from gateways.port import Limits, Manifest


class ProviderNameTaken(Rejected):
    """There is a provider account of this name already."""


class ProviderNotFound(Rejected):
    """There is no such provider account."""

    code = "NOT_FOUND"


class ProviderIncomplete(Rejected):
    """The adapter needs settings or secrets that were not given."""


@dataclass(frozen=True, slots=True)
class NewProviderAccount:
    """What an operator says about a provider account. `secrets`: newest value first."""

    name: str
    adapter: str
    base_url: str
    secrets: Mapping[str, Sequence[str]] = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict)
    omit: frozenset[str] = frozenset()
    priority: int = 100
    live: bool = False
    methods: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    limits: tuple[Limits, ...] = ()
    breaker_policy: BreakerPolicy = field(default_factory=BreakerPolicy)


async def add(
    tx: Tx, vault: Vault, tenant_id: int, account: NewProviderAccount, manifest: Manifest
) -> UUID:
    """Store one more account. Raises: ProviderIncomplete, ProviderNameTaken."""
    given = {name for name, values in account.secrets.items() if any(values)}
    missing = (set(manifest.secret_fields) - given) | (
        set(manifest.account_fields) - set(account.fields)
    )
    if missing:
        raise ProviderIncomplete(adapter=account.adapter, missing=sorted(missing))
    account_id = new_id()
    try:
        await tx.execute(
            """INSERT INTO provider_account
                 (tenant_id, id, name, adapter, base_url, fields, secrets_sealed, omit, priority,
                  live, methods, countries, limits, breaker_policy)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)""",
            tenant_id,
            account_id,
            account.name,
            account.adapter,
            account.base_url.rstrip("/"),
            dict(account.fields),
            _seal(vault, account_id, account.secrets),
            sorted(account.omit),
            account.priority,
            account.live,
            sorted(account.methods),
            sorted(account.countries),
            [asdict(limits) for limits in account.limits],
            asdict(account.breaker_policy),
        )
    except asyncpg.UniqueViolationError as error:
        raise ProviderNameTaken(name=account.name) from error
    return account_id


async def load_all(tx: Tx, vault: Vault, tenant_id: int) -> list[ProviderAccount]:
    """Every account of a tenant, in the order routing tries them."""
    rows = await tx.fetch(
        "SELECT * FROM provider_account WHERE tenant_id = $1 ORDER BY priority, name", tenant_id
    )
    return [_opened(row, vault) for row in rows]


async def load(tx: Tx, vault: Vault, tenant_id: int, account_id: UUID) -> ProviderAccount:
    """One account. Raises: ProviderNotFound."""
    row = await tx.fetchrow(
        "SELECT * FROM provider_account WHERE tenant_id = $1 AND id = $2", tenant_id, account_id
    )
    if row is None:
        raise ProviderNotFound(id=encode("prv", account_id))
    return _opened(row, vault)


async def load_named(tx: Tx, vault: Vault, tenant_id: int, name: str) -> ProviderAccount:
    """One account by its name, locked for a change. Raises: ProviderNotFound."""
    row = await tx.fetchrow(
        "SELECT * FROM provider_account WHERE tenant_id = $1 AND name = $2 FOR NO KEY UPDATE",
        tenant_id,
        name,
    )
    if row is None:
        raise ProviderNotFound(name=name)
    return _opened(row, vault)


async def save(tx: Tx, vault: Vault, tenant_id: int, account: ProviderAccount) -> None:
    """Write what an operator may change of an account. Raises: ProviderNotFound."""
    done = await tx.execute(
        """UPDATE provider_account
              SET base_url = $3, priority = $4, enabled = $5, secrets_sealed = $6,
                  breaker_policy = $7, fields = $8, version = version + 1,
                  updated_at = clock_timestamp()
            WHERE tenant_id = $1 AND id = $2""",
        tenant_id,
        account.id,
        account.base_url.rstrip("/"),
        account.priority,
        account.enabled,
        _seal(vault, account.id, account.secrets),
        asdict(account.breaker_policy),
        dict(account.fields),
    )
    if done != "UPDATE 1":
        raise ProviderNotFound(id=encode("prv", account.id))


async def publish_health(database: Database, status: BreakerStatus) -> None:
    """Tell other processes and people what a breaker of this process has become."""
    owner = await database.find(
        "SELECT tenant_id FROM find_provider_account($1)", status.account_id
    )
    if owner is None:
        return
    tenant_id: int = owner["tenant_id"]
    async with database.unit_of_work(tenant_id) as tx:
        await tx.execute(
            """INSERT INTO provider_health AS h
                 (tenant_id, provider_account_id, kind, state, since, next_probe_at, reason)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (tenant_id, provider_account_id, kind) DO UPDATE
                 SET state = excluded.state, since = excluded.since,
                     next_probe_at = excluded.next_probe_at, reason = excluded.reason,
                     updated_at = clock_timestamp()""",
            tenant_id,
            status.account_id,
            status.kind,
            status.state.value,
            status.since,
            status.next_probe_at,
            f"{status.failures} failures in a row" if status.failures else None,
        )


def _place(account_id: UUID) -> str:
    return f"provider_account.secrets/{account_id}"


def _seal(vault: Vault, account_id: UUID, secrets: Mapping[str, Sequence[str]]) -> bytes:
    return vault.seal(orjson.dumps({k: list(v) for k, v in secrets.items()}), _place(account_id))


def _opened(row: asyncpg.Record, vault: Vault) -> ProviderAccount:
    secrets = orjson.loads(vault.open(row["secrets_sealed"], _place(row["id"])))
    return ProviderAccount(
        id=row["id"],
        name=row["name"],
        adapter=row["adapter"],
        base_url=row["base_url"],
        priority=row["priority"],
        enabled=row["enabled"],
        live=row["live"],
        fields=row["fields"],
        secrets={name: tuple(values) for name, values in secrets.items()},
        methods=frozenset(row["methods"]),
        countries=frozenset(row["countries"]),
        limits=tuple(Limits(**limits) for limits in row["limits"]),
        breaker_policy=BreakerPolicy(**row["breaker_policy"]),
        omit=frozenset(row["omit"]),
    )
