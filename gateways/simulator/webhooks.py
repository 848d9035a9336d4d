"""Callbacks of the simulator: proving where they come from, and what they say.

The header is `Simulator-Signature: t=<unix seconds>,v1=<hex>`, the hexadecimal HMAC-SHA256 of
"{t}.{raw body}" under the account's webhook secret.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from gateways.port import (
    BadSignature,
    CallbackRequest,
    ProviderEvent,
    StaleSignature,
)
from gateways.simulator import mapping, reading

HEADER: Final = "simulator-signature"
TOLERANCE_SECONDS: Final = 300
SIGNATURES_MAX: Final = 16
_HEADER_MAX: Final = 4096
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TYPES: Final = frozenset(
    "payment.authorized payment.captured payment.declined payment.requires_action payment.pending "
    "payment.voided payment.expired capture.succeeded refund.succeeded refund.failed".split()
)


def verify(request: CallbackRequest, secrets: Sequence[str]) -> None:
    """Raises: BadSignature, StaleSignature (right, but older or newer than 300 seconds)."""
    seconds, signatures = _read_header(request.headers.get(HEADER, ""))
    signed = f"{seconds}.".encode() + request.body
    proven = False
    for secret in secrets:
        if not secret:
            continue
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        for signature in signatures:
            proven |= hmac.compare_digest(expected, signature)
    if not proven:
        raise BadSignature("no signature matches")
    if abs(request.received_at.timestamp() - int(seconds)) > TOLERANCE_SECONDS:
        raise StaleSignature("signed too long ago, or in the future")


def _read_header(header: str) -> tuple[str, list[str]]:
    """Time as it was signed, and the candidate signatures. Raises: BadSignature."""
    parts = header.split(",") if len(header) <= _HEADER_MAX else []
    fields = [part.strip().partition("=") for part in parts]
    times = [value for name, _, value in fields if name == "t"]
    signatures = [value for name, _, value in fields if name == "v1"]
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]):
        raise BadSignature("no time")
    if not 0 < len(signatures) <= SIGNATURES_MAX:
        raise BadSignature("no signature, or too many")
    return times[0], [value for value in signatures if _SIGNATURE.fullmatch(value)]


def parse(request: CallbackRequest) -> list[ProviderEvent]:
    """One event. A type we do not act on has no outcome. Raises: Unparseable."""
    event = reading.parse(request.body)
    event_id, type = reading.text(event, "id"), reading.text(event, "type")
    occurred_at = reading.moment(event, "created")
    if type not in _TYPES:
        return [ProviderEvent(event_id, type, occurred_at)]
    document = reading.child(event, "data")
    kind = mapping.operation_kind(document)
    outcome = mapping.document_outcome(document)
    paid = kind in mapping.PAYMENT_KINDS
    reference = document.get("reference")
    return [
        ProviderEvent(
            event_id,
            type,
            occurred_at,
            outcome=outcome,
            operation_kind=kind,
            operation_id=None if reference is None else reading.text(document, "reference"),
            provider_ref=outcome.provider_ref,
            payment_ref=reading.text(document, "id" if paid else "payment"),
        )
    ]
