"""Take a callback in: prove it, keep it once, answer. Nothing else happens in the request."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog

from core.clock import Clock
from core.crypto import Vault
from core.database import Database, Tx
from core.identifiers import MalformedId, decode, new_id
from gateways.accounts import ProviderAccount
from gateways.dispatcher import Dispatcher
from gateways.port import (
    BadSignature,
    CallbackRequest,
    ProviderEvent,
    StaleSignature,
    Unparseable,
)
from gateways.store import load
from webhooks.metrics import WebhookMetrics

_log = structlog.get_logger()

EVENT_ID_LENGTH_MAX: Final = 255
_KEPT_HEADERS_MAX: Final = 64
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider is told. The body is constant: it says nothing about us."""

    status: int
    body: bytes = b"{}"


ACCEPTED: Final = Answer(200, b'{"received":true}')
_NO_SUCH_ACCOUNT: Final = Answer(404, b'{"error":"not found"}')
_STALE: Final = Answer(400, b'{"error":"timestamp outside the tolerance"}')
_FORGED: Final = Answer(401, b'{"error":"signature not valid"}')


@dataclass(frozen=True, slots=True)
class Receiver:
    """What taking callbacks in needs. `arrived` wakes the processor of this process."""

    database: Database
    vault: Vault
    dispatcher: Dispatcher
    clock: Clock
    arrived: asyncio.Event
    metrics: WebhookMetrics

    async def receive(
        self,
        account_id: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        body: bytes,
        correlation_id: str,
    ) -> Answer:
        """Verify the raw bytes against every active secret, store each event once, say 2xx.

        A forged or stale callback leaves no row, only a counter, so that a flood of them cannot
        grow the database. A duplicate is answered like the first.
        """
        account_and_tenant = await self._find(account_id)
        if account_and_tenant is None:
            self.metrics.received.labels("", "no_such_account").inc()
            return _NO_SUCH_ACCOUNT
        tenant_id, account = account_and_tenant
        request = CallbackRequest(headers, query, body, self.clock.now())
        try:
            events = self.dispatcher.verify_and_parse(account, request)
        except StaleSignature:
            self.metrics.received.labels(account.adapter, "stale").inc()
            return _STALE
        except BadSignature:
            self.metrics.received.labels(account.adapter, "forged").inc()
            _log.warning("webhook.forged", provider=account.name)
            return _FORGED
        except Unparseable:
            # Proven, but not understood: kept, so that a person sees it and nothing is lost.
            digest = f"sha256:{sha256(body).hexdigest()}"
            events = [ProviderEvent(digest, "unparseable", request.received_at)]
        async with self.database.unit_of_work(tenant_id) as tx:
            new = await _keep(
                tx,
                tenant_id,
                account,
                request=request,
                events=events,
                correlation_id=correlation_id,
            )
        self.metrics.received.labels(account.adapter, "accepted" if new else "duplicate").inc()
        if new:
            self.arrived.set()
        return ACCEPTED

    async def _find(self, account_id: str) -> tuple[int, ProviderAccount] | None:
        try:
            id = decode("prv", account_id)
        except MalformedId:
            return None
        async with self.database.unit_of_work(None) as tx:
            tenant_id = await tx.fetchval("SELECT tenant_id FROM find_provider_account($1)", id)
        if tenant_id is None:
            return None
        async with self.database.unit_of_work(tenant_id) as tx:
            return tenant_id, await load(tx, self.vault, tenant_id, id)


async def _keep(
    tx: Tx,
    tenant_id: int,
    account: ProviderAccount,
    *,
    request: CallbackRequest,
    events: list[ProviderEvent],
    correlation_id: str,
) -> int:
    """Insert one row per event not seen before; return how many were new.

    Sorted by event id, so that two deliveries of one batch cannot wait for each other.
    """
    new = 0
    for event in sorted(events, key=lambda event: event.event_id):
        status = await tx.execute(
            """INSERT INTO inbound_webhook
                 (tenant_id, id, provider_account_id, provider_event_id, kind, payload, headers,
                  body_sha256, correlation_id, received_at, next_action_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp())
               ON CONFLICT ON CONSTRAINT inbound_webhook_event_unique DO NOTHING""",
            tenant_id,
            new_id(),
            account.id,
            event_key(event.event_id),
            event.kind[:EVENT_ID_LENGTH_MAX],
            request.body,
            _harmless(request.headers),
            sha256(request.body).digest(),
            correlation_id,
            request.received_at,
        )
        new += status == "INSERT 0 1"
    return new


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    kept = [item for item in headers.items() if item[0] not in _SECRET_HEADERS]
    return dict(kept[:_KEPT_HEADERS_MAX])


def event_key(event_id: str) -> str:
    """The event id; one too long for the index is kept as its digest."""
    if len(event_id) <= EVENT_ID_LENGTH_MAX:
        return event_id
    return f"sha256:{sha256(event_id.encode()).hexdigest()}"
