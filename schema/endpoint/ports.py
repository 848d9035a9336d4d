"""What the endpoint needs from outside: who is calling, and how much a caller may ask for."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from core.errors import Rejected
from schema.endpoint.asgi import HttpRequest


class Caller(Protocol):
    """Who sends a request. Anything with these two attributes will do."""

    @property
    def scopes(self) -> frozenset[str]:
        """Names of the scopes the caller has (see schema.directives.Scope)."""
        ...

    @property
    def cost_max(self) -> int | None:
        """The largest cost of one request, when it differs from the endpoint's own limit."""
        ...


class Unauthenticated(Rejected):
    """The request carries no valid credentials."""

    code = "UNAUTHENTICATED"


class OriginNotAllowed(Unauthenticated):
    """Pages of this origin may not ask here."""

    code = "ORIGIN_NOT_ALLOWED"


Authenticate = Callable[[HttpRequest], Awaitable[Caller]]
"""Find out who is calling.

Raises: Unauthenticated (always with the same message), OriginNotAllowed, Unavailable.
"""


class RequestContext(Protocol):
    """What resolvers see as `info.context`, for one request."""

    def at_one_moment(self) -> AbstractAsyncContextManager[None]:
        """Around a query: all its reads see the same state."""
        ...


ContextFactory = Callable[[HttpRequest, Caller], RequestContext]
"""Make the context of one request."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for. Counted with fragments written out in full."""

    body_bytes: int = 256 * 1024
    body_seconds: float = 10.0
    characters: int = 100_000
    tokens: int = 2_000
    comments: int = 500
    fields: int = 500
    selections: int = 1_500
    """Fields, fragment spreads and inline fragments together."""
    depth: int = 12
    introspection_depth: int = 20
    nesting: int = 60
    """Depth that also counts inline fragments and fragment spreads."""
    aliases: int = 30
    directives: int = 50
    fragments: int = 50
    operations: int = 20
    same_path: int = 30
    """How often one response path may be selected; checking that they agree takes pairs."""
    variables_depth: int = 64
    variables_values: int = 5_000
    integer_digits: int = 19
    cost: int = 1_000
    errors: int = 20
    query_seconds: float = 20.0
    mutation_seconds: float = 60.0
    init_seconds: float = 10.0
    """How long a WebSocket may stay silent before it says who it is."""
    subscriptions: int = 50
    """At once on one WebSocket."""
    sockets: int = 2_000
    """WebSockets at once on one endpoint of one process."""
    store_entries: int = 1_000
    store_bytes: int = 64 * 1024 * 1024
