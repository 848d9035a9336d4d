"""The content hash of a transaction, computed a second time, independently of the database.

SHA-256 over the fields in the order below, each with its length before it (-1 for a missing one),
in the layout of PostgreSQL's array_send for bytea[]: dimensions 1, a flag whether any field is
missing, the type number of bytea, the number of fields, lower bound 1. Integers are big-endian;
instants are microseconds since 2000-01-01 UTC. Legs are fixed-width records in order of leg number.
"""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

_FORMAT_NAME: Final = b"counterfoil.transaction.1"
_BYTEA: Final = 17
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LEG: Final = struct.Struct(">hqqhsq3sqqqq")


class Row(Protocol):
    """A row with its columns by name."""

    def __getitem__(self, column: str, /) -> Any: ...


def content_hash(header: Row, legs: Iterable[Row]) -> bytes:
    """The hash of a row of ledger_transaction (`metadata` as PostgreSQL prints it) and entries."""
    return hashlib.sha256(_array(_fields(header, legs))).digest()


def _fields(header: Row, legs: Iterable[Row]) -> list[bytes | None]:
    return [
        _FORMAT_NAME,
        _number(header["tenant_id"], ">i"),
        _number(header["id"]),
        _id(header["public_id"]),
        _text(header["key"]),
        _text(header["recipe"]),
        _number(header["leg_count"], ">h"),
        _id(header["hold_id"]),
        _number(header["hold_opened"]),
        _number(header["hold_captured"]),
        _number(header["hold_released"]),
        _number(header["reverses_id"]),
        _id(header["payment_id"]),
        _id(header["refund_id"]),
        _id(header["operation_id"]),
        _id(header["provider_account_id"]),
        _text(header["provider_ref"]),
        _text(header["correlation_id"]),
        _instant(header["effective_at"]),
        _instant(header["recorded_at"]),
        _text(header["description"]),
        _text(header["metadata"]),
        b"\1" if header["external_fact"] else b"\0",
        _text(header["created_by"]),
        b"".join(map(_leg, legs)),
    ]


def _leg(entry: Row) -> bytes:
    return _LEG.pack(
        entry["leg_no"],
        entry["account_id"],
        entry["seq"],
        entry["layer"],
        entry["direction"].encode(),
        entry["amount"],
        entry["currency"].encode(),
        entry["debits_posted_after"],
        entry["credits_posted_after"],
        entry["debits_pending_after"],
        entry["credits_pending_after"],
    )


def _array(fields: list[bytes | None]) -> bytes:
    parts = [struct.pack(">iiiii", 1, int(None in fields), _BYTEA, len(fields), 1)]
    for field in fields:
        parts.append(struct.pack(">i", -1 if field is None else len(field)))
        parts.append(field or b"")
    return b"".join(parts)


def _number(value: int | None, layout: str = ">q") -> bytes | None:
    return None if value is None else struct.pack(layout, value)


def _id(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _instant(value: datetime) -> bytes:
    return struct.pack(">q", (value - _EPOCH) // _MICROSECOND)
