"""The GraphQL endpoint: our own ASGI application around graphql-core.

    request ─ method, media types ─ body ≤ cap ─ a place to run ─ authenticate ─ JSON
            ─ persisted operations ─ document store: parse → limits → validate → scopes and cost,
              once per document
            ─ scopes of the caller, cost of the variables, budget ─ execute ─ orjson

Subscriptions come over WebSocket through the same store, scopes and costs (sockets.py).
Everything up to `execute` refuses; nothing up to there touches a resolver.
"""

from schema.endpoint.admission import Admission, Overloaded
from schema.endpoint.asgi import HttpRequest
from schema.endpoint.endpoint import DeadlineExceeded, GraphQLEndpoint
from schema.endpoint.metrics import GraphQLMetrics
from schema.endpoint.persisted import (
    BadPersistedOperation,
    PersistedMode,
    PersistedOperations,
    read_operations,
)
from schema.endpoint.ports import (
    Authenticate,
    Budget,
    Caller,
    ContextFactory,
    Limits,
    OriginNotAllowed,
    RateLimited,
    Unauthenticated,
)
from schema.endpoint.rules import BadCost, UnguardedField

__all__ = [
    "Admission",
    "Authenticate",
    "BadCost",
    "BadPersistedOperation",
    "Budget",
    "Caller",
    "ContextFactory",
    "DeadlineExceeded",
    "GraphQLEndpoint",
    "GraphQLMetrics",
    "HttpRequest",
    "Limits",
    "OriginNotAllowed",
    "Overloaded",
    "PersistedMode",
    "PersistedOperations",
    "RateLimited",
    "Unauthenticated",
    "UnguardedField",
    "read_operations",
]
