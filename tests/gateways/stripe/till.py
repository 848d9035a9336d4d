"""A till at the fake Stripe: operations sent by the real dispatcher, and found out about by it."""

import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import respx

from core.money import Money
from gateways.accounts import ProviderAccount
from gateways.port import HttpCall, LookupResult, Operation, Outcome, OutcomeStatus
from gateways.stripe import StripeAdapter
from tests.gateways.builders import Bench, a_bench, an_account, an_operation
from tests.gateways.stripe.builders import API
from tests.gateways.stripe.fake import FakeStripe
from tests.gateways.stripe.faults import Fault, over_httpx

LOOKS_MAX: Final = 12
RESENDS_MAX: Final = 3
OPEN: Final = (OutcomeStatus.UNKNOWN, OutcomeStatus.PENDING, OutcomeStatus.REQUIRES_ACTION)


@dataclass
class Till:
    """`faults` are met by the next requests, one each."""

    account: ProviderAccount
    fake: FakeStripe = field(init=False)
    faults: "deque[Fault | None]" = field(default_factory=deque)
    bench: Bench = field(default_factory=lambda: a_bench(StripeAdapter()))
    stored: dict[str, list[HttpCall]] = field(default_factory=dict)
    """The money calls of each operation, as they were first sent."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.fake = FakeStripe(clock=lambda: self.bench.clock.now().timestamp())

    def an_operation(self, kind: str, minor_units: int = 4250, **changes: Any) -> Operation:
        """With ids like the product's own: the key is the id and a number."""
        id = f"op_{next(self._numbers):026}"
        defaults: dict[str, Any] = {
            "id": id,
            "idempotency_key": f"{id}.1",
            "amount": Money(minor_units, "EUR"),
            "account": self.account.credentials(),
            "token": "pm_card_visa" if kind in {"SALE", "AUTHORIZE"} else None,
            "sent_at": self.bench.clock.now(),
        }
        return an_operation(kind, **{**defaults, **changes})

    async def send(self, operation: Operation) -> Outcome:
        async def commit(call: HttpCall) -> None:
            self.stored.setdefault(operation.id, []).append(call)

        prepared = self.bench.dispatcher.prepare(self.account, operation)
        assert prepared.refusal is None, prepared.refusal
        return (await self.bench.dispatcher.send(prepared, commit)).outcome

    async def do(self, kind: str, minor_units: int = 4250, **changes: Any) -> Outcome:
        return await self.send(self.an_operation(kind, minor_units, **changes))

    async def look(self, operation: Operation) -> LookupResult:
        looked = await self.bench.dispatcher.lookup(self.account, operation)
        return looked.result if looked.answered else LookupResult()

    async def repeat(self, operation: Operation) -> Outcome:
        """The stored bytes again, under their key."""

        async def refuse(call: HttpCall) -> None:
            raise AssertionError(call.idempotency_key)

        stored = self.stored[operation.id]
        found = await self.bench.dispatcher.replay(self.account, operation, stored, refuse)
        return found.outcome

    async def find_out(
        self, operation: Operation, said: Outcome, *, repeat_first: bool = False
    ) -> Outcome:
        """What becomes of an operation, as the worker finds out: look, repeat where that is safe,
        and after some repeats believe that it never happened.
        """
        outcome, resends = said, 0
        if repeat_first and said.status is OutcomeStatus.UNKNOWN:
            outcome = await self.repeat(operation)
        for _ in range(LOOKS_MAX):
            if outcome.status is not OutcomeStatus.UNKNOWN:
                return outcome
            self.bench.clock.pass_(60)
            looked = await self.look(operation)
            if looked.outcome is not None:
                outcome = looked.outcome
            elif looked.not_found_is_conclusive and resends < RESENDS_MAX:
                resends += 1
                outcome = await self.repeat(operation)
            elif looked.not_found_is_conclusive:
                return Outcome(OutcomeStatus.NOT_EXECUTED)
        return outcome


@contextmanager
def a_till(**changes: Any) -> Iterator[Till]:
    """At an account of its own; every request to it meets its fake Stripe."""
    till = Till(an_account("stripe", **changes))
    with respx.mock(base_url=API, assert_all_called=False) as router:
        router.route().mock(side_effect=over_httpx(till.fake, till.faults))
        yield till
