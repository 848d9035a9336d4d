"""Callbacks, audit lines and used idempotency keys as the API shows them."""

from dataclasses import dataclass
from datetime import datetime

import orjson

from resolvers.views.rows import View, column, public_id


def as_json(body: bytes) -> object:
    """The body as JSON, or as text where it is none; what is not UTF-8 is shown as U+FFFD."""
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return bytes(body).decode("utf-8", "replace")
    return parsed


class InboundWebhook(View):
    """One callback of a provider."""

    id = public_id("whk")
    provider_event_id = column("provider_event_id")
    kind = column("kind")
    status = column("status")
    tries = column("tries")
    received_at = column("received_at")
    processed_at = column("processed_at")
    error = column("error")


class AuditEntry(View):
    """Who did what."""

    id = public_id("aud")
    at = column("at")
    actor = column("actor")
    action = column("action")
    subject_id = column("subject")
    before = column("before")
    after = column("after")
    refused = column("refused")
    correlation_id = column("correlation_id")


@dataclass(frozen=True, slots=True)
class IdempotentResult:
    """What became of the first call with a key. `resource_id` is the public id of its resource."""

    key: str
    mutation: str
    state: str
    first_seen_at: datetime
    resource_id: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is asking."""

    tenant_id: str
    key_id: str
    live: bool
    scopes: list[str]
    api_version: str
