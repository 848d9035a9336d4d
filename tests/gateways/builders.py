"""Things the gateway tests are about, with everything that does not matter filled in."""

import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import httpx
from prometheus_client import CollectorRegistry

from core.identifiers import new_id
from core.money import Money
from gateways.accounts import BreakerPolicy, ProviderAccount
from gateways.breaker import Breakers
from gateways.dispatcher import Dispatcher
from gateways.metrics import GatewayMetrics
from gateways.port import (
    Account,
    Capability,
    Effect,
    Flow,
    HttpCall,
    HttpResponse,
    LookupResult,
    Manifest,
    Operation,
    Outcome,
    OutcomeStatus,
    ProviderAdapter,
    Unparseable,
)
from gateways.registry import Registry, make_registry
from gateways.wire import make_client
from tests.loopback import TRUSTS_NOBODY

BASE_URL = "https://psp.example"


@dataclass
class FakeClock:
    """Time that passes only when told to."""

    seconds: float = 1000.0
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds


def an_account(adapter: str = "plain", **changes: Any) -> ProviderAccount:
    settings: dict[str, Any] = {
        "id": new_id(),
        "name": "acme",
        "adapter": adapter,
        "base_url": BASE_URL,
        "secrets": {"api_key": ("sk_test_key",), "webhook_secret": ("whsec_new", "whsec_old")},
    }
    return ProviderAccount(**{**settings, **changes})


def an_operation(kind: str = "SALE", **changes: Any) -> Operation:
    settings: dict[str, Any] = {
        "id": "op_1",
        "kind": kind,
        "idempotency_key": "op_1",
        "amount": Money(4250, "EUR"),
        "account": an_account().credentials(),
        "token": "pm_card",
    }
    return Operation(**{**settings, **changes})


def an_http_account(**changes: Any) -> Account:
    return an_account(**changes).credentials()


Script = Callable[[Operation], Generator[HttpCall, HttpResponse, Outcome]]


def one_call(operation: Operation) -> Flow[Outcome]:
    """POST, then read {"status": …} from a 2xx or 4xx."""
    response = yield HttpCall(
        "POST",
        f"{operation.account.base_url}/charge",
        headers={"Authorization": "Bearer secret-key"},
        body=b'{"amount": 4250}',
        idempotency_key=f"{operation.idempotency_key}.1",
        secrets=("secret-key",),
    )
    if b"ok" not in response.body:
        raise Unparseable("not ok")
    return Outcome(OutcomeStatus.SUCCEEDED, "ref_1", operation.amount)


def two_calls(operation: Operation) -> Flow[Outcome]:
    """A harmless call first, then the one that moves money."""
    token = yield HttpCall("POST", f"{operation.account.base_url}/token", effect=Effect.NONE)
    if token.status != 200:
        raise Unparseable("no token")
    return (yield from one_call(operation))


@dataclass
class PlainAdapter:
    """An adapter that does what the test says."""

    script: Script = one_call
    find: Callable[[Operation], Flow[LookupResult]] | None = None
    manifest: ClassVar[Manifest] = Manifest(
        name="plain",
        version="1",
        sdk="1",
        capabilities=frozenset({Capability.SALE, Capability.AUTHORIZE}),
        methods=frozenset({"card"}),
    )

    def authorize(self, operation: Operation) -> Flow[Outcome]:
        return self.script(operation)

    def lookup(self, operation: Operation) -> Flow[LookupResult]:
        assert self.find is not None
        return self.find(operation)

    def is_portable(self, token: str) -> bool:
        return not token.startswith("bound_")


def a_client() -> httpx.AsyncClient:
    return make_client(certificates=TRUSTS_NOBODY)


@dataclass
class Bench:
    """A dispatcher with a fake clock, and note taken of each commit of SENT."""

    registry: Registry
    clock: FakeClock = field(default_factory=FakeClock)
    committed: list[HttpCall] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    client: httpx.AsyncClient = field(default_factory=a_client)
    metrics_registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        metrics = GatewayMetrics(self.metrics_registry)
        rng = random.Random(7)
        self.breakers = Breakers(self.clock, rng, [metrics.breaker_changed])
        self.dispatcher = Dispatcher(
            registry=self.registry,
            client=self.client,
            breakers=self.breakers,
            clock=self.clock,
            rng=rng,
            metrics=metrics,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.pass_(seconds)

    async def commit(self, call: HttpCall) -> None:
        self.committed.append(call)


def a_bench(*adapters: ProviderAdapter, script: Script = one_call) -> Bench:
    return Bench(make_registry(adapters or (PlainAdapter(script),), installed=()))


def a_policy(**changes: Any) -> BreakerPolicy:
    return BreakerPolicy(**{"jitter": 0.0, **changes})


def ids(count: int) -> Sequence[UUID]:
    return [new_id() for _ in range(count)]


Commit = Callable[[HttpCall], Awaitable[None]]
