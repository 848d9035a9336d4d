"""The keys an identity provider publishes at a URL: fetched, kept, and fetched again in time.

Whoever sends made-up key ids cannot make us fetch more often than every PAUSE_SECONDS, and whoever
waits for one fetch waits for no second one.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx
import structlog

from core.clock import Clock
from core.errors import Unavailable
from tenants import BadKeySet, VerificationKey, read_key_set
from tenants.key_sets import SET_BYTES_MAX

FRESH_SECONDS: Final = 600.0
"""How long a set is used before it is fetched again. A new key should be published for longer than
that before it signs; one that is published just before it signs is found as well.
"""
PAUSE_SECONDS: Final = 10.0
"""From the end of one fetch, whatever became of it, to the next."""
KEPT_SECONDS: Final = 86_400.0
"""How long the last set is believed while no newer one can be had."""
FETCH_SECONDS: Final = 3.0

log = structlog.get_logger("counterfoil.published_keys")


class KeysUnavailable(Unavailable):
    """The keys of the identity provider cannot be fetched now."""

    code = "IDENTITY_PROVIDER_UNAVAILABLE"


class _NoKeySet(Exception):
    """What came back is not what was asked for."""


class PublishedKeys:
    """The keys behind one URL. `find` may be called from many requests at once."""

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        clock: Clock,
        fetch_seconds: float = FETCH_SECONDS,
    ) -> None:
        self._url = url
        self._fetch_seconds = fetch_seconds
        self._client = client
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    async def find(self, key_id: str) -> VerificationKey | None:
        """The key of this id; None if the issuer has none. Raises: KeysUnavailable."""
        somebody_fetches = self._fetching.locked() and key_id in self._keys
        if self._is_due(key_id) and not somebody_fetches:
            async with self._fetching:
                if self._is_due(key_id):
                    await self._fetch()
        if self._fetched_at is None or self._seconds_since(self._fetched_at) > KEPT_SECONDS:
            raise KeysUnavailable(retry_after_seconds=PAUSE_SECONDS)
        return self._keys.get(key_id)

    def _is_due(self, key_id: str) -> bool:
        if self._tried_at is not None and self._seconds_since(self._tried_at) < PAUSE_SECONDS:
            return False
        is_fresh = (
            self._fetched_at is not None and self._seconds_since(self._fetched_at) < FRESH_SECONDS
        )
        return not is_fresh or key_id not in self._keys

    def _seconds_since(self, instant: float) -> float:
        return self._clock.monotonic() - instant

    async def _fetch(self) -> None:
        """Replace the keys, or keep those we have. A fetch that was cut off does not count."""
        try:
            async with asyncio.timeout(self._fetch_seconds):
                found = read_key_set(await self._download())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, BadKeySet, _NoKeySet) as error:
            log.warning("oidc_keys_not_fetched", reason=str(error) or type(error).__name__)
        else:
            self._keys, self._fetched_at = found.keys, self._clock.monotonic()
            log.info("oidc_keys_fetched", keys=len(found.keys), left_out=list(found.left_out))
        self._tried_at = self._clock.monotonic()

    async def _download(self) -> bytes:
        """Raises: httpx.HTTPError, _NoKeySet."""
        found = bytearray()
        headers = {"Accept": "application/jwk-set+json, application/json"}
        async with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != 200:
                raise _NoKeySet(f"status {response.status_code}")
            async for part in response.aiter_raw():
                found += part
                if len(found) > SET_BYTES_MAX:
                    raise _NoKeySet("too large")
        return bytes(found)
