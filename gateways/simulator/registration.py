"""What the simulator can do, and where each ability is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

from gateways.port import (
    SDK_VERSION,
    WEBHOOK_SECRET,
    Account,
    CallbackRequest,
    Capability,
    ClientConfiguration,
    Flow,
    LookupResult,
    Manifest,
    Operation,
    Outcome,
    ProviderEvent,
    StoredMethod,
)
from gateways.simulator import operations, webhooks

_BOUND: Final = "bound_"
_SAVED: Final = "saved_"
_TEST_TOKENS: Final = (
    "tok_success",
    "tok_requires_action",
    "tok_decline_insufficient_funds",
    "tok_decline_hard",
    "tok_pending",
    "tok_timeout_after",
)
"""What a page may offer in place of cards; docs/simulator.md lists every token."""
_MANIFEST: Final = Manifest(
    name="simulator",
    version="1",
    sdk=SDK_VERSION,
    capabilities=frozenset(
        {
            Capability.AUTHORIZE,
            Capability.SALE,
            Capability.CAPTURE,
            Capability.PARTIAL_CAPTURE,
            Capability.MULTI_CAPTURE,
            Capability.VOID,
            Capability.REFUND,
            Capability.PARTIAL_REFUND,
            Capability.THREE_DS,
            Capability.WEBHOOKS,
            Capability.LOOKUP_BY_OP_ID,
            Capability.IDEMPOTENCY,
            Capability.STORED_METHODS,
            Capability.HEALTH,
            Capability.CLIENT_CONFIGURATION,
        }
    ),
    methods=frozenset({"card"}),
    idempotency_window=timedelta(days=365),
    lookup_delay=timedelta(seconds=2),
    secret_fields=("secret_key", WEBHOOK_SECRET),
    token_prefixes=("tok_", _BOUND, _SAVED),
)


class SimulatorAdapter:
    """The simulator, behind the port."""

    manifest: ClassVar[Manifest] = _MANIFEST

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

    def probe(self, account: Account) -> Flow[bool]:
        return operations.probe(account)

    def is_portable(self, token: str) -> bool:
        """`bound_…` and `saved_…` belong to one account; the others stand for portable methods."""
        return not token.startswith((_BOUND, _SAVED))

    def client_configuration(
        self,
        account: Account,  # noqa: ARG002 - the same for every account
        method_type: str,  # noqa: ARG002 - there is but one
    ) -> ClientConfiguration:
        """There is no script: a page sends one of these tokens."""
        return ClientConfiguration({"testTokens": list(_TEST_TOKENS)}, portable=True)

    def verify_webhook(self, request: CallbackRequest, secrets: Sequence[str]) -> None:
        webhooks.verify(request, secrets)

    def parse_webhook(self, request: CallbackRequest) -> list[ProviderEvent]:
        return webhooks.parse(request)
