"""What every resolver is given: who asks, the services, and what this request read already."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from core.clock import Clock
from core.database import Database, DatabaseUnavailable, Reader
from core.errors import Rejected
from core.identifiers import encode
from events import Feed
from gateways.registry import Registry
from payments import Actor, PaymentServices
from tenants import SCOPES

API_VERSION: Final = "2026-03-01"
"""Meaning of the API's names; a new date only with a breaking change."""


class Forbidden(Rejected):
    """Your key has not the scope this needs."""

    code = "FORBIDDEN"


class Unauthenticated(Rejected):
    """A key is needed for this."""

    code = "UNAUTHENTICATED"


class OriginNotAllowed(Rejected):
    """Pages of this origin may not ask here."""

    code = "ORIGIN_NOT_ALLOWED"


class Caller(Protocol):
    """Who sends the request.

    A server's key has a tenant, an id and scopes; a server with a JWT has a `subject` (`jwt:…`)
    instead of the id. A browser proves itself by the client secret of one payment: in the header
    (then `tenant_id` and `payment_id` are set) or in an argument (then nobody is known beforehand).
    A customer who is logged in at the shop has a token that names them (`customer_id`). A browser
    never has scopes.

    `origin_tenants` are the tenants that allow the page the request comes from; None when it comes
    from no page of another origin, so that there is nothing to allow.
    """

    @property
    def scopes(self) -> frozenset[str]: ...

    @property
    def tenant_id(self) -> int | None: ...

    @property
    def key_id(self) -> UUID | None: ...

    @property
    def subject(self) -> str | None: ...

    @property
    def payment_id(self) -> UUID | None: ...

    @property
    def customer_id(self) -> str | None: ...

    @property
    def origin_tenants(self) -> frozenset[int] | None: ...

    @property
    def live(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What resolvers use."""

    payments: PaymentServices
    feed: Feed

    @property
    def public_url(self) -> str:
        return self.payments.public_url

    @property
    def database(self) -> Database:
        return self.payments.database

    @property
    def clock(self) -> Clock:
        return self.payments.clock

    @property
    def registry(self) -> Registry:
        return self.payments.dispatcher.registry


@dataclass(slots=True)
class Context:
    """One request. `idempotency_header` is the Idempotency-Key header, if there was one."""

    caller: Caller
    services: Services
    correlation_id: str
    idempotency_header: str | None = None
    _tenant_id: int | None = field(default=None, init=False)
    memory: dict[type, object] = field(default_factory=dict, init=False)
    """What was read already in this request, by who keeps it."""
    _moment: AsyncExitStack | None = field(default=None, init=False)
    _reader: Reader | None = field(default=None, init=False)
    _moment_is_lost: bool = field(default=False, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def tenant_id(self) -> int:
        """Whose rows the request sees. Raises: Unauthenticated."""
        found = self.caller.tenant_id if self._tenant_id is None else self._tenant_id
        if found is None:
            raise Unauthenticated
        return found

    def enter(self, tenant_id: int) -> bool:
        """See one tenant's rows from now on; False if the request belongs to another already.

        Raises: OriginNotAllowed.
        """
        known = self.caller.tenant_id if self._tenant_id is None else self._tenant_id
        if known is not None:
            return known == tenant_id
        allowing = self.caller.origin_tenants
        if allowing is not None and tenant_id not in allowing:
            raise OriginNotAllowed
        self._tenant_id = tenant_id
        return True

    @asynccontextmanager
    async def at_one_moment(self) -> AsyncIterator[None]:
        """All that is read meanwhile is as of the first read: a balance and its entries agree."""
        async with AsyncExitStack() as self._moment:
            self._moment_is_lost = False
            try:
                yield
            finally:
                self._reader = None
        self._moment = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        """What reads the tenant's rows; one statement at a time. Raises: DatabaseUnavailable."""
        if self._moment is None:
            async with self.services.database.reading(self.tenant_id) as reader:
                yield reader
            return
        async with self._turn:
            if self._moment_is_lost:
                raise DatabaseUnavailable
            try:
                yield await self._reader_of(self._moment)
            except DatabaseUnavailable:
                self._moment_is_lost = True
                raise

    async def _reader_of(self, moment: AsyncExitStack) -> Reader:
        if self._reader is None:
            opening = self.services.database.reading(self.tenant_id)
            self._reader = await moment.enter_async_context(opening)
        return self._reader

    def forget(self) -> None:
        """Something was changed: read anew from now on."""
        self.memory.clear()

    def demand(self, scope: str) -> None:
        """For what no directive can say: the scope depends on an id. Raises: Forbidden."""
        assert scope in SCOPES, scope
        if scope not in self.caller.scopes:
            raise Forbidden(scope=scope)

    def actor(self, payment_id: UUID | None = None) -> Actor:
        """Who acts, for the records and for where idempotency keys live.

        `payment_id` is the payment behind a client secret that was given as an argument.
        """
        server = _server_name(self.caller)
        if payment_id is None and server is not None:
            return Actor(self.tenant_id, server, "server", self.correlation_id)
        behind = payment_id or self.caller.payment_id
        if behind is None:
            raise Unauthenticated
        scope = encode("pay", behind)
        return Actor(
            self.tenant_id,
            f"client:{scope}",
            scope,
            self.correlation_id,
            self.caller.customer_id,
        )

    def owner(self) -> Actor:
        """Who acts on what is a customer's own: the customer, by their token, or a server that may
        write payments. Raises: Forbidden.
        """
        customer_id = self.caller.customer_id
        if customer_id is None:
            self.demand("PAYMENTS_WRITE")
            return self.actor()
        scope = f"customer:{customer_id}"
        return Actor(self.tenant_id, scope, scope, self.correlation_id, customer_id)


def _server_name(caller: Caller) -> str | None:
    """How a server is called in the records; None for a browser and for nobody."""
    return caller.subject if caller.key_id is None else f"key:{encode('key', caller.key_id)}"
