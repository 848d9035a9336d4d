"""Types by name, for the edges between modules that need each other."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from schema.shapes import Connection

if TYPE_CHECKING:
    from schema.ledger import Account, Entry, Transaction
    from schema.payments import (
        Evidence,
        Payment,
        PaymentAttempt,
        ProviderOperation,
        Refund,
        RoutingCandidate,
    )
    from schema.providers import Provider, ProviderHealth

_LEDGER = strawberry.lazy("schema.ledger")
_PAYMENTS = strawberry.lazy("schema.payments")
_PROVIDERS = strawberry.lazy("schema.providers")

PaymentType: TypeAlias = Annotated["Payment", _PAYMENTS]
RefundType: TypeAlias = Annotated["Refund", _PAYMENTS]
AttemptType: TypeAlias = Annotated["PaymentAttempt", _PAYMENTS]
OperationType: TypeAlias = Annotated["ProviderOperation", _PAYMENTS]
EvidenceType: TypeAlias = Annotated["Evidence", _PAYMENTS]
CandidateType: TypeAlias = Annotated["RoutingCandidate", _PAYMENTS]
ProviderType: TypeAlias = Annotated["Provider", _PROVIDERS]
HealthType: TypeAlias = Annotated["ProviderHealth", _PROVIDERS]
AccountType: TypeAlias = Annotated["Account", _LEDGER]
EntryType: TypeAlias = Annotated["Entry", _LEDGER]
TransactionType: TypeAlias = Annotated["Transaction", _LEDGER]

RefundConnection: TypeAlias = Connection[RefundType]
TransactionConnection: TypeAlias = Connection[TransactionType]
