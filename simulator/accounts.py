"""The merchants this process serves."""

import hmac
from dataclasses import dataclass

from simulator.books import Tx
from simulator.fields import Fields
from simulator.problems import Refused


@dataclass(frozen=True, slots=True)
class Account:
    """One merchant. Without a URL and a secret it is told nothing."""

    name: str
    webhook_url: str | None
    webhook_secret: str | None


def register(tx: Tx, fields: Fields) -> Account:
    """Create the merchant, or replace its key and webhook address."""
    name = fields.text("name", 100)
    secret_key = fields.text("secret_key")
    url = fields.url_or_none("webhook_url")
    secret = fields.text_or_none("webhook_secret")
    fields.done()
    taken = tx.execute(
        "SELECT name FROM account WHERE secret_key = ? AND name <> ?", (secret_key, name)
    ).fetchone()
    if taken:
        raise Refused(422, "secret_key_taken", "another account uses this secret key")
    tx.execute(
        """
        INSERT INTO account (name, secret_key, webhook_url, webhook_secret)
        VALUES (?, ?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET secret_key = excluded.secret_key,
          webhook_url = excluded.webhook_url, webhook_secret = excluded.webhook_secret
        """,
        (name, secret_key, url, secret),
    )
    return Account(name, url, secret)


def authenticate(tx: Tx, authorization: str) -> Account:
    """The merchant behind `Authorization: Bearer …`. Raises: Refused 401."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() == "bearer" and key:
        for row in tx.execute("SELECT * FROM account"):
            if hmac.compare_digest(row["secret_key"].encode(), key.encode()):
                return Account(row["name"], row["webhook_url"], row["webhook_secret"])
    raise Refused(401, "secret_key_invalid", "no account has this secret key")


def find(tx: Tx, name: str) -> Account | None:
    """The merchant of this name."""
    row = tx.execute("SELECT * FROM account WHERE name = ?", (name,)).fetchone()
    return Account(row["name"], row["webhook_url"], row["webhook_secret"]) if row else None


def list_all(tx: Tx) -> list[Account]:
    """Every merchant, by name."""
    rows = tx.execute("SELECT * FROM account ORDER BY name")
    return [Account(row["name"], row["webhook_url"], row["webhook_secret"]) for row in rows]
