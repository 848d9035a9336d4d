"""An identity provider in a few lines: keys of every kind, and tokens good and bad."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example"
AUDIENCE = "https://pay.example"
Json = dict[str, Any]

_READERS: Mapping[str, type[Algorithm]] = {
    "RS256": RSAAlgorithm,
    "ES256": ECAlgorithm,
    "ES384": ECAlgorithm,
    "EdDSA": OKPAlgorithm,
}


def _made(algorithm: str) -> PrivateKeyTypes:
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Signer:
    """One key of the identity provider."""

    id: str
    algorithm: str = "ES256"
    private: Any = field(default=None, repr=False)

    @classmethod
    def new(cls, id: str, algorithm: str = "ES256", private: Any = None) -> "Signer":
        return cls(id, algorithm, private or _made(algorithm))

    def published(self, **changes: Any) -> Json:
        """The key as it stands in the set."""
        shown: Json = _READERS[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**shown, "kid": self.id, "use": "sig", "alg": self.algorithm, **changes}

    def private_part(self) -> Json:
        shown: Json = _READERS[self.algorithm].to_jwk(self.private, as_dict=True)
        return shown

    def pem(self) -> bytes:
        """What an attacker knows: the public key."""
        pem: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return pem

    def sign(self, claims: object, **headers: Any) -> str:
        """The claims as they are, signed by this key under a header of any members."""
        header = {"alg": self.algorithm, "typ": "JWT", "kid": self.id, **headers}
        return self.sign_text(json.dumps(header), json.dumps(claims))

    def sign_text(self, header: str, claims: str | bytes) -> str:
        """For what no library would write."""
        signed = f"{segment(header)}.{segment(claims)}"
        algorithm = jwt.PyJWS()._algorithms[self.algorithm]
        signature = algorithm.sign(signed.encode(), algorithm.prepare_key(self.private))
        return f"{signed}.{segment(signature)}"


def segment(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_set(*members: object) -> bytes:
    return json.dumps({"keys": members}).encode()


def good_claims(now: float, **changes: Any) -> Json:
    """A token for ten minutes; a change to None leaves a claim out."""
    claims: Json = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "robot-7",
        "tenant": "acme",
        "scope": "openid PAYMENTS_READ ADMIN",
        "iat": int(now),
        "exp": int(now) + 600,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}
