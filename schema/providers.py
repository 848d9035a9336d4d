"""Provider accounts and their health."""

from datetime import datetime

import strawberry

from resolvers import providers as read
from resolvers.views import providers as views
from schema.base import edge, requires, shown, shows
from schema.directives import Scope
from schema.enums import BreakerState, Capability, HealthLevel
from schema.references import HealthType
from schema.scalars import CurrencyCode, Url
from schema.shapes import Money, Node

_READ = requires(Scope.PROVIDERS_READ)


@strawberry.type(description="What a provider takes in one currency.")
class ProviderLimit:
    currency: CurrencyCode = shown("ISO 4217 code.")
    min: Money = shown("The smallest amount.")
    max: Money = shown("The largest amount.")


@strawberry.type(description="A circuit breaker as some process last saw it.")
class BreakerStatus:
    operation: str = shown("The kind of call it guards.")
    state: BreakerState = shown("Whether calls are let through.")
    since: datetime = shown("Since when.")
    next_probe_at: datetime | None = shown("When the next call is let through.")
    reason: str | None = shown("What opened it.")


@strawberry.type(description="How a provider is doing.")
class ProviderHealth:
    level: HealthLevel = shown("Judged by the breakers.")
    unknown_outcomes: int = shown("Operations whose outcome is not known at this moment.")
    breakers: list[BreakerStatus] = shown("The breakers that have ever changed their state.")


@strawberry.type(description="A provider account: one set of credentials at a provider.")
class Provider(Node):
    is_type_of = shows(views.Provider)

    name: str = shown("Short name; also part of ledger paths.")
    adapter: str = shown("The adapter that speaks its protocol.")
    adapter_version: str = shown("Version of the adapter.", _READ)
    live: bool = shown("Whether real money moves there.")
    enabled: bool = shown("Whether it gets new payments.", _READ)
    capabilities: list[Capability] = shown("What it can do.", _READ)
    methods: list[str] = shown("Types of method it can charge.", _READ)
    countries: list[str] = shown("Countries it serves, ISO 3166-1; empty means all.", _READ)
    limits: list[ProviderLimit] = shown("What it takes, by currency.", _READ)
    webhook_url: Url = shown("Where it must send its callbacks.", _READ)
    version: int = shown("Raised by each change.", _READ)

    health = edge(read.health, HealthType, "How it is doing.", _READ)
