"""Methods and client secrets: what is shown of them, and what recognises them again."""

from typing import Final
from uuid import UUID

from core.crypto import Vault, fingerprint
from core.database import Database
from core.identifiers import encode

_FINGERPRINT_CHARACTERS: Final = 20
_CLIENT_SECRET_LENGTH_MAX: Final = 200


def method_of(vault: Vault, token: str, type: str) -> dict[str, str]:
    """What is kept of a method in clear: its type, and a fingerprint that tells nothing."""
    return {"type": type, "fingerprint": vault.proof(f"method:{token}")[:_FINGERPRINT_CHARACTERS]}


def client_secret(vault: Vault, payment_id: UUID) -> str:
    """What lets a browser see and confirm this one payment; the same each time it is asked for."""
    public_id = encode("pay", payment_id)
    return f"{public_id}_secret_{vault.proof(public_id)}"


async def find_by_client_secret(database: Database, secret: str) -> tuple[int, UUID] | None:
    """Tenant and payment behind a client secret; None if there is none."""
    if len(secret) > _CLIENT_SECRET_LENGTH_MAX:
        return None
    row = await database.find("SELECT * FROM find_client_secret($1)", fingerprint(secret))
    return (row["tenant_id"], row["payment_id"]) if row else None
