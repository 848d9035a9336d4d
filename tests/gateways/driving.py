"""Runs one flow the way the dispatcher does, without what surrounds it."""

from collections.abc import Awaitable, Callable
from typing import Any

from core.clock import SystemClock
from gateways.driver import (
    Caller,
    Driver,
    FlowStopped,
    Prepared,
    outcome_of_stop,
    prepare,
)
from gateways.port import (
    Flow,
    HttpCall,
    Outcome,
)
from tests.gateways.builders import (
    a_client,
)

CALLER = Caller("acme", "SALE", correlation_id="cor-1", secrets=("sk_test_key",))


async def drive(
    flow: Flow[Outcome],
    before_money: Callable[[HttpCall], Awaitable[None]] | None = None,
    *,
    clock: Any = None,
    seconds: float = 5.0,
) -> tuple[Outcome, Prepared[Outcome]]:
    async def committed(call: HttpCall) -> None:
        pass

    clock = clock or SystemClock()
    prepared = prepare(flow)
    async with a_client() as client:
        try:
            outcome = await Driver(client, clock).run(
                prepared,
                CALLER,
                deadline=clock.monotonic() + seconds,
                before_money=before_money or committed,
            )
        except FlowStopped as stopped:
            outcome = outcome_of_stop(stopped, money_began=prepared.money_began)
    return outcome, prepared


def code_of(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.code
