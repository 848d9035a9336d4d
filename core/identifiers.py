"""Public identifiers: TypeIDs, a prefix that says what the thing is and a sortable UUIDv7.

In the database an id is the bare `uuid`; the prefix is put on and taken off at the API's edge.
Source: https://github.com/jetify-com/typeid/tree/main/spec
"""

from typing import Final
from uuid import UUID

import uuid_utils
from typeid import TypeID
from typeid.errors import TypeIDException
from uuid_utils.compat import uuid7

from core.errors import Rejected

PREFIXES: Final = {
    "ten": "Tenant",
    "key": "ApiKey",
    "pay": "Payment",
    "att": "PaymentAttempt",
    "op": "ProviderOperation",
    "evd": "Evidence",
    "ref": "Refund",
    "acc": "Account",
    "txn": "Transaction",
    "ent": "Entry",
    "hld": "Hold",
    "prv": "Provider",
    "sm": "SavedMethod",
    "whk": "InboundWebhook",
    "evt": "Event",
    "rec": "ReconciliationRun",
    "dis": "Discrepancy",
    "aud": "AuditEntry",
}
"""Prefix of each kind of thing, and the GraphQL type it names."""


class MalformedId(Rejected):
    """The id is not one of ours."""

    code = "MALFORMED_ID"


def new_id() -> UUID:
    """A fresh UUIDv7: sortable by the time it was made."""
    return uuid7()


def encode(prefix: str, id: UUID) -> str:
    """The public form: encode("pay", id) is "pay_01k…"."""
    assert prefix in PREFIXES, prefix
    return str(TypeID.from_uuid(suffix=uuid_utils.UUID(bytes=id.bytes), prefix=prefix))


def decode(prefix: str, public_id: str) -> UUID:
    """The bare id behind a public one of the expected kind. Raises: MalformedId."""
    found, id = split(public_id)
    if found != prefix:
        raise MalformedId(id=public_id[:80], expected=prefix)
    return id


def split(public_id: str) -> tuple[str, UUID]:
    """Prefix and bare id of any public id. Raises: MalformedId."""
    try:
        parsed = TypeID.from_string(public_id)
        id = UUID(str(parsed.uuid))
    except (TypeIDException, ValueError) as error:
        raise MalformedId(id=public_id[:80]) from error
    if parsed.prefix not in PREFIXES:
        raise MalformedId(id=public_id[:80])
    return parsed.prefix, id
