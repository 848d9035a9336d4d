"""Take a callback in: prove it, keep it once, answer. Nothing else happens in the request."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from core.clock import Clock
from core.crypto import Vault
from core.database import Database, Tx
from core.errors import CounterfoilError
from core.identifiers import MalformedId, decode
from core.tracing import note
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
from webhooks.inbox import keep, not_understood
from webhooks.metrics import WebhookMetrics

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider is told. The body is constant: it says nothing about us."""

    status: int
    body: bytes = b"{}"


ACCEPTED: Final = Answer(200, b'{"received":true}')
_NO_SUCH_ACCOUNT: Final = Answer(404, b'{"error":"not found"}')
_STALE: Final = Answer(400, b'{"error":"timestamp outside the tolerance"}')
_FORGED: Final = Answer(401, b'{"error":"signature not valid"}')
_UNAVAILABLE: Final = Answer(503, b'{"error":"try again later"}')


class _NoSuchAccount(Exception):
    """Nobody we know calls back at this address."""


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
        grow the database. A duplicate is answered like the first. What cannot be kept is answered
        503, so that the provider sends it again.
        """
        request = CallbackRequest(headers, query, body, self.clock.now())
        try:
            answer, new = await self._take(decode("prv", account_id), request, correlation_id)
        except (MalformedId, _NoSuchAccount):
            self.metrics.received.labels("", "no_such_account").inc()
            return _NO_SUCH_ACCOUNT
        except (CounterfoilError, asyncpg.PostgresError):
            _log.exception("webhook.not_kept", account=account_id)
            self.metrics.received.labels("", "unavailable").inc()
            return _UNAVAILABLE
        if new:
            self.arrived.set()
        return answer

    async def _take(
        self, account_id: UUID, request: CallbackRequest, correlation: str
    ) -> tuple[Answer, int]:
        """The answer, and how many events were new. One unit of work: its first half only reads.

        Raises: _NoSuchAccount.
        """
        async with self.database.unit_of_work(None) as tx:
            tenant_id, account = await self._find(tx, account_id)
            events = self._prove(account, request)
            if isinstance(events, Answer):
                return events, 0
            new = await keep(tx, tenant_id, account.id, request, events, correlation)
        self.metrics.received.labels(account.adapter, "accepted" if new else "duplicate").inc()
        note(adapter=account.adapter, new_events=new)
        return ACCEPTED, new

    def _prove(
        self, account: ProviderAccount, request: CallbackRequest
    ) -> Sequence[ProviderEvent] | Answer:
        """What the provider says, if it is the provider who says it; else what it is told."""
        try:
            events = self.dispatcher.verify_and_parse(account, request)
        except StaleSignature:
            self.metrics.received.labels(account.adapter, "stale").inc()
            return _STALE
        except BadSignature as error:
            self.metrics.received.labels(account.adapter, "forged").inc()
            _log.warning("webhook.forged", provider=account.name, reason=str(error))
            return _FORGED
        except Unparseable:
            _log.warning("webhook.not_understood", provider=account.name, exc_info=True)
            events = []
        return events or [not_understood(request)]

    async def _find(self, tx: Tx, id: UUID) -> tuple[int, ProviderAccount]:
        """The account, whose tenant the unit of work then belongs to. Raises: _NoSuchAccount."""
        tenant_id = await tx.fetchval(
            """SELECT tenant_id FROM find_provider_account($1),
                      set_config('app.tenant', tenant_id::TEXT, TRUE)""",
            id,
        )
        if tenant_id is None:
            raise _NoSuchAccount
        return tenant_id, await load(tx, self.vault, tenant_id, id)
