"""Methods that customers keep for their next payment.

    kept      by the evidence that the provider charged it, in the unit of work of that evidence
    paid with by the merchant's server, or by its owner; at the one account that holds it
    removed   at once here (payments.removing); then told to the provider (payments.detaching)

A client secret opens one payment and proves nobody's identity, so it never chooses a saved method:
whoever finds one in a page, a log or a referrer could spend the customer's card otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson

from core.card_numbers import contains_card_number
from core.crypto import Vault
from core.database import Tx
from core.identifiers import encode, new_id
from gateways.port import OutcomeStatus, StoredMethod
from payments.commands import Actor, Method, SavedMethod
from payments.errors import FieldProblem, NotFound, ValidationFailed
from payments.facts import Fact
from payments.methods import method_of
from payments.model import OPENINGS, Evidence, Operation, OperationStatus, Payment

_SHOWN: Final = ("brand", "last4", "exp_month", "exp_year")
_TEXT_MAX: Final = 255
_LAST4: Final = re.compile(r"[0-9]{4}", re.ASCII)
_MONTHS: Final = range(1, 13)
_YEARS: Final = range(2000, 2201)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A method as a payment keeps it: what is shown of it, and what charges it."""

    shown: Mapping[str, Any]
    token: str = field(repr=False)
    saved_method_id: UUID | None = None


# ---- paying with one


async def choose(
    tx: Tx, vault: Vault, actor: Actor, method: Method | SavedMethod, customer_id: str | None
) -> Chosen:
    """What a payment of this customer is paid with.

    Raises: NotFound (no saved method this actor may spend for the customer), ValidationFailed (a
    token that is saved, from a browser: it would get around the owner's consent).
    """
    if isinstance(method, SavedMethod):
        return await _saved(tx, vault, actor, method, customer_id)
    if not actor.is_server and await _is_saved(tx, vault, actor.tenant_id, method.token):
        message = "This token is saved: its owner pays with savedMethodId."
        raise ValidationFailed(FieldProblem(("input", "method", "token"), "SAVED", message))
    return Chosen(method_of(vault, method.token, method.type), method.token)


async def _saved(
    tx: Tx, vault: Vault, actor: Actor, method: SavedMethod, customer_id: str | None
) -> Chosen:
    row = await tx.fetchrow(
        """
        SELECT id, type, token_sealed, brand, last4, exp_month, exp_year FROM saved_method
         WHERE tenant_id = $1 AND id = $2 AND customer_id = $3 AND removed_at IS NULL
        """,
        actor.tenant_id,
        method.id,
        customer_id,
    )
    if row is None or not actor.may_spend_of(customer_id):
        raise NotFound(encode("sm", method.id))
    token = open_token(vault, method.id, row["token_sealed"])
    known = {name: row[name] for name in _SHOWN if row[name] is not None}
    return Chosen({**method_of(vault, token, row["type"]), **known}, token, method.id)


async def _is_saved(tx: Tx, vault: Vault, tenant_id: int, token: str) -> bool:
    found: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT 1 FROM saved_method WHERE tenant_id = $1 AND token_proof = $2)",
        tenant_id,
        _proof(vault, token),
    )
    return found


async def demand_unremoved(tx: Tx, tenant_id: int, payment: Payment) -> None:
    """The saved method a payment is about to be charged with must still be there.

    It cannot be removed until this unit of work ends. Raises: NotFound.
    """
    if payment.saved_method_id is None:
        return
    held = await tx.fetchval(
        """
        SELECT TRUE FROM saved_method
         WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL FOR SHARE
        """,
        tenant_id,
        payment.saved_method_id,
    )
    if held is None:
        raise NotFound(encode("sm", payment.saved_method_id))


async def holder_of(tx: Tx, tenant_id: int, payment: Payment) -> UUID | None:
    """The only account that can charge the payment's saved method; None if it has none."""
    if payment.saved_method_id is None:
        return None
    found: UUID = await tx.fetchval(
        "SELECT provider_account_id FROM saved_method WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        payment.saved_method_id,
    )
    return found


async def provider_customers_of(
    tx: Tx, tenant_id: int, payment: Payment
) -> Mapping[UUID, str | None]:
    """Whom the providers know the customer as, by account.

    Of the saved method that is paid with; for one that is to be kept, of the newest that ever was.
    """
    if payment.saved_method_id is None and not payment.keeps_method:
        return {}
    rows = await tx.fetch(
        """
        SELECT DISTINCT ON (provider_account_id) provider_account_id, provider_customer
          FROM saved_method
         WHERE tenant_id = $1 AND customer_id = $2 AND ($3::UUID IS NULL OR id = $3)
         ORDER BY provider_account_id, created_at DESC, id DESC
        """,
        tenant_id,
        payment.customer_id,
        payment.saved_method_id,
    )
    return {row["provider_account_id"]: row["provider_customer"] for row in rows}


# ---- keeping one


@dataclass(frozen=True, slots=True)
class Kept:
    """A method about to be written down, its token sealed."""

    id: UUID
    customer_id: str
    provider_account_id: UUID
    type: str
    token_sealed: bytes = field(repr=False)
    token_proof: str = field(repr=False)
    payment_id: UUID
    correlation_id: str
    provider_customer: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


def kept_since(
    vault: Vault, payment: Payment, operation: Operation, facts: Sequence[Fact | Evidence]
) -> Kept | None:
    """What the customer keeps by these facts: nothing unless the operation succeeded.

    What the provider tells of the card is shown only where it makes sense; without a usable token
    nothing is kept. A provider's fact is never refused for it.
    """
    if not payment.keeps_method or operation.kind not in OPENINGS:
        return None
    stored = next(filter(None, map(_told_by, facts)), None)
    if stored is None or operation.status is not OperationStatus.SUCCEEDED:
        return None
    if _presentable(stored.token) is None or (
        stored.provider_customer is not None and _presentable(stored.provider_customer) is None
    ):
        return None
    assert payment.customer_id is not None
    id = new_id()
    return Kept(
        id=id,
        customer_id=payment.customer_id,
        provider_account_id=operation.provider_account_id,
        type=payment.method.get("type", "card"),
        token_sealed=seal_token(vault, id, stored.token),
        token_proof=_proof(vault, stored.token),
        payment_id=payment.id,
        correlation_id=operation.correlation_id,
        provider_customer=stored.provider_customer,
        brand=_presentable(stored.brand),
        last4=stored.last4 if _LAST4.fullmatch(stored.last4 or "") else None,
        exp_month=stored.exp_month if stored.exp_month in _MONTHS else None,
        exp_year=stored.exp_year if stored.exp_year in _YEARS else None,
    )


def _told_by(fact: Fact | Evidence) -> StoredMethod | None:
    if not isinstance(fact, Fact) or fact.outcome.status is not OutcomeStatus.SUCCEEDED:
        return None
    return fact.outcome.stored_method


def _presentable(text: str | None) -> str | None:
    """A text that may be kept, else None."""
    if not text or len(text) > _TEXT_MAX or not text.isprintable():
        return None
    return None if contains_card_number(text) else text


async def keep(tx: Tx, tenant_id: int, kept: Kept) -> bool:
    """Write a method down; False if it is there already, or ever was.

    A removed one stays removed, and nobody gets one that is another customer's. What a first, short
    report did not tell of the card is filled in.
    """
    inserted: bool | None = await tx.fetchval(
        """
        INSERT INTO saved_method AS s
          (tenant_id, id, customer_id, provider_account_id, type, token_sealed, token_proof,
           provider_customer, brand, last4, exp_month, exp_year, payment_id, correlation_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (tenant_id, token_proof, provider_account_id) WHERE token_proof IS NOT NULL
          DO UPDATE
          SET brand = coalesce(s.brand, excluded.brand), last4 = excluded.last4,
              exp_month = coalesce(s.exp_month, excluded.exp_month),
              exp_year = coalesce(s.exp_year, excluded.exp_year)
          WHERE s.last4 IS NULL AND s.removed_at IS NULL AND s.customer_id = excluded.customer_id
        RETURNING s.id = $2
        """,
        tenant_id,
        kept.id,
        kept.customer_id,
        kept.provider_account_id,
        kept.type,
        kept.token_sealed,
        kept.token_proof,
        kept.provider_customer,
        kept.brand,
        kept.last4,
        kept.exp_month,
        kept.exp_year,
        kept.payment_id,
        kept.correlation_id,
    )
    return bool(inserted)


# ---- tokens


def _place(id: UUID) -> str:
    return f"saved_method.token/{id}"


def seal_token(vault: Vault, id: UUID, token: str) -> bytes:
    """The token, as it is stored."""
    return vault.seal(orjson.dumps(token), _place(id))


def open_token(vault: Vault, id: UUID, sealed: bytes) -> str:
    """The token a row holds."""
    opened: str = orjson.loads(vault.open(sealed, _place(id)))
    return opened


def _proof(vault: Vault, token: str) -> str:
    return vault.proof(f"saved_method:{token}")
