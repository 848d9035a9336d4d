"""Provider accounts and their breakers as the API shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.money import Money
from gateways.accounts import granted
from gateways.port import Manifest
from resolvers.views.rows import View, column, public_id


@dataclass(frozen=True, slots=True)
class ProviderLimit:
    """Smallest and largest amount taken in one currency."""

    currency: str
    min: Money
    max: Money


class Provider(View):
    """A provider account, completed by what its adapter says of itself.

    `manifest` is None when the adapter is not installed here.
    """

    __slots__ = ("manifest", "webhook_url")

    id = public_id("prv")
    name = column("name")
    adapter = column("adapter")
    live = column("live")
    enabled = column("enabled")
    version = column("version")

    def __init__(self, row: Any, manifest: Manifest | None, webhook_url: str) -> None:
        super().__init__(row)
        self.manifest = manifest
        self.webhook_url = webhook_url

    @property
    def adapter_version(self) -> str:
        return self.manifest.version if self.manifest else "not installed"

    @property
    def capabilities(self) -> list[str]:
        found = granted(self.manifest, self.row["fields"]) if self.manifest else ()
        return sorted(capability.value for capability in found)

    @property
    def methods(self) -> list[str]:
        """What the account may charge, if it is narrower than what the adapter can."""
        can = self.manifest.methods if self.manifest else frozenset()
        return sorted(can & set(self.row["methods"]) if self.row["methods"] else can)

    @property
    def countries(self) -> list[str]:
        """Empty: all."""
        allowed = set(self.row["countries"])
        can = set(self.manifest.countries) if self.manifest else set()
        return sorted(can & allowed if can and allowed else can | allowed)

    @property
    def limits(self) -> list[ProviderLimit]:
        """An account's limit replaces its adapter's of the same currency."""
        found: dict[str, ProviderLimit] = {}
        for limit in self.manifest.limits if self.manifest else ():
            found[limit.currency] = _limit(
                limit.currency, limit.min_minor_units, limit.max_minor_units
            )
        for stored in self.row["limits"]:
            found[stored["currency"]] = _stored_limit(stored)
        return [found[currency] for currency in sorted(found)]


def _limit(currency: str, smallest: int, largest: int) -> ProviderLimit:
    return ProviderLimit(currency, Money(smallest, currency), Money(largest, currency))


def _stored_limit(stored: Mapping[str, Any]) -> ProviderLimit:
    return _limit(stored["currency"], stored["min_minor_units"], stored["max_minor_units"])


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """What a breaker was last seen doing, by any process."""

    operation: str
    state: str
    since: datetime
    next_probe_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """How a provider is doing."""

    breakers: Sequence[BreakerStatus]
    unknown_outcomes: int

    @property
    def level(self) -> str:
        """HEALTHY when no breaker is open, DOWN when all that ever changed are.

        A breaker is reported when it changes: one that never did has been closed all along.
        """
        closed = sum(breaker.state == "CLOSED" for breaker in self.breakers)
        if closed == len(self.breakers):
            return "HEALTHY"
        return "DEGRADED" if closed else "DOWN"


def health_of(breakers: Sequence[Any], unknown: Mapping[UUID, int], id: UUID) -> ProviderHealth:
    """From rows of provider_health of one account, and counts by account."""
    return ProviderHealth(
        [
            BreakerStatus(
                row["kind"], row["state"], row["since"], row["next_probe_at"], row["reason"]
            )
            for row in breakers
        ],
        unknown.get(id, 0),
    )
