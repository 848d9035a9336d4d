"""A provider account as the machinery sees it: one set of credentials, and how it may be used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from core.identifiers import encode
from gateways.port import AGREED, Account, Capability, Limits, Manifest


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When calls to one provider account stop, and when they are tried again.

    A wait is `reset_seconds` ± `jitter` (a fraction), doubled by each failed probe up to
    `reset_seconds_max`. With `dry_run` the breaker watches and reports, but refuses nothing;
    with `forced_open` an operator has closed the door.
    """

    failures_to_open: int = 5
    reset_seconds: float = 30.0
    reset_seconds_max: float = 300.0
    jitter: float = 0.2
    dry_run: bool = False
    forced_open: bool = False

    def __post_init__(self) -> None:
        assert self.failures_to_open >= 1
        assert 0 < self.reset_seconds <= self.reset_seconds_max
        assert 0 <= self.jitter < 1


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """One row of `provider_account`, its secrets opened by the caller.

    A lower `priority` is tried first. Empty `methods` or `countries` mean whatever the adapter
    can; an entry of `limits` replaces the adapter's limit of that currency.
    """

    id: UUID
    name: str
    adapter: str
    base_url: str
    priority: int = 100
    enabled: bool = True
    live: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    methods: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    limits: tuple[Limits, ...] = ()
    breaker_policy: BreakerPolicy = BreakerPolicy()
    omit: frozenset[str] = frozenset()

    def capabilities(self, manifest: Manifest) -> frozenset[Capability]:
        """What can be done here: all the adapter can, but for what was not agreed with us."""
        return granted(manifest, self.fields)

    def credentials(self) -> Account:
        """What an adapter is given: `Operation(account=…)`."""
        return Account(
            id=str(self.id),
            base_url=self.base_url,
            fields=self.fields,
            secrets=self.secrets,
            live=self.live,
            omit=self.omit,
        )


def webhook_url(public_url: str, account_id: UUID) -> str:
    """Where the provider calls back about an account."""
    return f"{public_url}/webhooks/{encode('prv', account_id)}"


def granted(manifest: Manifest, fields: Mapping[str, str]) -> frozenset[Capability]:
    """The adapter's capabilities without those an account with these fields has not agreed."""
    missing = {
        capability for capability, name in manifest.agreements.items() if fields.get(name) != AGREED
    }
    return manifest.capabilities - missing
