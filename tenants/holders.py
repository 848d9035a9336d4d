"""Whose eyes an actor's are, where two different pairs of them are needed."""

from core.database import Tx
from core.identifiers import decode

_KEY = "key:"

_FIRST_OF_LINE = """
WITH RECURSIVE line AS (
  SELECT k.id, k.rotated_from FROM api_key AS k WHERE k.tenant_id = $1 AND k.id = $2
  UNION
  SELECT k.id, k.rotated_from FROM api_key AS k JOIN line ON k.id = line.rotated_from
   WHERE k.tenant_id = $1
)
SELECT id FROM line WHERE rotated_from IS NULL
"""


async def holder_of(tx: Tx, tenant_id: int, actor: str) -> str:
    """One name for an actor and everything it was before.

    A key and the keys it replaced, or that replaced it, have one holder; each subject of tokens is
    its own.
    """
    if not actor.startswith(_KEY):
        return actor
    key_id = decode("key", actor.removeprefix(_KEY))
    first = await tx.fetchval(_FIRST_OF_LINE, tenant_id, key_id)
    return f"{_KEY}{first or key_id}"
