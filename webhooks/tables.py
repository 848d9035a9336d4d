"""The inbox, for reading (migrations/sql/0004_callbacks_and_events.sql)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class InboundWebhookRow(SQLModel, table=True):
    """One callback of a provider, as it arrived, and where its processing stands."""

    __tablename__ = "inbound_webhook"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    provider_account_id: UUID
    provider_event_id: str = Field(sa_type=Text)
    kind: str | None = Field(sa_type=Text)
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    headers: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False))
    body_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    correlation_id: str = Field(sa_type=Text)
    received_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    status: str = Field(sa_type=Text)
    tries: int
    error: str | None = Field(sa_type=Text)
    processed_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    next_action_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    lease_until: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    fence: int = Field(sa_column=Column(BigInteger, nullable=False))
