"""Telling providers that a method was removed, until they say that they have forgotten it.

    removed (committed) ──▶ claim ──▶ provider ──▶ forgotten: the token is deleted here as well
                              ▲                └─▶ not certain: again, later and later
                              └────────────────────────┘

Forgetting twice is forgetting once, so whatever is not certain is simply repeated; it never gives
up, since a card that a provider keeps without its owner's will is not a matter of hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.claims import Claim, full_jitter, lease
from core.database import CommitOutcomeUnknown, DatabaseUnavailable, Tx
from core.identifiers import encode
from core.telemetry import correlation
from core.tracing import Flow, root_span
from gateways.accounts import ProviderAccount
from gateways.port import StoredMethod
from gateways.store import load
from payments.saved_methods import open_token
from payments.services import PaymentServices

_RETRY_SECONDS: Final = 2.0
_RETRY_SECONDS_MAX: Final = 21_600.0
_RETRY_SECONDS_MIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Task:
    """A removed method whose provider must be told."""

    account: ProviderAccount
    method: StoredMethod
    correlation_id: str
    tries: int


@dataclass(frozen=True, slots=True)
class DetachmentWork:
    """Removed methods as durable work (core.claims.Work)."""

    services: PaymentServices

    async def claim(self, limit: int) -> Sequence[Claim]:
        """Lease due ones of any tenant, in a unit of work of its own."""
        async with self.services.database.unit_of_work(None) as tx:
            rows = await tx.fetch(
                "SELECT tenant_id, saved_method_id, fence FROM claim_detachments($1, $2)",
                limit,
                lease(self.services.lease_seconds),
            )
        return [Claim(row["tenant_id"], row["saved_method_id"], row["fence"]) for row in rows]

    async def advance(self, claim: Claim) -> None:
        """Tell the provider of one removal."""
        try:
            await _advance(self.services, claim)
        except (CommitOutcomeUnknown, DatabaseUnavailable):
            return  # the lease brings the row back, and telling it again is harmless


async def _advance(services: PaymentServices, claim: Claim) -> None:
    task = await _load(services, claim)
    if task is None:
        return
    with (
        correlation(task.correlation_id) as id,
        root_span("saved_method.detach", Flow(id), "consumer") as traced,
    ):
        forgotten = await services.dispatcher.detach(
            task.account,
            task.method,
            f"{encode('sm', claim.id)}.{claim.fence}",
            correlation_id=id,
        )
        traced.note(forgotten=forgotten)
        if forgotten:
            await _forget(services, claim)
        else:
            await _postpone(services, claim, task.tries)


async def _load(services: PaymentServices, claim: Claim) -> _Task | None:
    """What was claimed; None if somebody else has it, or has done it, by now."""
    async with services.database.unit_of_work(claim.tenant_id) as tx:
        row = await tx.fetchrow(
            """
            SELECT provider_account_id, token_sealed, provider_customer, correlation_id, tries
              FROM saved_method
             WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND detached_at IS NULL
            """,
            claim.tenant_id,
            claim.id,
            claim.fence,
        )
        if row is None:
            return None
        account = await load(tx, services.vault, claim.tenant_id, row["provider_account_id"])
    token = open_token(services.vault, claim.id, row["token_sealed"])
    method = StoredMethod(token, row["provider_customer"])
    return _Task(account, method, row["correlation_id"], row["tries"])


async def _forget(services: PaymentServices, claim: Claim) -> None:
    """The provider's word, whoever holds the claim by now."""

    async def work(tx: Tx) -> None:
        await tx.execute(
            """
            UPDATE saved_method
               SET detached_at = clock_timestamp(), token_sealed = NULL, next_action_at = NULL,
                   lease_until = NULL
             WHERE tenant_id = $1 AND id = $2 AND detached_at IS NULL
            """,
            claim.tenant_id,
            claim.id,
        )

    await services.database.run(claim.tenant_id, work, patient=True)


async def _postpone(services: PaymentServices, claim: Claim, tries: int) -> None:
    wait = _RETRY_SECONDS_MIN + full_jitter(
        services.random, _RETRY_SECONDS, tries, _RETRY_SECONDS_MAX
    )

    async def work(tx: Tx) -> None:
        await tx.execute(
            """
            UPDATE saved_method
               SET next_action_at = clock_timestamp() + $4::INTERVAL, lease_until = NULL
             WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND detached_at IS NULL
            """,
            claim.tenant_id,
            claim.id,
            claim.fence,
            timedelta(seconds=wait),
        )

    await services.database.run(claim.tenant_id, work, patient=True)
