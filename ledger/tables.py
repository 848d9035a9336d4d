"""Tables of the books, for reading only (migrations/sql/0002_ledger.sql)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Identity,
    LargeBinary,
    SmallInteger,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel


class Xid8(UserDefinedType[str]):
    """Number of a database transaction, 64 bits, never reused."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "XID8"


# How SQLAlchemy is told to recognise a type it does not know when it compares schemas.
ischema_names["xid8"] = Xid8


def _big(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=nullable))


def _small() -> Any:
    return Field(sa_column=Column(SmallInteger, nullable=False))


def _instant(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


class AccountTypeRow(SQLModel, table=True):
    """A line of the chart of accounts."""

    __tablename__ = "account_type"

    code: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    class_: str = Field(sa_column=Column("class", Text, nullable=False))
    normal: int = Field(sa_column=Column(SmallInteger, Computed("…"), nullable=False))
    path_shape: str = Field(sa_type=Text)
    path_pattern: str = Field(sa_column=Column(Text, Computed("…"), nullable=False))
    min_available: int | None = _big(nullable=True)
    max_balance: int | None = _big(nullable=True)
    name: str = Field(sa_type=Text)


class AccountRow(SQLModel, table=True):
    """One account in one currency."""

    __tablename__ = "account"

    tenant_id: int = Field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    public_id: UUID
    type_code: int = _small()
    path: str = Field(sa_type=Text)
    currency: str = Field(sa_type=Text)
    normal: int = _small()
    name: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    metadata_: dict[str, str] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    created_at: datetime = _instant()


class AccountBalanceRow(SQLModel, table=True):
    """Running totals of an account."""

    __tablename__ = "account_balance"

    tenant_id: int = Field(primary_key=True)
    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    currency: str = Field(sa_type=Text)
    normal: int = _small()
    debits_posted: int = _big()
    credits_posted: int = _big()
    debits_pending: int = _big()
    credits_pending: int = _big()
    seq: int = _big()
    last_recorded_at: datetime = _instant()
    min_available: int | None = _big(nullable=True)
    max_balance: int | None = _big(nullable=True)


class LedgerTransactionRow(SQLModel, table=True):
    """A balanced set of entries and what it is about."""

    __tablename__ = "ledger_transaction"

    tenant_id: int = Field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    public_id: UUID
    key: str = Field(sa_type=Text)
    recipe: str = Field(sa_type=Text)
    leg_count: int = _small()
    hold_id: UUID | None
    hold_opened: int | None = _big(nullable=True)
    hold_captured: int | None = _big(nullable=True)
    hold_released: int | None = _big(nullable=True)
    reverses_id: int | None = _big(nullable=True)
    payment_id: UUID | None
    refund_id: UUID | None
    operation_id: UUID | None
    provider_account_id: UUID | None
    provider_ref: str | None = Field(sa_type=Text)
    correlation_id: str = Field(sa_type=Text)
    effective_at: datetime = _instant()
    recorded_at: datetime = _instant()
    description: str = Field(sa_type=Text)
    metadata_: dict[str, str] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    external_fact: bool = Field(sa_column=Column(Boolean, nullable=False))
    created_by: str = Field(sa_type=Text)
    xid: str = Field(sa_column=Column(Xid8, nullable=False))
    content_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class EntryRow(SQLModel, table=True):
    """One debit or credit."""

    __tablename__ = "entry"

    tenant_id: int = Field(primary_key=True)
    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    transaction_id: int = _big()
    leg_no: int = _small()
    layer: int = _small()
    direction: str = Field(sa_type=Text)
    amount: int = _big()
    currency: str = Field(sa_type=Text)
    debits_posted_after: int = _big()
    credits_posted_after: int = _big()
    debits_pending_after: int = _big()
    credits_pending_after: int = _big()
    effective_at: datetime = _instant()
    recorded_at: datetime = _instant()


class HoldRow(SQLModel, table=True):
    """Money reserved by pending entries."""

    __tablename__ = "hold"

    tenant_id: int = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    transaction_id: int = _big()
    payment_id: UUID | None
    currency: str = Field(sa_type=Text)
    amount: int = _big()
    captured: int = _big()
    released: int = _big()
    status: str = Field(sa_column=Column(Text, Computed("…"), nullable=False))
    reason: str = Field(sa_type=Text)
    expires_at: datetime | None = _instant(nullable=True)
    created_at: datetime = _instant()
