"""Payments, attempts, operations, evidence and refunds as the API shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from core.money import Money
from payments import capturable_of_row, refundable_of_row
from resolvers.views.rows import (
    Attribute,
    KeyValue,
    View,
    column,
    key_values,
    money,
    optional_money,
    pairs,
    public_id,
)

RETRYABLE_WITH_SAME_METHOD: Final = frozenset(
    {"SOFT", "INSUFFICIENT_FUNDS", "LIMIT", "SCA_REQUIRED"}
)
"""Kinds of decline after which the same method may work at another time."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a provider refused."""

    kind: str
    code: str
    provider_code: str | None
    network_code: str | None
    advice_code: str | None

    @property
    def retryable_with_same_method(self) -> bool:
        return self.kind in RETRYABLE_WITH_SAME_METHOD


@dataclass(frozen=True, slots=True)
class NextAction:
    """What the shopper must do."""

    kind: str
    url: str | None
    fields: list[KeyValue]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Method:
    """What was charged, as far as it may be shown."""

    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    fingerprint: str | None
    country: str | None
    wallet: str | None


def _decline(stored: Mapping[str, Any] | None) -> Decline | None:
    if stored is None:
        return None
    kind = stored.get("kind") or stored.get("decline") or "OTHER"
    return Decline(
        kind,
        stored["code"],
        *(stored.get(name) for name in ("provider_code", "network_code", "advice_code")),
    )


def _next_action(stored: Mapping[str, Any] | None) -> NextAction | None:
    if stored is None:
        return None
    expires_at = stored.get("expires_at")
    return NextAction(
        stored["kind"],
        stored.get("url"),
        key_values(stored.get("fields")),
        datetime.fromisoformat(expires_at) if expires_at else None,
    )


def _method(stored: Mapping[str, Any]) -> Method | None:
    if not stored:
        return None
    return Method(
        stored.get("type", "card"),
        *(
            stored.get(name)
            for name in (
                "brand",
                "last4",
                "exp_month",
                "exp_year",
                "fingerprint",
                "country",
                "wallet",
            )
        ),
    )


def decline(name: str) -> Attribute[Decline | None]:
    """The column's refusal."""
    return Attribute(lambda row: _decline(row[name]))


def next_action(name: str) -> Attribute[NextAction | None]:
    """The column's next step of the shopper."""
    return Attribute(lambda row: _next_action(row[name]))


class Payment(View):
    """What the shop wants: one amount, taken once."""

    id = public_id("pay")
    status = column("status")
    version = column("version")
    created_at = column("created_at")
    updated_at = column("updated_at")
    expires_at = column("expires_at")
    reference = column("reference")
    amount = money("amount")
    amount_authorized = money("authorized")
    amount_disputed = money("disputed")
    amount_refunded = money("refunded", "refunded_external")
    fees = money("fees")
    capture_mode = column("capture_mode")
    method = Attribute(lambda row: _method(row["method"]))
    customer_id = column("customer_id")
    next_action = next_action("next_action")
    last_decline = decline("last_decline")
    metadata = pairs("metadata")

    @property
    def amount_captured(self) -> Money:
        """Taken and not taken back by the provider since."""
        return self._money(self.row["captured_gross"] - self.row["capture_reversed"])

    @property
    def amount_capturable(self) -> Money:
        """Reserved at the provider and not captured yet."""
        row = self.row
        return self._money(
            capturable_of_row(row["status"], row["authorized"], row["captured_gross"])
        )

    @property
    def amount_refundable(self) -> Money:
        """What a new refund may take at most."""
        row = self.row
        return self._money(
            refundable_of_row(
                row["captured_gross"],
                row["capture_reversed"],
                row["refund_reserved"],
                row["refunded_external"],
                row["disputed"],
            )
        )

    @property
    def net(self) -> Money:
        """What is left: captured, less what went back, is disputed, or was charged as a fee."""
        row = self.row
        gone = (
            row["capture_reversed"] + row["refunded"] + row["refunded_external"] + row["disputed"]
        )
        return self._money(row["captured_gross"] - gone - row["fees"])

    @property
    def allowed_actions(self) -> list[str]:
        """What can be done now; another request may be faster."""
        status = self.row["status"]
        return [
            action
            for action, allowed in (
                ("CONFIRM", status in {"REQUIRES_PAYMENT_METHOD", "REQUIRES_CONFIRMATION"}),
                ("CAPTURE", self.amount_capturable.minor_units > 0),
                ("CANCEL", status in _CANCELABLE and self.row["cancel_requested_at"] is None),
                ("REFUND", self.amount_refundable.minor_units > 0),
                ("SYNC", status in {"PROCESSING", "REQUIRES_ACTION", "IN_REVIEW"}),
            )
            if allowed
        ]

    def _money(self, minor_units: int) -> Money:
        return Money(minor_units, self.row["currency"])


_CANCELABLE: Final = frozenset(
    {
        "REQUIRES_PAYMENT_METHOD",
        "REQUIRES_CONFIRMATION",
        "REQUIRES_ACTION",
        "AUTHORIZED",
        "PARTIALLY_CAPTURED",
    }
)


@dataclass(frozen=True, slots=True)
class RoutingCandidate:
    """One line of a routing decision."""

    provider_account_id: UUID
    rank: int
    verdict: str
    reason: str

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> "RoutingCandidate":
        account_id = line.get("account_id") or line["provider_account_id"]
        return cls(UUID(str(account_id)), line["rank"], line["verdict"], line["reason"])


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Who was considered for an attempt, and why each one was chosen or not."""

    strategy: str
    decided_at: datetime
    candidates: list[RoutingCandidate]


def _routing(row: Any) -> RoutingDecision:
    return RoutingDecision(
        row["routing"]["strategy"],
        row["created_at"],
        [RoutingCandidate.from_json(line) for line in row["routing"]["candidates"]],
    )


class PaymentAttempt(View):
    """One try of a payment at one provider account."""

    id = public_id("att")
    number = column("number")
    status = column("status")
    routing = Attribute(_routing)
    decline = decline("decline")
    next_action = next_action("next_action")
    created_at = column("created_at")


def _latency_ms(row: Any) -> int | None:
    if row["sent_at"] is None or row["completed_at"] is None:
        return None
    elapsed: timedelta = row["completed_at"] - row["sent_at"]
    return round(elapsed.total_seconds() * 1000)


class ProviderOperation(View):
    """One provider call that may move money."""

    id = public_id("op")
    kind = column("kind")
    status = column("status")
    provider_ref = column("provider_ref")
    amount = money("amount")
    fee = optional_money("fee")
    idempotency_key = column("idempotency_key")
    created_at = column("created_at")
    sent_at = column("sent_at")
    completed_at = column("completed_at")
    latency_ms = Attribute(_latency_ms)
    decline = decline("decline")
    next_resolution_at = Attribute(
        lambda row: row["next_action_at"] if row["status"] == "UNKNOWN" else None
    )
    resolution_tries = column("resolution_tries")


class Evidence(View):
    """One fact somebody told us about an operation; the row also has the operation's status."""

    id = public_id("evd")
    source = column("source")
    says = column("says")
    amount = optional_money("amount")
    occurred_at = column("occurred_at")
    received_at = column("received_at")
    provider_event_id = column("provider_event_id")
    applied = Attribute(lambda row: row["says"] == row["operation_status"])
    note = column("note")


class Refund(View):
    """Money of a captured payment on its way back."""

    id = public_id("ref")
    status = column("status")
    amount = money("amount")
    reason = column("reason")
    note = column("note")
    failure_message = column("failure_message")
    created_at = column("created_at")
    updated_at = column("updated_at")
    version = column("version")
    metadata = pairs("metadata")


class Discrepancy(View):
    """Something that does not add up; the row also has its age in hours."""

    id = public_id("dis")
    kind = column("kind")
    status = column("status")
    provider_ref = column("provider_ref")
    expected = optional_money("expected")
    actual = optional_money("actual")
    note = column("note")
    created_at = column("created_at")
    resolved_at = column("resolved_at")
