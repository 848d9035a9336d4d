"""The keys an identity provider signs with (RFC 7517): which we take of a set, and which not.

    kty RSA, at least 2048 bits  ─▶  RS256
    kty EC,  crv P-256           ─▶  ES256
    kty OKP, crv Ed25519         ─▶  EdDSA

A key is good for one algorithm, whatever a token says. What is not listed here is left out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from core.errors import Rejected

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

KEYS_MAX: Final = 100
SET_BYTES_MAX: Final = 256 * 1024
KEY_ID_LENGTH_MAX: Final = 200
RSA_BITS: Final = range(2048, 16385)

_ALGORITHMS: Final[Mapping[tuple[object, object], tuple[str, type[Algorithm]]]] = {
    ("RSA", None): ("RS256", RSAAlgorithm),
    ("EC", "P-256"): ("ES256", ECAlgorithm),
    ("OKP", "Ed25519"): ("EdDSA", OKPAlgorithm),
}
"""By `kty` and `crv`."""
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class BadKeySet(Rejected):
    """There is no JSON Web Key Set in it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm it verifies."""

    algorithm: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """What may be verified with, by key id, and what was left out."""

    keys: Mapping[str, VerificationKey]
    left_out: Sequence[str]
    """Why a key is not used, a sentence each. Names no more of a key than its place in the set."""


class _Unusable(Exception):
    """Why a key is left out."""


def read_key_set(document: bytes) -> KeySet:
    """The keys of a set. Raises: BadKeySet."""
    members = _members(document)
    found: list[tuple[str, VerificationKey]] = []
    left_out: list[str] = []
    for number, member in enumerate(members, start=1):
        try:
            found.append(_read_key(member))
        except _Unusable as reason:
            left_out.append(f"key {number}: {reason}")
    twice = _more_than_once(id for id, _ in found)
    left_out += [f"{len(twice)} of the key ids stand for more than one key"] if twice else []
    return KeySet({id: key for id, key in found if id not in twice}, tuple(left_out))


def _members(document: bytes) -> Sequence[Any]:
    if len(document) > SET_BYTES_MAX:
        raise BadKeySet(bytes=len(document), maximum=SET_BYTES_MAX)
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise BadKeySet(reason="not JSON") from None
    members = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(members, list) or len(members) > KEYS_MAX:
        raise BadKeySet(reason="no list of keys", maximum=KEYS_MAX)
    return members


def _read_key(member: Any) -> tuple[str, VerificationKey]:
    """Raises: _Unusable."""
    if not isinstance(member, dict):
        raise _Unusable("not an object")
    if not _PRIVATE.isdisjoint(member):
        raise _Unusable("its private part was published: whoever read it can sign")
    id = member.get("kid")
    if not isinstance(id, str) or not 0 < len(id) <= KEY_ID_LENGTH_MAX:
        raise _Unusable("no key id")
    known = _ALGORITHMS.get(_kind(member))
    if known is None or member.get("alg", known[0]) != known[0]:
        raise _Unusable("of another kind than RS256, ES256 and EdDSA (Ed25519)")
    uses = member.get("key_ops", ["verify"])
    if member.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        raise _Unusable("not for signatures")
    algorithm, reader = known
    return id, VerificationKey(algorithm, _public_key(reader, member))


def _kind(member: Mapping[str, object]) -> tuple[object, object]:
    kind, curve = member.get("kty"), member.get("crv")
    # Anything may stand there, also what cannot be looked up in a mapping.
    return (str(kind), None if curve is None else str(curve))


def _public_key(reader: type[Algorithm], member: Mapping[str, Any]) -> PublicKey:
    """Raises: _Unusable."""
    try:
        key = reader.from_jwk(dict(member))
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        raise _Unusable("malformed") from None
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        raise _Unusable("malformed")
    if isinstance(key, RSAPublicKey) and key.key_size not in RSA_BITS:
        raise _Unusable(f"{key.key_size} bits; RSA needs {RSA_BITS.start}")
    return key


def _more_than_once(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(id for id, count in Counter(ids).items() if count > 1)
