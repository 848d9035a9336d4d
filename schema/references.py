"""Types by name, for the edges between modules that need each other."""

from typing import Annotated, Any, Final

import strawberry

from schema.shapes import Connection


def _named(name: str, module: str) -> Any:
    """A type that is looked up when the schema is built."""
    return Annotated[name, strawberry.lazy(module)]


PaymentType: Final = _named("Payment", "schema.payments")
RefundType: Final = _named("Refund", "schema.payments")
AttemptType: Final = _named("PaymentAttempt", "schema.payments")
OperationType: Final = _named("ProviderOperation", "schema.payments")
EvidenceType: Final = _named("Evidence", "schema.payments")
ProviderType: Final = _named("Provider", "schema.providers")
HealthType: Final = _named("ProviderHealth", "schema.providers")
AccountType: Final = _named("Account", "schema.ledger")
EntryType: Final = _named("Entry", "schema.ledger")
TransactionType: Final = _named("Transaction", "schema.ledger")

RefundConnection: Final[Any] = Connection[RefundType]  # type: ignore[valid-type] # a value, not an annotation
TransactionConnection: Final[Any] = Connection[TransactionType]  # type: ignore[valid-type] # as above
