"""The inbox: one row for each event, however often it is delivered."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final
from uuid import UUID

from core.database import Tx
from core.identifiers import new_id
from gateways.port import CallbackRequest, ProviderEvent

EVENT_ID_LENGTH_MAX: Final = 255
_KEPT_HEADERS_MAX: Final = 64
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


async def keep(  # noqa: PLR0917 - whose, what it says, where it belongs
    tx: Tx,
    tenant_id: int,
    account_id: UUID,
    request: CallbackRequest,
    events: Sequence[ProviderEvent],
    correlation_id: str,
) -> int:
    """Insert one row per event not seen before; return how many were new.

    Sorted by event id, so that two deliveries of one batch cannot wait for each other.
    """
    events = sorted(events, key=lambda event: event_key(event.event_id))
    status = await tx.execute(
        """INSERT INTO inbound_webhook
             (tenant_id, id, provider_account_id, provider_event_id, kind, payload, headers,
              body_sha256, correlation_id, received_at, next_action_at)
           SELECT $1, id, $2, event_id, kind, $6, $7, $8, $9, $10, clock_timestamp()
             FROM unnest($3::UUID[], $4::TEXT[], $5::TEXT[])
                  WITH ORDINALITY AS event (id, event_id, kind, place)
            ORDER BY place
           ON CONFLICT (tenant_id, provider_account_id, provider_event_id)
             WHERE provider_event_id IS NOT NULL DO NOTHING""",
        tenant_id,
        account_id,
        [new_id() for _ in events],
        [event_key(event.event_id) for event in events],
        [shown(event.kind, EVENT_ID_LENGTH_MAX) for event in events],
        request.body,
        _harmless(request.headers),
        sha256(request.body).digest(),
        correlation_id,
        request.received_at,
    )
    return int(status.rpartition(" ")[2])


def not_understood(request: CallbackRequest) -> ProviderEvent:
    """Stands for a proven callback that could not be read: kept, so that a person sees it."""
    return ProviderEvent(_digest(request.body), "unparseable", request.received_at)


def event_key(event_id: str) -> str:
    """The event id; one that the index or the database cannot hold is kept as its digest."""
    if len(event_id) <= EVENT_ID_LENGTH_MAX and event_id.isprintable():
        return event_id
    return _digest(event_id.encode("utf-8", "surrogatepass"))


def shown(text: str, length_max: int) -> str:
    """Foreign text as the database can hold it: no NUL, no half characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:length_max])


def _digest(body: bytes) -> str:
    return f"sha256:{sha256(body).hexdigest()}"


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    kept = [item for item in headers.items() if item[0] not in _SECRET_HEADERS]
    return dict(kept[:_KEPT_HEADERS_MAX])
