"""Turn stored callbacks into evidence, each in one unit of work.

claim ─▶ translate (pure) ─▶ find the operation ─▶ evidence → projection → entries → outbox
                                    │ none                      and the inbox row is done
                                    ├─ a payment of ours: a movement made without us
                                    └─ nothing known: DEFERRED, after 24 h an orphan
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from core.claims import Claim
from core.database import Tx
from core.errors import CounterfoilError
from core.telemetry import correlation
from gateways.port import CallbackRequest, ProviderEvent, SupportsWebhooks, Unparseable
from gateways.store import load
from payments import (
    Fact,
    PaymentServices,
    conclude,
    find_operation,
    open_discrepancy,
    record_external,
)
from webhooks.metrics import WebhookMetrics
from webhooks.receiver import event_key

_log = structlog.get_logger()

TRIES_MAX: Final = 8
"""Failures after which a callback is DEAD and waits for a person."""
DEFERRED_AT_MOST: Final = timedelta(hours=24)
_BACKOFF_SECONDS_MAX: Final = 900.0


@dataclass(frozen=True, slots=True)
class Processor:
    """What working through the inbox needs."""

    payments: PaymentServices
    random: random.Random
    metrics: WebhookMetrics

    async def claim(self, limit: int) -> list[Claim]:
        """Lease due callbacks of any tenant, in a unit of work of its own."""
        async with self.payments.database.unit_of_work(None) as tx:
            rows = await tx.fetch(
                "SELECT * FROM claim_webhooks($1, $2)",
                limit,
                timedelta(seconds=self.payments.lease_seconds),
            )
        return [Claim(row["tenant_id"], row["webhook_id"], row["fence"]) for row in rows]

    async def advance(self, claim: Claim) -> None:
        """Process one callback; a failure is written down and tried again later."""
        try:
            status = await self.payments.database.run(
                claim.tenant_id, lambda tx: self._process(tx, claim)
            )
        except asyncio.CancelledError:
            raise
        except (CounterfoilError, asyncpg.PostgresError, Unparseable, AssertionError) as error:
            _log.exception("webhook.failed", webhook=str(claim.id))
            status = await self.payments.database.run(
                claim.tenant_id, lambda tx, error=error: self._failed(tx, claim, error)
            )
        self.metrics.processed.labels(status).inc()

    async def _process(self, tx: Tx, claim: Claim) -> str:
        row = await tx.fetchrow(
            """SELECT * FROM inbound_webhook
                WHERE tenant_id = $1 AND id = $2 AND fence = $3 FOR NO KEY UPDATE""",
            claim.tenant_id,
            claim.id,
            claim.fence,
        )
        if row is None or row["next_action_at"] is None:
            return "LOST"
        with correlation(row["correlation_id"]):
            event = await self._translate(tx, row)
            status = await self._take(tx, row, event)
        await self._done(tx, row, status)
        return status

    async def _translate(self, tx: Tx, row: asyncpg.Record) -> ProviderEvent:
        """The event of this row, read again from the proven bytes. Raises: Unparseable."""
        tenant_id, account_id = row["tenant_id"], row["provider_account_id"]
        account = await load(tx, self.payments.vault, tenant_id, account_id)
        adapter = self.payments.dispatcher.registry.of(account.adapter)
        assert isinstance(adapter, SupportsWebhooks)
        request = CallbackRequest(row["headers"], {}, row["payload"], row["received_at"])
        for event in adapter.parse_webhook(request):
            if event_key(event.event_id) == row["provider_event_id"]:
                return event
        raise Unparseable(f"no event {row['provider_event_id']} in the stored callback")

    async def _take(self, tx: Tx, row: asyncpg.Record, event: ProviderEvent) -> str:
        """Let one event have its effect; return what the inbox row becomes."""
        if event.outcome is None:
            return "IGNORED"
        tenant_id, account_id = row["tenant_id"], row["provider_account_id"]
        operation_id = await find_operation(tx, tenant_id, account_id, event)
        if operation_id is None:
            operation_id = await record_external(
                tx, self.payments, tenant_id, account_id, event, row["correlation_id"]
            )
        if operation_id is None:
            return await self._nothing_known(tx, row, event)
        await conclude(tx, self.payments, tenant_id, operation_id, [_fact(event)])
        return "PROCESSED"

    async def _nothing_known(self, tx: Tx, row: asyncpg.Record, event: ProviderEvent) -> str:
        """Wait for what it may belong to; after a day open a discrepancy. Never posts."""
        if self.payments.clock.now() - row["received_at"] < DEFERRED_AT_MOST:
            return "DEFERRED"
        await open_discrepancy(
            tx,
            row["tenant_id"],
            kind="ORPHAN_WEBHOOK",
            subject_key=str(row["id"]),
            provider_account_id=row["provider_account_id"],
            provider_ref=event.provider_ref or event.payment_ref,
            note=f"{event.kind} names nothing we know",
        )
        return "DEAD"

    async def _done(self, tx: Tx, row: asyncpg.Record, status: str) -> None:
        again = status == "DEFERRED"
        await tx.execute(
            """UPDATE inbound_webhook
                  SET status = $3, error = NULL, lease_until = NULL,
                      processed_at = CASE WHEN $4 THEN NULL ELSE clock_timestamp() END,
                      next_action_at =
                        CASE WHEN $4 THEN clock_timestamp() + $5::INTERVAL END
                WHERE tenant_id = $1 AND id = $2""",
            row["tenant_id"],
            row["id"],
            status,
            again,
            self._backoff(row["tries"]),
        )

    async def _failed(self, tx: Tx, claim: Claim, error: Exception) -> str:
        """Keep the row unprocessed, so that its event is not lost; give up after 8 tries."""
        row = await tx.fetchrow(
            "SELECT tries FROM inbound_webhook WHERE tenant_id = $1 AND id = $2 AND fence = $3",
            claim.tenant_id,
            claim.id,
            claim.fence,
        )
        if row is None:
            return "LOST"
        dead = row["tries"] >= TRIES_MAX
        await tx.execute(
            """UPDATE inbound_webhook
                  SET status = $4, error = $5, lease_until = NULL,
                      next_action_at = CASE WHEN $6 THEN NULL
                                            ELSE clock_timestamp() + $7::INTERVAL END
                WHERE tenant_id = $1 AND id = $2 AND fence = $3""",
            claim.tenant_id,
            claim.id,
            claim.fence,
            "DEAD" if dead else "FAILED",
            f"{type(error).__name__}: {error}"[:500],
            dead,
            self._backoff(row["tries"]),
        )
        return "DEAD" if dead else "FAILED"

    def _backoff(self, tries: int) -> timedelta:
        """Full jitter under a doubling bound, at most 15 minutes."""
        bound = min(_BACKOFF_SECONDS_MAX, 0.5 * 2 ** min(tries, 20))
        return timedelta(seconds=self.random.uniform(0.1, max(0.2, bound)))


def _fact(event: ProviderEvent) -> Fact:
    assert event.outcome is not None
    return Fact(
        source="WEBHOOK",
        outcome=event.outcome,
        provider_event_id=event.event_id,
        dedup_key=f"webhook:{event.event_id}",
        occurred_at=event.occurred_at,
    )


async def replay(tx: Tx, tenant_id: int, ids: list[UUID], now: datetime) -> list[UUID]:
    """Put stored callbacks back into the queue; return those found.

    What was already posted is not posted again: evidence and postings are deduplicated.
    """
    rows = await tx.fetch(
        """UPDATE inbound_webhook
              SET status = 'RECEIVED', tries = 0, error = NULL, next_action_at = $3,
                  lease_until = NULL, processed_at = NULL
            WHERE tenant_id = $1 AND id = ANY($2::UUID[])
        RETURNING id""",
        tenant_id,
        ids,
        now,
    )
    return [row["id"] for row in rows]
