"""Cards of the fake Stripe: those for tests, and those that stay with a customer."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

DECLINES: Final = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", None),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", None),
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline"),
}
THREE_D_SECURE: Final = frozenset(
    {"pm_card_authenticationRequired", "pm_card_threeDSecure2Required"}
)
CHARGED: Final = frozenset(
    {"pm_card", "pm_card_visa", "pm_slow", "pm_card_pendingRefund", "pm_card_refundFail"}
)
ONE_CAPTURE_ONLY: Final = "pm_card_oneCaptureOnly"
"""Our own: a card whose network does not allow several captures."""
TOKENS: Final = frozenset({*DECLINES, *THREE_D_SECURE, *CHARGED, ONE_CAPTURE_ONLY})


@dataclass
class FakeCards:
    """`methods` are cards that were attached, also those that are not any more."""

    customers: dict[str, Json] = field(default_factory=dict)
    methods: dict[str, Json] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def create_customer(self, metadata: Json) -> Json:
        id = f"cus_live{next(self._numbers)}"
        self.customers[id] = {"id": id, "object": "customer", "metadata": metadata}
        return self.customers[id]

    def may_charge(self, token: str, customer: str | None) -> bool:
        """Whether it is a card of this customer."""
        attached = self.methods.get(token, {}).get("customer")
        return attached is not None and attached == customer

    def attach(self, intent: Json) -> None:
        """The card stays with the customer once it was charged, as one of its own."""
        if intent["setup_future_usage"] is None or intent["payment_method"] in self.methods:
            return
        id = f"pm_live{next(self._numbers)}"
        card = {"brand": "visa", "last4": "4242", "exp_month": 8, "exp_year": 2031}
        about = {"object": "payment_method", "type": "card", "card": card}
        self.methods[id] = {"id": id, "customer": intent["customer"], **about}
        intent["payment_method"] = id

    def expanded(self, intent: Json, asked: Mapping[str, str]) -> Json:
        """The intent, with the method in place of its id where that was asked for."""
        method = self.methods.get(intent["payment_method"] or "")
        wanted = asked.get("expand[]") in {"payment_method", "data.payment_method"}
        return {**intent, "payment_method": method} if wanted and method else intent
