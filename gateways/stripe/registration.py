"""Stripe as the registry sees it: what the adapter can do, and where each part is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

from core.money import Money
from gateways.port import (
    SDK_VERSION,
    WEBHOOK_SECRET,
    Account,
    CallbackRequest,
    Capability,
    ClientConfiguration,
    Flow,
    Limits,
    LookupResult,
    Manifest,
    Operation,
    Outcome,
    ProviderEvent,
    StoredMethod,
)
from gateways.stripe import captures, operations, webhooks

_MINIMA: Final = (
    "USD 0.50, AED 2, AUD 0.50, BGN 1, BRL 0.50, CAD 0.50, CHF 0.50, CZK 15, DKK 2.50, EUR 0.50, "
    "GBP 0.30, HKD 4, HUF 175, INR 0.50, JPY 50, MXN 10, MYR 2, NOK 3, NZD 0.50, PLN 2, RON 2, "
    "SEK 3, SGD 0.50, THB 10"
)
"""A snapshot; an account whose limits differ states its own. Source: docs.stripe.com/currencies."""
PUBLISHABLE_KEY: Final = "publishable_key"
"""The account field with the key Stripe's script in a page is started with (pk_…)."""
_DIGITS: Final = {"INR": 9, "HUF": 12, "JPY": 10}


def _limits() -> tuple[Limits, ...]:
    minima = []
    for entry in _MINIMA.split(", "):
        currency, decimal = entry.split(" ")
        largest = 10 ** _DIGITS.get(currency, 8) - 1
        minima.append(Limits(currency, Money.parse(decimal, currency).minor_units, largest))
    return tuple(minima)


class StripeAdapter:
    """Cards through Stripe's PaymentIntents."""

    manifest: ClassVar[Manifest] = Manifest(
        name="stripe",
        version="1.0.0",
        sdk=SDK_VERSION,
        capabilities=frozenset(
            {
                Capability.SALE,
                Capability.AUTHORIZE,
                Capability.CAPTURE,
                Capability.PARTIAL_CAPTURE,
                Capability.MULTI_CAPTURE,
                Capability.VOID,
                Capability.REFUND,
                Capability.PARTIAL_REFUND,
                Capability.THREE_DS,
                Capability.STORED_METHODS,
                Capability.WEBHOOKS,
                Capability.LOOKUP_BY_OP_ID,
                Capability.IDEMPOTENCY,
                Capability.CLIENT_CONFIGURATION,
            }
        ),
        methods=frozenset({"card"}),
        limits=_limits(),
        idempotency_window=timedelta(hours=24),
        secret_fields=("api_key", WEBHOOK_SECRET),
        token_prefixes=("pm_", "src_", "card_"),
        agreements={Capability.MULTI_CAPTURE: captures.AGREEMENT},
    )

    def authorize(self, operation: Operation) -> Flow[Outcome]:
        return operations.authorize(operation)

    def capture(self, operation: Operation) -> Flow[Outcome]:
        return operations.capture(operation)

    def void(self, operation: Operation) -> Flow[Outcome]:
        return operations.void(operation)

    def refund(self, operation: Operation) -> Flow[Outcome]:
        return operations.refund(operation)

    def lookup(self, operation: Operation) -> Flow[LookupResult]:
        return operations.lookup(operation)

    def detach(self, account: Account, method: StoredMethod, key: str) -> Flow[bool]:
        return operations.detach(account, method, key)

    def is_portable(self, token: str) -> bool:  # noqa: ARG002 - no token of Stripe's leaves it
        return False

    def client_configuration(
        self,
        account: Account,
        method_type: str,  # noqa: ARG002 - there is but one
    ) -> ClientConfiguration | None:
        """What `Stripe(…)` takes. A secret key put there by mistake stays here."""
        key = account.fields.get(PUBLISHABLE_KEY, "")
        return ClientConfiguration({"publishableKey": key}) if key.startswith("pk_") else None

    def verify_webhook(self, request: CallbackRequest, secrets: Sequence[str]) -> None:
        webhooks.verify(request, secrets)

    def parse_webhook(self, request: CallbackRequest) -> list[ProviderEvent]:
        return webhooks.parse_events(request)
