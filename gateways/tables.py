"""Tables of provider accounts, for reading (migrations/sql/0001_tenancy.sql)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel


class ProviderAccountRow(SQLModel, table=True):
    """One set of credentials at a provider; the secrets stay sealed here."""

    __tablename__ = "provider_account"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    adapter: str = Field(sa_type=Text)
    base_url: str = Field(sa_type=Text)
    fields_: dict[str, str] = Field(sa_column=Column("fields", JSONB, nullable=False))
    secrets_sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    omit: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    priority: int
    enabled: bool
    live: bool
    methods: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    countries: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    limits: list[dict[str, object]] = Field(sa_column=Column(JSONB, nullable=False))
    breaker_policy: dict[str, object] = Field(sa_column=Column(JSONB, nullable=False))
    version: int
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class ProviderHealthRow(SQLModel, table=True):
    """Last breaker state any process saw."""

    __tablename__ = "provider_health"

    tenant_id: int = Field(primary_key=True)
    provider_account_id: UUID = Field(primary_key=True)
    kind: str = Field(sa_column=Column(Text, primary_key=True))
    state: str = Field(sa_type=Text)
    since: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    next_probe_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    reason: str | None = Field(sa_type=Text)
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
