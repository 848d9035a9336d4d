"""Secrets at rest and proofs of possession.

What must be read again (provider credentials, stored request bytes) is sealed with AES-256-GCM.
What must only be recognised (API keys, client secrets) is stored as its SHA-256: neither can be
guessed, with at least 160 bits, so a slow password hash would only slow us down.
"""

import hmac
import os
import secrets
from base64 import b32encode
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import Broken

_NONCE_BYTES = 12


class SealBroken(Broken):
    """A sealed value was altered, moved to another place, or sealed with another key."""

    code = "SEAL_BROKEN"


class Vault:
    """Seals and opens bytes with keys derived from one master key of 32 bytes.

    `place` names where the value lives (table, column, row id); a value moved elsewhere does not
    open. Source: NIST SP 800-38D (GCM), RFC 5869 (HKDF).
    """

    def __init__(self, master_key: bytes) -> None:
        assert len(master_key) == 32, "the encryption key has 32 bytes"
        self._sealing = AESGCM(_derive(master_key, b"counterfoil/seal/1"))
        self._proving = _derive(master_key, b"counterfoil/prove/1")

    def seal(self, value: bytes, place: str) -> bytes:
        """Nonce and ciphertext, bound to `place`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, value, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """The value. Raises: SealBroken."""
        try:
            return self._sealing.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise SealBroken(place=place) from error

    def proof(self, subject: str) -> str:
        """A secret only we can make for `subject`: 32 lower-case characters, 160 bits.

        Deterministic, so that it can be shown again without being stored.
        """
        digest = hmac.digest(self._proving, subject.encode(), "sha256")
        return b32encode(digest[:20]).decode().lower()


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(master_key)


def fingerprint(secret: str) -> bytes:
    """SHA-256 of a random secret: what is stored to recognise it."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def random_secret() -> str:
    """40 URL-safe characters from 30 random bytes."""
    return secrets.token_urlsafe(30)
