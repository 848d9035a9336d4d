"""Turn stored callbacks into evidence, each in one unit of work.

claim ─▶ translate (pure) ─▶ find the operation ─▶ evidence → projection → outbox → entries
                                    │ none                      and the inbox row is done
                                    ├─ a payment of ours: a movement made without us
                                    └─ nothing known: DEFERRED, after 24 h an orphan
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from core.claims import Claim
from core.database import Tx
from core.errors import Unavailable
from core.telemetry import correlation
from core.tracing import Flow, root_span
from gateways.port import CallbackRequest, ProviderEvent, SupportsWebhooks, Unparseable
from payments import (
    Fact,
    PaymentServices,
    conclude,
    find_operation,
    open_discrepancy,
    record_external,
)
from webhooks.inbox import event_key, keep, not_understood, shown
from webhooks.metrics import WebhookMetrics

_log = structlog.get_logger()

TRIES_MAX: Final = 8
"""Failures after which a callback is DEAD and waits for a person."""
DEFERRED_AT_MOST: Final = timedelta(hours=24)
_BACKOFF_SECONDS_MAX: Final = 900.0
_DEFERRED_SECONDS_MIN: Final = 0.2
_ERROR_LENGTH_MAX: Final = 500
_ORPHANED: Final = "It names nothing we know; see the discrepancy ORPHAN_WEBHOOK."


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
        database = self.payments.database
        try:
            status = await database.run(claim.tenant_id, lambda tx: self._process(tx, claim))
        except Exception as failure:  # noqa: BLE001 - an adapter may break in any way, and must not loop unseen
            _log.exception("webhook.failed", webhook=str(claim.id))
            error = failure
            status = await database.run(claim.tenant_id, lambda tx: self._failed(tx, claim, error))
        self.metrics.processed.labels(status).inc()

    async def _process(self, tx: Tx, claim: Claim) -> str:
        row = await tx.fetchrow(
            """SELECT w.*, a.adapter, a.live
                 FROM inbound_webhook AS w
                 JOIN provider_account AS a
                   ON a.tenant_id = w.tenant_id AND a.id = w.provider_account_id
                WHERE w.tenant_id = $1 AND w.id = $2 AND w.fence = $3
                  AND w.next_action_at IS NOT NULL
                  FOR NO KEY UPDATE OF w""",
            claim.tenant_id,
            claim.id,
            claim.fence,
        )
        if row is None:
            return "LOST"
        with (
            correlation(row["correlation_id"]) as id,
            root_span("webhook.process", Flow(id), "consumer") as span,
        ):
            status = await self._translate(tx, row)
            span.note(adapter=row["adapter"], status=status)
        await self._done(tx, row, status)
        return status

    async def _translate(self, tx: Tx, row: asyncpg.Record) -> str:
        """Read the row's event again from the proven bytes, and let it have its effect.

        A callback that was not understood when it came, and is now that the adapter was mended,
        is kept again: as the events in it. Raises: Unparseable.
        """
        adapter = self.payments.dispatcher.registry.of(row["adapter"])
        assert isinstance(adapter, SupportsWebhooks)
        request = CallbackRequest(row["headers"], {}, row["payload"], row["received_at"])
        events = adapter.parse_webhook(request)
        if any(event.live not in {None, row["live"]} for event in events):
            raise Unparseable("it is of the other mode (live, test) than its account")
        for event in events:
            if event_key(event.event_id) == row["provider_event_id"]:
                return await self._take(tx, row, event)
        if row["provider_event_id"] != not_understood(request).event_id or not events:
            raise Unparseable(f"no event {row['provider_event_id']} in the stored callback")
        owner = (row["tenant_id"], row["provider_account_id"])
        await keep(tx, *owner, request, events, row["correlation_id"])
        return "PROCESSED"

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
        """Write down what became of it. One that waits has not failed: its tries begin anew."""
        wait = self._until_next_look(row) if status == "DEFERRED" else None
        await tx.execute(
            """UPDATE inbound_webhook
                  SET status = $3, error = $4, lease_until = NULL,
                      tries = CASE WHEN $5::INTERVAL IS NULL THEN tries ELSE 0 END,
                      processed_at = CASE WHEN $5 IS NULL THEN clock_timestamp() END,
                      next_action_at = clock_timestamp() + $5
                WHERE tenant_id = $1 AND id = $2""",
            row["tenant_id"],
            row["id"],
            status,
            _ORPHANED if status == "DEAD" else None,
            wait,
        )

    async def _failed(self, tx: Tx, claim: Claim, error: Exception) -> str:
        """Keep the row unprocessed, so that its event is not lost; give up after 8 tries.

        That we are not available is not the fault of the event: then it is tried on and on.
        """
        row = await tx.fetchrow(
            """SELECT tries FROM inbound_webhook
                WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND next_action_at IS NOT NULL
                  FOR NO KEY UPDATE""",
            claim.tenant_id,
            claim.id,
            claim.fence,
        )
        if row is None:
            return "LOST"
        dead = row["tries"] >= TRIES_MAX and not isinstance(error, Unavailable)
        status = "DEAD" if dead else "FAILED"
        await tx.execute(
            """UPDATE inbound_webhook
                  SET status = $3, error = $4, lease_until = NULL,
                      next_action_at = clock_timestamp() + $5::INTERVAL
                WHERE tenant_id = $1 AND id = $2""",
            claim.tenant_id,
            claim.id,
            status,
            shown(f"{type(error).__name__}: {error}", _ERROR_LENGTH_MAX),
            None if dead else self._backoff(row["tries"]),
        )
        return status

    def _backoff(self, tries: int) -> timedelta:
        """Full jitter under a doubling bound, at most 15 minutes."""
        bound = min(_BACKOFF_SECONDS_MAX, 0.5 * 2 ** min(tries, 20))
        return timedelta(seconds=self.random.uniform(0.1, bound))

    def _until_next_look(self, row: asyncpg.Record) -> timedelta:
        """About as long as it has waited already, at most 15 minutes."""
        waited = (self.payments.clock.now() - row["received_at"]).total_seconds()
        bound = min(_BACKOFF_SECONDS_MAX, max(_DEFERRED_SECONDS_MIN, waited))
        return timedelta(seconds=self.random.uniform(bound / 2, bound))


def _fact(event: ProviderEvent) -> Fact:
    assert event.outcome is not None
    return Fact(
        source="WEBHOOK",
        outcome=event.outcome,
        provider_event_id=event_key(event.event_id),
        dedup_key=f"webhook:{event_key(event.event_id)}",
        occurred_at=event.occurred_at,
    )


async def replay(tx: Tx, tenant_id: int, ids: list[UUID], now: datetime) -> list[UUID]:
    """Put stored callbacks back into the queue; return those found.

    What was already posted is not posted again: evidence and postings are deduplicated.
    """
    rows = await tx.fetch(
        """WITH asked AS (
             -- In one order for all, so that two who ask for the same ones do not block each other.
             SELECT id FROM inbound_webhook
              WHERE tenant_id = $1 AND id = ANY($2::UUID[]) ORDER BY id FOR NO KEY UPDATE
           )
           UPDATE inbound_webhook AS w
              SET status = 'RECEIVED', tries = 0, error = NULL, next_action_at = $3,
                  lease_until = NULL, processed_at = NULL
             FROM asked WHERE w.tenant_id = $1 AND w.id = asked.id
        RETURNING w.id""",
        tenant_id,
        ids,
        now,
    )
    return [row["id"] for row in rows]
