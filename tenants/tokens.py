"""Who holds a JWT of the identity provider (RFC 7519, RFC 8725). Pure: keys and the time are given.

    shape ─▶ header ─▶ key by its id ─▶ signature ─▶ issuer, audience, time ─▶ who it is

Everything is refused that is not wanted. Whoever is refused is told nothing about why.
"""

import json
import re
from binascii import Error as BadBase64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jwt import PyJWS
from jwt.exceptions import InvalidKeyError, InvalidTokenError
from jwt.utils import base64url_decode

from tenants.key_sets import KEY_ID_LENGTH_MAX, VerificationKey
from tenants.keys import SCOPES

TOKEN_BYTES_MAX: Final = 8 * 1024
LIFETIME_SECONDS_MAX: Final = 3600
LEEWAY_SECONDS: Final = 60
"""How far the issuer's clock may be ahead of ours. None is given to `exp`."""
TENANT_LENGTH_MAX: Final = 200

_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,200}")
_HEADERS: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
"""Names that may stand in a header. Not `crit`, nor any that brings a key (jku, jwk, x5u, x5c)."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_JWS: Final = PyJWS(algorithms=["RS256", "ES256", "EdDSA"])

FindKey = Callable[[str], Awaitable[VerificationKey | None]]
"""The key of an id, from the issuer's set and from nowhere else. Raises: Unavailable."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are taken, and what they must be made for. Both compared letter by letter."""

    name: str
    audience: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a good token says. `tenant` is the name of a tenant that need not exist."""

    tenant: str
    subject: str
    scopes: frozenset[str]

    @property
    def name(self) -> str:
        """How the subject appears in audit lines and events."""
        return f"jwt:{self.subject}"


class _Refused(Exception):
    """The token is no good."""


def is_jwt(secret: str) -> bool:
    """Whether this is meant to be a JWT: its header is a JSON object in base64url."""
    return secret.startswith("eyJ")


async def verify_token(
    token: str, issuer: Issuer, find_key: FindKey, now: datetime
) -> Bearer | None:
    """Who holds it; None if it is no good. Raises: Unavailable (the keys cannot be had now)."""
    try:
        header, claims = _read(token)
        algorithm, key_id = _header(header)
        key = await find_key(key_id)
        if key is None or key.algorithm != algorithm:
            return None
        _check_signature(token, key)
        return _bearer(claims, issuer, now.timestamp())
    except _Refused:
        return None


def _read(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, not believed yet. Raises: _Refused."""
    shape = _SHAPE.fullmatch(token) if len(token) <= TOKEN_BYTES_MAX else None
    if shape is None:
        raise _Refused
    return _object(shape[1]), _object(shape[2])


def _object(segment: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(
            base64url_decode(segment), object_pairs_hook=_each_once, parse_constant=_no_number
        )
    except (BadBase64, ValueError, RecursionError):
        raise _Refused from None
    if not isinstance(parsed, dict):
        raise _Refused
    return parsed


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two members of one name: different readers would believe different ones."""
    found = dict(members)
    if len(found) != len(members):
        raise _Refused
    return found


def _no_number(_constant: str) -> float:
    """NaN and Infinity are no JSON."""
    raise _Refused


def _header(header: Mapping[str, Any]) -> tuple[str, str]:
    """The algorithm and the id of the key. Raises: _Refused."""
    algorithm, key_id, type = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not header.keys() <= _HEADERS:
        raise _Refused
    if not isinstance(type, str) or type.lower() not in _TYPES:
        raise _Refused
    if not isinstance(algorithm, str) or not isinstance(key_id, str):
        raise _Refused
    if not 0 < len(key_id) <= KEY_ID_LENGTH_MAX:
        raise _Refused
    return algorithm, key_id


def _check_signature(token: str, key: VerificationKey) -> None:
    """Raises: _Refused."""
    try:
        _JWS.decode_complete(token, key.key, algorithms=[key.algorithm])
    except (InvalidTokenError, InvalidKeyError, ValueError):
        raise _Refused from None


def _bearer(claims: Mapping[str, Any], issuer: Issuer, now: float) -> Bearer:
    """Raises: _Refused."""
    if claims.get("iss") != issuer.name or claims.get("aud") != issuer.audience:
        raise _Refused
    if "cnf" in claims:  # it is bound to another proof, which we do not ask for
        raise _Refused
    _check_time(claims, now)
    tenant, subject = claims.get("tenant"), claims.get("sub")
    if not isinstance(tenant, str) or not isinstance(subject, str):
        raise _Refused
    if not 0 < len(tenant) <= TENANT_LENGTH_MAX or not tenant.isprintable():
        raise _Refused
    if not _SUBJECT.fullmatch(subject):
        raise _Refused
    return Bearer(tenant, subject, _scopes(claims.get("scope", "")))


def _check_time(claims: Mapping[str, Any], now: float) -> None:
    """Raises: _Refused."""
    expires_at, issued_at = _instant(claims, "exp"), _instant(claims, "iat")
    if not now < expires_at or not 0 < expires_at - issued_at <= LIFETIME_SECONDS_MAX:
        raise _Refused
    latest = now + LEEWAY_SECONDS
    if issued_at > latest or ("nbf" in claims and _instant(claims, "nbf") > latest):
        raise _Refused


def _instant(claims: Mapping[str, Any], name: str) -> int:
    """Whole seconds since 1970; no text, no fraction, no boolean. Raises: _Refused."""
    seconds = claims.get(name)
    if type(seconds) is not int:
        raise _Refused
    return seconds


def _scopes(scope: object) -> frozenset[str]:
    """Names that are none of ours (`openid`) say nothing here. Raises: _Refused."""
    if not isinstance(scope, str):
        raise _Refused
    return SCOPES & frozenset(scope.split(" "))
