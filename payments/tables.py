"""Tables of payments, for reading (migrations/sql/0003_payments.sql); not for writing."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


def _instant(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def _text(*, nullable: bool = False, key: bool = False) -> Any:
    return Field(sa_column=Column(Text, nullable=nullable, primary_key=key))


def _count(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=nullable))


def _json(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(JSONB, nullable=nullable))


def _bytes(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(LargeBinary, nullable=nullable))


class IdempotencyKeyRow(SQLModel, table=True):
    """First use of one idempotency key."""

    __tablename__ = "idempotency_key"

    tenant_id: int = Field(primary_key=True)
    principal_scope: str = _text(key=True)
    mutation: str = _text(key=True)
    key: str = _text(key=True)
    fingerprint: bytes = _bytes()
    path_digests: dict[str, str] = _json()
    resource_type: str = _text()
    resource_id: UUID
    operation_id: UUID | None
    rejection: dict[str, Any] | None = _json(nullable=True)
    correlation_id: str = _text()
    created_at: datetime = _instant()


class PaymentRow(SQLModel, table=True):
    """What the shop wants: one amount, taken once."""

    __tablename__ = "payment"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    reference: str | None = _text(nullable=True)
    status: str = _text()
    version: int
    amount: int = _count()
    currency: str = _text()
    capture_mode: str = _text()
    method: dict[str, Any] = _json()
    token_sealed: bytes | None = _bytes(nullable=True)
    customer_id: str | None = _text(nullable=True)
    country: str | None = _text(nullable=True)
    return_url: str | None = _text(nullable=True)
    statement_descriptor: str | None = _text(nullable=True)
    merchant_account: str = _text()
    splits: list[dict[str, Any]] = _json()
    store_credit_account: str | None = _text(nullable=True)
    store_credit: int = _count()
    routing: dict[str, Any] = _json()
    metadata_: dict[str, str] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    client_secret_hash: bytes = _bytes()
    attempt_limit: int
    expires_at: datetime | None = _instant(nullable=True)
    authorized: int = _count()
    paid_by_store_credit: bool
    captured_gross: int = _count()
    capture_reversed: int = _count()
    refund_reserved: int = _count()
    refunded: int = _count()
    refunded_external: int = _count()
    disputed: int = _count()
    fees: int = _count()
    attempt_count: int
    last_decline: dict[str, Any] | None = _json(nullable=True)
    next_action: dict[str, Any] | None = _json(nullable=True)
    cancel_requested_at: datetime | None = _instant(nullable=True)
    ended_at: datetime | None = _instant(nullable=True)
    save_method: bool
    saved_method_id: UUID | None
    correlation_id: str = _text()
    created_at: datetime = _instant()
    updated_at: datetime = _instant()


class PaymentAttemptRow(SQLModel, table=True):
    """One try of a payment at one provider account."""

    __tablename__ = "payment_attempt"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    payment_id: UUID
    number: int
    status: str = _text()
    superseded: bool
    provider_account_id: UUID
    routing: dict[str, Any] = _json()
    decline: dict[str, Any] | None = _json(nullable=True)
    next_action: dict[str, Any] | None = _json(nullable=True)
    created_at: datetime = _instant()
    updated_at: datetime = _instant()


class RefundRow(SQLModel, table=True):
    """Money of a captured payment on its way back."""

    __tablename__ = "refund"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    payment_id: UUID
    status: str = _text()
    origin: str = _text()
    amount: int = _count()
    currency: str = _text()
    card_amount: int = _count()
    store_credit_amount: int = _count()
    shares: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    reason: str = _text()
    note: str | None = _text(nullable=True)
    metadata_: dict[str, str] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    failure_message: str | None = _text(nullable=True)
    version: int
    correlation_id: str = _text()
    created_at: datetime = _instant()
    updated_at: datetime = _instant()


class ProviderOperationRow(SQLModel, table=True):
    """One provider call that may move money."""

    __tablename__ = "provider_operation"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    payment_id: UUID
    attempt_id: UUID
    refund_id: UUID | None
    kind: str = _text()
    status: str = _text()
    origin: str = _text()
    provider_account_id: UUID
    provider_ref: str | None = _text(nullable=True)
    parent_ref: str | None = _text(nullable=True)
    amount: int = _count()
    currency: str = _text()
    moved_amount: int | None = _count(nullable=True)
    fee: int | None = _count(nullable=True)
    expired: bool
    final: bool
    shares: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    posted: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    idempotency_key: str = _text()
    request_sealed: bytes | None = _bytes(nullable=True)
    decline: dict[str, Any] | None = _json(nullable=True)
    next_action: dict[str, Any] | None = _json(nullable=True)
    next_action_at: datetime | None = _instant(nullable=True)
    lease_until: datetime | None = _instant(nullable=True)
    fence: int = _count()
    tries: int
    resolution_tries: int
    correlation_id: str = _text()
    created_at: datetime = _instant()
    sent_at: datetime | None = _instant(nullable=True)
    completed_at: datetime | None = _instant(nullable=True)
    updated_at: datetime = _instant()


class EvidenceRow(SQLModel, table=True):
    """One fact somebody told us about an operation."""

    __tablename__ = "evidence"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    operation_id: UUID
    source: str = _text()
    says: str = _text()
    amount: int | None = _count(nullable=True)
    currency: str | None = _text(nullable=True)
    fee: int | None = _count(nullable=True)
    provider_ref: str | None = _text(nullable=True)
    facts: dict[str, Any] = _json()
    provider_event_id: str | None = _text(nullable=True)
    dedup_key: str = _text()
    occurred_at: datetime = _instant()
    received_at: datetime = _instant()
    note: str | None = _text(nullable=True)


class ProviderCallRow(SQLModel, table=True):
    """One HTTP exchange with a provider, masked."""

    __tablename__ = "provider_call"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    operation_id: UUID
    purpose: str = _text()
    method: str = _text()
    url: str = _text()
    status: int | None
    error: str | None = _text(nullable=True)
    latency_ms: int | None
    at: datetime = _instant()


class SavedMethodRow(SQLModel, table=True):
    """A method a customer keeps (migrations/sql/0009_saved_methods.sql)."""

    __tablename__ = "saved_method"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    customer_id: str = _text()
    provider_account_id: UUID
    type: str = _text()
    token_sealed: bytes | None = _bytes(nullable=True)
    token_proof: str = _text()
    provider_customer: str | None = _text(nullable=True)
    brand: str | None = _text(nullable=True)
    last4: str | None = _text(nullable=True)
    exp_month: int | None
    exp_year: int | None
    payment_id: UUID
    correlation_id: str = _text()
    created_at: datetime = _instant()
    removed_at: datetime | None = _instant(nullable=True)
    detached_at: datetime | None = _instant(nullable=True)
    next_action_at: datetime | None = _instant(nullable=True)
    lease_until: datetime | None = _instant(nullable=True)
    fence: int = _count()
    tries: int


class DiscrepancyRow(SQLModel, table=True):
    """Something that does not add up and waits for an explanation."""

    __tablename__ = "discrepancy"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    kind: str = _text()
    status: str = _text()
    subject_key: str = _text()
    payment_id: UUID | None
    refund_id: UUID | None
    operation_id: UUID | None
    provider_account_id: UUID | None
    provider_ref: str | None = _text(nullable=True)
    expected: int | None = _count(nullable=True)
    actual: int | None = _count(nullable=True)
    currency: str | None = _text(nullable=True)
    note: str | None = _text(nullable=True)
    created_at: datetime = _instant()
    resolved_at: datetime | None = _instant(nullable=True)
