"""Milliseconds since 1970 in the books, RFC 3339 in answers; random identifiers."""

import secrets
import time
from datetime import UTC, datetime


def now_ms() -> int:
    """The current instant."""
    return time.time_ns() // 1_000_000


def rfc3339(milliseconds: int) -> str:
    """2026-03-01T12:00:00.123Z"""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id(prefix: str) -> str:
    """An unguessable id: prefix, underscore, 24 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(12)}"
