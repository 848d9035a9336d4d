"""What was said on the wire, fit to be stored and shown: bodies cut and masked, no credentials."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, quote_plus

import orjson

from gateways.port import Effect, HttpCall, HttpResponse

MASK: Final = "•••"
BODY_CHARACTERS_MAX: Final = 16_384
_SENSITIVE = re.compile(
    r'("(?:client_secret|secret|password|access_token|refresh_token|number|cvc|cvv)"\s*:\s*)'
    r'"(?:[^"\\]|\\.)*"'
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and what came of it. `status` is None and `error` set when no answer was read."""

    method: str
    url: str
    effect: Effect
    idempotency_key: str | None
    request_body: str
    status: int | None
    response_body: str
    error: str | None
    started_at: datetime
    latency_ms: float

    def as_json(self) -> dict[str, object]:
        """Plain values for a JSONB column."""
        return {
            "method": self.method,
            "url": self.url,
            "effect": self.effect.value,
            "idempotency_key": self.idempotency_key,
            "request_body": self.request_body,
            "status": self.status,
            "response_body": self.response_body,
            "error": self.error,
            "started_at": self.started_at.isoformat(),
            "latency_ms": round(self.latency_ms, 3),
        }


def _spellings(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote_plus(secret)}


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, however they are quoted in it."""
    for secret in secrets:
        if secret:
            for spelling in _spellings(secret):
                text = text.replace(spelling, MASK)
    return _SENSITIVE.sub(rf'\1"{MASK}"', text)


def without_secrets(response: HttpResponse, secrets: Iterable[str]) -> HttpResponse:
    """The answer as the adapter may see it: what it makes of it is stored and shown.

    A provider that quotes our own credentials at us (some do, in the message of an error) must not
    get them into evidence, declines or logs.
    """
    told = [secret for secret in secrets if secret]
    spellings = {form for secret in told for form in _spellings(secret)}
    body, headers = response.body, dict(response.headers)
    for spelling in spellings:
        body = body.replace(spelling.encode(), MASK.encode())
        headers = {name: value.replace(spelling, MASK) for name, value in headers.items()}
    return HttpResponse(response.status, headers, body)


def masked_body(body: bytes, secrets: Iterable[str]) -> str:
    """At most 16 384 characters of a body, masked; NUL, which JSONB refuses, is replaced.

    Masked before it is cut, so that no half of a secret is left at the edge.
    """
    text = mask(body.decode("utf-8", "replace"), secrets).replace("\x00", "�")
    return text[:BODY_CHARACTERS_MAX]


def pack_call(call: HttpCall) -> bytes:
    """The exact call as bytes, to be sealed and stored. It contains credentials."""
    return orjson.dumps(
        {
            "method": call.method,
            "url": call.url,
            "headers": dict(call.headers),
            "body": call.body.hex(),
            "effect": call.effect.value,
            "idempotency_key": call.idempotency_key,
            "connect_timeout_seconds": call.connect_timeout_seconds,
            "read_timeout_seconds": call.read_timeout_seconds,
            "secrets": list(call.secrets),
        }
    )


def unpack_call(packed: bytes) -> HttpCall:
    """The inverse of `pack_call`."""
    stored = orjson.loads(packed)
    return HttpCall(
        method=stored["method"],
        url=stored["url"],
        headers=stored["headers"],
        body=bytes.fromhex(stored["body"]),
        effect=Effect(stored["effect"]),
        idempotency_key=stored["idempotency_key"],
        connect_timeout_seconds=stored["connect_timeout_seconds"],
        read_timeout_seconds=stored["read_timeout_seconds"],
        secrets=tuple(stored["secrets"]),
    )
