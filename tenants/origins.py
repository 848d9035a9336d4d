"""Web sites whose pages may use a tenant's browser view: scheme, host and port, nothing else.

What is compared is text: an origin is stored as a browser serialises it, and a browser sends it so.
Source: RFC 6454 section 6, https://fetch.spec.whatwg.org/#origin-header
"""

import re
from typing import Final

from core.database import Database, Tx
from core.errors import Rejected
from tenants.audit import record

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_LENGTH_MAX: Final = 255


class BadOrigin(Rejected):
    """An origin is like https://shop.example; http is for this machine only."""

    code = "BAD_ORIGIN"


class OriginNotFound(Rejected):
    """The origin is not among those allowed."""

    code = "NOT_FOUND"


def origin_of_url(url: str) -> str | None:
    """The origin a browser would give a URL; None for what browsers might read otherwise.

    So for a name before an @, and for a backslash, which is a slash to them and not to others.
    """
    found = _ORIGIN.match(url)
    if found is None or url[found.end() : found.end() + 1] not in {"", "/", "?", "#"}:
        return None
    return _serialised(found)


def parse_origin(text: str) -> str:
    """An origin as browsers write it. Raises: BadOrigin."""
    found = _ORIGIN.fullmatch(text)
    origin = _serialised(found) if found else ""
    if found is None or len(origin) > _LENGTH_MAX:
        raise BadOrigin(origin=text[:_LENGTH_MAX])
    if origin.startswith("http:") and found[2].lower() not in _LOOPBACK:
        raise BadOrigin(origin=origin)
    return origin


def _serialised(found: re.Match[str]) -> str:
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


async def tenants_allowing(database: Database, origin: str) -> frozenset[int]:
    """Every tenant that allows an origin: asked before it is known whose request it is."""
    if not _ORIGIN.fullmatch(origin) or len(origin) > _LENGTH_MAX:
        return frozenset()
    rows = await database.find_all("SELECT tenant_id FROM find_origin($1)", origin)
    return frozenset(row["tenant_id"] for row in rows)


async def is_allowed(tx: Tx, tenant_id: int, origin: str) -> bool:
    """Whether the tenant allows an origin."""
    found = await tx.fetchval(
        "SELECT TRUE FROM allowed_origin WHERE tenant_id = $1 AND origin = $2", tenant_id, origin
    )
    return found is not None


async def origins_of(tx: Tx, tenant_id: int) -> list[str]:
    """Every origin the tenant allows."""
    rows = await tx.fetch(
        "SELECT origin FROM allowed_origin WHERE tenant_id = $1 ORDER BY origin", tenant_id
    )
    return [row["origin"] for row in rows]


async def allow_origin(
    tx: Tx, tenant_id: int, text: str, *, actor: str, correlation_id: str
) -> str:
    """Allow an origin; returns it as it is stored. Twice is once. Raises: BadOrigin."""
    origin = parse_origin(text)
    done = await tx.execute(
        "INSERT INTO allowed_origin (tenant_id, origin) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        tenant_id,
        origin,
    )
    if done == "INSERT 0 1":
        await record(
            tx,
            tenant_id,
            actor=actor,
            action="origin.allow",
            after={"origin": origin},
            correlation_id=correlation_id,
        )
    return origin


async def disallow_origin(
    tx: Tx, tenant_id: int, text: str, *, actor: str, correlation_id: str
) -> str:
    """Refuse an origin from now on. Raises: BadOrigin, OriginNotFound."""
    origin = parse_origin(text)
    done = await tx.execute(
        "DELETE FROM allowed_origin WHERE tenant_id = $1 AND origin = $2", tenant_id, origin
    )
    if done == "DELETE 0":
        raise OriginNotFound(origin=origin)
    await record(
        tx,
        tenant_id,
        actor=actor,
        action="origin.disallow",
        before={"origin": origin},
        correlation_id=correlation_id,
    )
    return origin
