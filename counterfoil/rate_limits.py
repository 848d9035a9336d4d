"""How much each caller may do in a while, counted in this process alone.

a server            so much cost a minute, by its key or the subject of its token
a browser           so many requests a second: by its payment, its customer, or else its address
a stranger          whose credentials are not valid pays for each try from the same allowance of
                    its address; when that is used up the database is not even asked

Nothing grows with what strangers send: they are counted by address, an IPv6 network as one, and
beyond so many addresses all further ones are counted as one.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NewType, TypeAlias

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from counterfoil.access import ApiCaller
from schema.endpoint import Authenticate, Caller, HttpRequest, RateLimited, Unauthenticated

COUNTED_MAX: Final = 2_000
"""Browsers within two seconds; more than one process can serve. The library looks at all of them
with every request, so that there must be an end."""
KNOWN_MAX: Final = 10_000
_NETWORK_BITS: Final = 64
"""Whoever has one IPv6 address mostly has all of its network."""

Identity = NewType("Identity", str)
_EVERYBODY_ELSE: Final = Identity("everybody else")

Counts: TypeAlias = tuple[int, float, int, float]
"""Count and remaining life of the window before this one, then of this one, which lives twice."""


@dataclass(slots=True)
class RateLimits:
    """One for the process. A limit of 0 is none. Also a `Budget` of the endpoints."""

    cost_per_minute: int
    browser_requests_per_second: int
    _costs: MemoryStorage = field(default_factory=MemoryStorage)
    _requests: MemoryStorage = field(default_factory=MemoryStorage)
    _known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def guard(self, authenticate: Authenticate) -> Authenticate:
        """The same, refusing an address that tries credential after credential.

        Credentials that were good lately pass untried: a stranger behind the same proxy as a shop's
        server cannot shut the server out.
        """

        async def find_caller(request: HttpRequest) -> Caller:
            credentials = request.headers.get("authorization")
            if credentials is None:
                return await authenticate(request)
            digest = sha256(credentials.encode("utf-8", "replace")).digest()
            if digest not in self._known:
                await self._check(_address_of(request))
            try:
                caller = await authenticate(request)
            except Unauthenticated:
                self._known.pop(digest, None)
                await self._one_more_request(_address_of(request))
                raise
            self._remember(digest)
            return caller

        return find_caller

    async def count(self, request: HttpRequest, caller: Caller) -> None:
        """One more request of a browser; servers pay by cost. Raises: RateLimited."""
        if _server_of(caller) is None:
            await self._one_more_request(_browser_of(caller) or _address_of(request))

    async def spend(self, caller: Caller, cost: int) -> Mapping[str, int] | None:
        """Take a cost from the budget of a server's key. Raises: RateLimited."""
        server = _server_of(caller)
        if server is None or not self.cost_per_minute:
            return None
        item = RateLimitItemPerMinute(self.cost_per_minute)
        await _take(self._costs, item, server, cost)
        left = await SlidingWindowCounterRateLimiter(self._costs).get_window_stats(item, server)
        return {
            "limit": item.amount,
            "remaining": left.remaining,
            "windowSeconds": item.get_expiry(),
        }

    async def _check(self, identity: Identity) -> None:
        """Whether there is room for one more, without taking it. Raises: RateLimited."""
        if self.browser_requests_per_second:
            item = RateLimitItemPerSecond(self.browser_requests_per_second)
            identity = await self._counted(item, identity)
            if not await SlidingWindowCounterRateLimiter(self._requests).test(item, identity):
                raise RateLimited

    async def _one_more_request(self, identity: Identity) -> None:
        if self.browser_requests_per_second:
            item = RateLimitItemPerSecond(self.browser_requests_per_second)
            await _take(self._requests, item, await self._counted(item, identity), 1)

    async def _counted(self, item: RateLimitItem, identity: Identity) -> Identity:
        """The identity itself, unless so many are counted already that it must share."""
        if len(self._requests.storage) < COUNTED_MAX:
            return identity
        before, _, now, _ = await _counts(self._requests, item, identity)
        return identity if before + now else _EVERYBODY_ELSE

    def _remember(self, digest: bytes) -> None:
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


async def _take(storage: MemoryStorage, item: RateLimitItem, identity: Identity, cost: int) -> None:
    """Raises: RateLimited."""
    if not await SlidingWindowCounterRateLimiter(storage).hit(item, identity, cost=cost):
        counts = await _counts(storage, item, identity)
        wait_seconds = _seconds_until(item.amount - cost, item.get_expiry(), counts)
        raise RateLimited(retry_after_seconds=wait_seconds)


async def _counts(storage: MemoryStorage, item: RateLimitItem, identity: Identity) -> Counts:
    return await storage.get_sliding_window(item.key_for(identity), item.get_expiry())


def _seconds_until(room: int, window_seconds: int, counts: Counts) -> float:
    """How long until at most `room` counts, if nothing else comes.

    The window before this one counts with the share of it that is still within reach; once this
    window has ended, the same becomes of its own count.
    """
    before, before_seconds, now, now_seconds = counts
    until_end = now_seconds - window_seconds
    if now <= room:
        return max(0.0, before_seconds - (room - now) * window_seconds / max(1, before))
    return until_end + window_seconds * (1 - max(0, room) / now)


def _server_of(caller: Caller) -> Identity | None:
    assert isinstance(caller, ApiCaller), "our authenticator made it"
    if caller.key_id is not None and not caller.publishable:
        return Identity(f"key:{caller.key_id}")
    # The name of a subject is the identity provider's: one is told from another in a tenant only.
    return Identity(f"{caller.tenant_id}:{caller.subject}") if caller.subject else None


def _browser_of(caller: Caller) -> Identity | None:
    assert isinstance(caller, ApiCaller), "our authenticator made it"
    if caller.payment_id is not None:
        return Identity(f"payment:{caller.payment_id}")
    if caller.customer_id is not None:
        return Identity(f"customer:{caller.tenant_id}:{caller.customer_id}")
    return None


def _address_of(request: HttpRequest) -> Identity:
    try:
        address = ipaddress.ip_address((request.client or "").partition("%")[0])
    except ValueError:
        return Identity("address:unknown")
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        network = ipaddress.ip_network((address, _NETWORK_BITS), strict=False)
        return Identity(f"address:{mapped or network}")
    return Identity(f"address:{address}")
