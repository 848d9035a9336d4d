"""Tokens of the identity provider: what is taken, and everything that must not be."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tenants import BadKeySet, Bearer, Issuer, VerificationKey, read_key_set, verify_token
from tests.tenants.signing import AUDIENCE, ISSUER, Signer, good_claims, key_set, segment

NOW: Final = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
AT: Final = int(NOW.timestamp())
RSA, EC, ED = (Signer.new(name, name) for name in ("RS256", "ES256", "EdDSA"))
STRANGER: Final = Signer.new("ES256")
WEAK: Final = Signer.new("weak", "RS256", rsa.generate_private_key(65537, 1024))
LEAKED: Final = Signer.new("leaked")
SEALING: Final = Signer.new("sealing", "RS256")
TWICE: Final = Signer.new("twice")
P384: Final = Signer.new("p384", "ES384", ec.generate_private_key(ec.SECP384R1()))
PUBLISHED: Final = read_key_set(
    key_set(
        RSA.published(),
        EC.published(),
        ED.published(),
        WEAK.published(),
        {**LEAKED.published(), **LEAKED.private_part()},
        SEALING.published(use="enc"),
        TWICE.published(),
        STRANGER.published(kid="twice"),
        P384.published(alg="ES256"),
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": segment(b"x" * 32)},
    )
)


async def find(key_id: str) -> VerificationKey | None:
    return PUBLISHED.keys.get(key_id)


async def holder(token: str, at: datetime = NOW) -> Bearer | None:
    return await verify_token(token, Issuer(ISSUER, AUDIENCE), find, at)


def claims(**changes: Any) -> dict[str, Any]:
    return good_claims(AT, **changes)


def hmac_signed(secret: bytes, **headers: Any) -> str:
    """Signed with a shared secret, as an attacker would with what is public."""
    header = {"alg": "HS256", "typ": "JWT", **headers}
    signed = f"{segment(json.dumps(header))}.{segment(json.dumps(claims()))}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def unsigned(algorithm: str) -> str:
    header = json.dumps({"alg": algorithm, "typ": "JWT", "kid": "ES256"})
    return f"{segment(header)}.{segment(json.dumps(claims()))}."


def doubled(member: str) -> str:
    """The claims, then one of them again: readers differ in which they believe."""
    return f"{json.dumps(claims())[:-1]}, {member}}}"


HEADER: Final = '{"alg": "ES256", "kid": "ES256"}'
GOOD: Final = EC.sign(claims())
HEAD, BODY, SIGNATURE = GOOD.split(".")

REFUSED: Final[dict[str, str]] = {
    # the signature
    "none": unsigned("none"),
    "None": unsigned("None"),
    "none with a signature": unsigned("none") + SIGNATURE,
    "no signature": f"{HEAD}.{BODY}.",
    "signature of other claims": f"{HEAD}.{segment(json.dumps(claims(sub='x')))}.{SIGNATURE}",
    "signature of another header": f"{segment(HEADER)}.{BODY}.{SIGNATURE}",
    "signature cut short": GOOD[:-4],
    "a stranger's signature": STRANGER.sign(claims()),
    "zeros for a signature": f"{HEAD}.{BODY}.{segment(bytes(64))}",
    "HS256 with the public key": hmac_signed(RSA.pem(), kid="RS256"),
    "HS256 with the published key": hmac_signed(json.dumps(RSA.published()).encode(), kid="RS256"),
    "HS256 with the shared key of the set": hmac_signed(b"x" * 32, kid="shared"),
    "RS256 by an EC key": EC.sign(claims(), alg="RS256"),
    "ES256 by an RSA key": RSA.sign(claims(), alg="ES256"),
    "EdDSA by an EC key": EC.sign(claims(), alg="EdDSA"),
    "ES256 by an Ed25519 key": ED.sign(claims(), alg="ES256"),
    "RS256 with the id of an EC key": RSA.sign(claims(), kid="ES256"),
    "PS256": RSA.sign(claims(), alg="PS256"),
    "RS512": RSA.sign(claims(), alg="RS512"),
    "es256": EC.sign(claims(), alg="es256"),
    "algorithm is a list": EC.sign(claims(), alg=["ES256"]),
    "no algorithm": EC.sign_text('{"kid": "ES256"}', json.dumps(claims())),
    # the key
    "unknown key id": EC.sign(claims(), kid="nobody"),
    "no key id": EC.sign_text('{"alg": "ES256"}', json.dumps(claims())),
    "empty key id": EC.sign(claims(), kid=""),
    "key id is a number": EC.sign(claims(), kid=7),
    "key id is a path": EC.sign(claims(), kid="../../../dev/null"),
    "key id is SQL": EC.sign(claims(), kid="ES256' UNION SELECT 'x"),
    "key id in other letters": EC.sign(claims(), kid="es256"),
    "long key id": EC.sign(claims(), kid="k" * 201),
    "key named by URL": STRANGER.sign(claims(), jku="https://evil.example/jwks"),
    "key URL beside a known id": EC.sign(claims(), jku="https://evil.example/jwks"),
    "certificate by URL": EC.sign(claims(), x5u="https://evil.example/x5u"),
    "key in the header": STRANGER.sign(claims(), jwk=STRANGER.published()),
    "certificate in the header": EC.sign(claims(), x5c=["MII"]),
    "critical extension": EC.sign(claims(), crit=["exp"], exp=AT + 600),
    "unencoded payload": EC.sign(claims(), b64=False, crit=["b64"]),
    "compressed": EC.sign(claims(), zip="DEF"),
    "weak RSA key": WEAK.sign(claims()),
    "key whose private part is published": LEAKED.sign(claims()),
    "key for encryption": SEALING.sign(claims()),
    "id of two keys": TWICE.sign(claims()),
    "another curve": P384.sign(claims(), alg="ES256"),
    # the time
    "expired": EC.sign(claims(iat=AT - 600, exp=AT - 1)),
    "expires now": EC.sign(claims(iat=AT - 600, exp=AT)),
    "ten years": EC.sign(claims(exp=AT + 315_360_000)),
    "an hour and a second": EC.sign(claims(exp=AT + 3601)),
    "an hour and more, long ago begun": EC.sign(claims(iat=AT - 3500, exp=AT + 200)),
    "no exp": EC.sign(claims(exp=None)),
    "no iat": EC.sign(claims(iat=None)),
    "exp before iat": EC.sign(claims(iat=AT + 30, exp=AT + 20)),
    "future iat": EC.sign(claims(iat=AT + 61, exp=AT + 600)),
    "not yet": EC.sign(claims(nbf=AT + 61)),
    "nbf is null": EC.sign_text(HEADER, doubled('"nbf": null')),
    "nbf is true": EC.sign(claims(nbf=True)),
    "exp is text": EC.sign(claims(exp=str(AT + 600))),
    "iat is text": EC.sign(claims(iat=str(AT))),
    "exp is a fraction": EC.sign(claims(exp=AT + 600.5)),
    "exp is true": EC.sign(claims(exp=True)),
    "exp is a list": EC.sign(claims(exp=[AT + 600])),
    "huge exp": EC.sign(claims(exp=10**300)),
    "huge exp and iat": EC.sign(claims(iat=10**300, exp=10**300 + 60)),
    "more digits than can be read": EC.sign_text(HEADER, f'{{"exp": {"9" * 5000}}}'),
    "infinite exp": EC.sign_text(HEADER, doubled('"x": Infinity')),
    "NaN": EC.sign_text(HEADER, doubled('"x": NaN')),
    # who it is from and for
    "another issuer": EC.sign(claims(iss="https://evil.example")),
    "issuer with a slash more": EC.sign(claims(iss=f"{ISSUER}/")),
    "no issuer": EC.sign(claims(iss=None)),
    "issuers": EC.sign(claims(iss=[ISSUER])),
    "another audience": EC.sign(claims(aud="https://other.example")),
    "no audience": EC.sign(claims(aud=None)),
    "several audiences": EC.sign(claims(aud=[AUDIENCE, "https://other.example"])),
    "a list of one audience": EC.sign(claims(aud=[AUDIENCE])),
    "part of the audience": EC.sign(claims(aud=AUDIENCE[:-1])),
    "bound to another proof": EC.sign(claims(cnf={"jkt": "x"})),
    "a logout token": EC.sign(claims(), typ="logout+jwt"),
    "no tenant": EC.sign(claims(tenant=None)),
    "tenants": EC.sign(claims(tenant=["acme"])),
    "empty tenant": EC.sign(claims(tenant="")),
    "tenant with NUL": EC.sign(claims(tenant="acme\0")),
    "tenant with half a character": EC.sign(claims(tenant="acme\ud800")),
    "long tenant": EC.sign(claims(tenant="a" * 201)),
    "no subject": EC.sign(claims(sub=None)),
    "empty subject": EC.sign(claims(sub="")),
    "subject with a line break": EC.sign(claims(sub="a\nkey:key_b")),
    "subject with a space": EC.sign(claims(sub="a b")),
    "long subject": EC.sign(claims(sub="s" * 201)),
    "subject is a number": EC.sign(claims(sub=7)),
    "scopes as a list": EC.sign(claims(scope=["ADMIN"])),
    # the form
    "too long": EC.sign(claims(x="x" * 6_200)),
    "a dot too few": f"{HEAD}.{BODY}",
    "a dot too many": f"{GOOD}.{SIGNATURE}",
    "nothing but dots": "eyJ..",
    "garbage": "eyJhbGciOi.JIUzI1NiJ9.!!!",
    "signs no base64 has": f"{GOOD}!!!!",
    "padded": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "a line break at the end": f"{GOOD}\n",
    "bytes that are no text": EC.sign_text(HEADER, b'{"\xff": 1}'),
    "claims are no object": EC.sign([claims()]),
    "claims are no JSON": EC.sign_text(HEADER, "acme"),
    "header is no object": EC.sign_text('["ES256"]', json.dumps(claims())),
    "a claim twice": EC.sign_text(HEADER, doubled('"scope": "ADMIN"')),
    "a claim twice inside": EC.sign_text(HEADER, doubled('"x": {"y": 1, "y": 2}')),
    "a header twice": EC.sign_text(
        '{"alg": "none", "alg": "ES256", "kid": "ES256"}', json.dumps(claims())
    ),
    "deep": EC.sign_text(HEADER, "[" * 5_000),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_token_that_is_not_all_right_is_refused(name: str) -> None:
    assert REFUSED[name] != GOOD

    assert await holder(REFUSED[name]) is None


@pytest.mark.parametrize("signer", [RSA, EC, ED], ids=lambda signer: signer.algorithm)
async def test_a_good_token_tells_who_holds_it(signer: Signer) -> None:
    found = await holder(signer.sign(claims()))

    assert found == Bearer("acme", "robot-7", frozenset({"PAYMENTS_READ", "ADMIN"}))
    assert found.name == "jwt:robot-7"


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": AT + 60, "exp": AT + 90},
        {"nbf": AT + 60},
        {"iat": AT - 3599, "exp": AT + 1},
        {"exp": AT + 3600},
        {"sub": "s" * 200},
    ],
    ids=str,
)
async def test_what_is_just_within_the_limits_is_taken(changes: dict[str, Any]) -> None:
    assert await holder(EC.sign(claims(**changes))) is not None


@pytest.mark.parametrize(
    "headers", [{"typ": "at+JWT"}, {"typ": "jwt"}, {"x5t": "thumb", "x5t#S256": "thumb"}], ids=str
)
async def test_headers_that_change_nothing_are_taken(headers: dict[str, Any]) -> None:
    assert await holder(EC.sign(claims(), **headers)) is not None


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (None, set()),
        ("", set()),
        ("openid profile", set()),
        ("admin Admin ADMIN2", set()),
        ("ADMIN,PAYMENTS_READ", set()),
        ("LEDGER_READ\tADMIN", set()),
        ("LEDGER_READ  ADMIN LEDGER_READ", {"LEDGER_READ", "ADMIN"}),
    ],
)
async def test_only_scopes_of_ours_are_granted(scope: str | None, granted: set[str]) -> None:
    found = await holder(EC.sign(claims(scope=scope)))

    assert found is not None
    assert found.scopes == granted


def test_of_a_set_only_what_can_be_trusted_is_kept_and_the_rest_is_explained() -> None:
    assert set(PUBLISHED.keys) == {"RS256", "ES256", "EdDSA"}
    assert PUBLISHED.left_out == (
        "key 4: 1024 bits; RSA needs 2048",
        "key 5: its private part was published: whoever read it can sign",
        "key 6: not for signatures",
        "key 9: of another kind than RS256, ES256 and EdDSA (Ed25519)",
        "key 10: its private part was published: whoever read it can sign",
        "1 of the key ids stand for more than one key",
    )


BAD_KEYS: Final[dict[str, object]] = {
    "a number": 7,
    "nothing": {},
    "no id": EC.published(kid=None),
    "empty id": EC.published(kid=""),
    "long id": EC.published(kid="k" * 201),
    "another algorithm": EC.published(alg="ES384"),
    "no algorithm": EC.published(alg=None),
    "for signing": EC.published(key_ops=["sign"]),
    "uses are a number": EC.published(key_ops=7),
    "curve of another kind": EC.published(crv="Ed25519"),
    "curves": EC.published(crv=["P-256"]),
    "short point": EC.published(x="AA"),
    "no point of the curve": EC.published(y=EC.published()["x"]),
    "coordinate is a number": EC.published(x=7),
    "another kind": EC.published(kty="RSA"),
    "no base64": RSA.published(n="!!"),
    "exponent of one": RSA.published(e="AQ"),
    "short": ED.published(x="AA"),
    "another curve": ED.published(crv="Ed448"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_is_not_all_right_is_left_out(name: str) -> None:
    found = read_key_set(key_set(BAD_KEYS[name], ED.published(kid="other")))

    assert set(found.keys) == {"other"}
    assert len(found.left_out) == 1


NO_KEY_SETS: Final = {
    "nothing": b"",
    "html": b"<html>",
    "a list": b"[]",
    "no keys": b"{}",
    "keys by name": b'{"keys": {}}',
    "no text": b"\xff",
    "deep": b"[" * 100_000,
    "many": key_set(*[ED.published()] * 101),
    "large": key_set("x" * 300_000),
}


@pytest.mark.parametrize("name", NO_KEY_SETS)
def test_what_is_no_key_set_is_refused(name: str) -> None:
    with pytest.raises(BadKeySet):
        read_key_set(NO_KEY_SETS[name])
