"""The GraphQL endpoint: our own ASGI application around graphql-core.

    request ─ method, media types ─ authenticate ─ body ≤ cap ─ JSON
            ─ document store: parse → limits → validate → scopes and cost, once per document
            ─ scopes of the caller, cost of the variables ─ execute ─ orjson

Subscriptions come over WebSocket through the same store, scopes and costs (sockets.py).
Everything up to `execute` refuses; nothing up to there touches a resolver.
"""

from schema.endpoint.asgi import HttpRequest
from schema.endpoint.endpoint import DeadlineExceeded, GraphQLEndpoint
from schema.endpoint.metrics import GraphQLMetrics
from schema.endpoint.ports import (
    Authenticate,
    Caller,
    ContextFactory,
    Limits,
    OriginNotAllowed,
    Unauthenticated,
)
from schema.endpoint.rules import BadCost, UnguardedField

__all__ = [
    "Authenticate",
    "BadCost",
    "Caller",
    "ContextFactory",
    "DeadlineExceeded",
    "GraphQLEndpoint",
    "GraphQLMetrics",
    "HttpRequest",
    "Limits",
    "OriginNotAllowed",
    "Unauthenticated",
    "UnguardedField",
]
