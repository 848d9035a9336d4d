"""Every event we tell, by type and version, in the past tense.

An event type never changes its meaning; another meaning is another version. The payload of one is
validated when it is made, so that no row of the outbox can break its contract.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from core.identifiers import encode


class Subject(enum.StrEnum):
    """What an event is about: aggregate type, and prefix of its public id."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISCREPANCY = "discrepancy"
    SAVED_METHOD = "saved_method"

    @property
    def prefix(self) -> str:
        """Of the public id."""
        return _PREFIXES[self.value]


_PREFIXES: Final = {
    "payment": "pay",
    "refund": "ref",
    "discrepancy": "dis",
    "saved_method": "sm",
}


class Amount(BaseModel):
    """Money in an event: minor units as a string, since JSON numbers lose precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount_minor: str
    currency: str


class PaymentFact(BaseModel):
    """State of a payment right after what happened to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payment_id: str
    reference: str | None
    status: str
    version: int
    amount: Amount
    amount_captured: Amount
    amount_refunded: Amount
    customer_id: str | None = None
    decline_code: str | None = None


class RefundFact(BaseModel):
    """State of a refund right after what happened to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refund_id: str
    payment_id: str
    status: str
    amount: Amount
    reason: str


class DiscrepancyFact(BaseModel):
    """Something that does not add up was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    discrepancy_id: str
    kind: str
    payment_id: str | None
    note: str | None


class SavedMethodFact(BaseModel):
    """A method a customer keeps, or has kept. `payment_id` is the payment that kept it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    saved_method_id: str
    customer_id: str
    payment_id: str


Fact = PaymentFact | RefundFact | DiscrepancyFact | SavedMethodFact


@dataclass(frozen=True, slots=True)
class Event:
    """One fact that became true. `causation_id` names what caused it (operation, callback)."""

    type: str
    subject: Subject
    subject_id: UUID
    fact: Fact
    actor: str
    correlation_id: str
    occurred_at: datetime
    causation_id: str | None = None

    TYPES: ClassVar[frozenset[str]] = frozenset(
        {
            "payment.initiated.v1",
            "payment.processing.v1",
            "payment.requires_action.v1",
            "payment.authorized.v1",
            "payment.partially_captured.v1",
            "payment.captured.v1",
            "payment.declined.v1",
            "payment.not_executed.v1",
            "payment.failed.v1",
            "payment.canceled.v1",
            "payment.expired.v1",
            "payment.in_review.v1",
            "refund.created.v1",
            "refund.succeeded.v1",
            "refund.failed.v1",
            "refund.returned.v1",
            "refund.in_review.v1",
            "reconciliation.discrepancy_opened.v1",
            "saved_method.created.v1",
            "saved_method.removed.v1",
        }
    )

    def __post_init__(self) -> None:
        assert self.type in self.TYPES, self.type

    @property
    def subject_public_id(self) -> str:
        """pay_…, ref_…, dis_…, sm_…"""
        return encode(self.subject.prefix, self.subject_id)
