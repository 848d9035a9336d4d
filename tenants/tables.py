"""Tables of tenants, keys and the audit log, for reading (migrations/sql/0001_tenancy.sql)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, Identity, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel


class Tenant(SQLModel, table=True):
    """One merchant organisation."""

    tenant_id: int = Field(sa_column=Column(Integer, Identity(always=True), primary_key=True))
    public_id: UUID
    name: str = Field(sa_type=Text)
    base_currency: str = Field(sa_type=Text)
    live: bool
    attempt_limit: int
    orphan_policy: str = Field(sa_type=Text)
    risk_rules: dict[str, object] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class ApiKey(SQLModel, table=True):
    """A key of a server or of a browser shop; only its hash is kept."""

    __tablename__ = "api_key"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    secret_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    hint: str = Field(sa_type=Text)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    revoked_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    last_used_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    rotated_from: UUID | None
    kind: str = Field(sa_type=Text)


class AllowedOrigin(SQLModel, table=True):
    """A web site whose pages may use the browser's view."""

    __tablename__ = "allowed_origin"

    tenant_id: int = Field(primary_key=True)
    origin: str = Field(sa_type=Text, primary_key=True)
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class CustomerTokenRow(SQLModel, table=True):
    """A token of a shop's customer; only its hash is kept."""

    __tablename__ = "customer_token"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    customer_id: str = Field(sa_type=Text)
    secret_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_by: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class AuditLog(SQLModel, table=True):
    """Who did what to which thing, and what was refused."""

    __tablename__ = "audit_log"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    actor: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    subject: str | None = Field(sa_type=Text)
    before: dict[str, object] | None = Field(sa_column=Column(JSONB))
    after: dict[str, object] | None = Field(sa_column=Column(JSONB))
    refused: bool
    correlation_id: str = Field(sa_type=Text)
