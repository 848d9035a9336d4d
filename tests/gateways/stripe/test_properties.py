"""Whatever is done, in whatever order, and whatever the wire does to it.

Each operation has at most one effect at Stripe, what we end up believing of it is what Stripe did,
and the events, however often they come, tell every capture once and with its own amount.
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from core.money import Money
from gateways.port import CallbackRequest, Operation, Outcome, OutcomeStatus
from gateways.stripe import StripeAdapter
from tests.gateways.stripe.fake_cards import DECLINES, ONE_CAPTURE_ONLY
from tests.gateways.stripe.faults import Fault
from tests.gateways.stripe.till import Till, a_till

CARDS = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_authenticationRequired",
    "pm_card_pendingRefund",
    ONE_CAPTURE_ONLY,
    *sorted(DECLINES)[:2],
]
UNITS = st.sampled_from([50, 1000, 1500, 2250, 4250, 5000])
WHICH = st.integers(0, 3)


@dataclass(frozen=True)
class Step:
    """Something we do (with an id of its own), or that is done by hand, to one of the intents."""

    kind: str
    which: int = 0
    units: int = 4250
    token: str | None = None
    final: bool = True
    faults: tuple[Fault | None, ...] = ()
    repeat_first: bool = False


FAULTS = st.lists(st.none() | st.sampled_from(list(Fault)), max_size=5).map(tuple)
OURS = st.one_of(
    st.builds(
        Step,
        st.sampled_from(["SALE", "AUTHORIZE", "AUTHORIZE"]),
        token=st.sampled_from(CARDS),
        faults=FAULTS,
        repeat_first=st.booleans(),
    ),
    st.builds(
        Step,
        st.just("CAPTURE"),
        WHICH,
        UNITS,
        final=st.booleans(),
        faults=FAULTS,
        repeat_first=st.booleans(),
    ),
    st.builds(Step, st.just("VOID"), WHICH, faults=FAULTS, repeat_first=st.booleans()),
    st.builds(Step, st.just("REFUND"), WHICH, UNITS, faults=FAULTS, repeat_first=st.booleans()),
)
BY_HAND = st.builds(
    Step,
    st.sampled_from(["capture", "cancel", "refund", "authenticate", "fail"]),
    WHICH,
    UNITS,
    final=st.booleans(),
)


@dataclass
class Day:
    """What happened at one till."""

    till: Till
    agreed: bool
    believed: list[tuple[Operation, Outcome]] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)
    """Intents of which somebody captured by hand."""

    async def take(self, step: Step) -> None:
        if step.kind in {"SALE", "AUTHORIZE"}:
            changes = {"token": step.token, "return_url": "https://shop.example/back"}
            await self._do(self.till.an_operation(step.kind, step.units, **changes), step)
            return
        intents = list(self.till.fake.intents)
        if not intents:
            return
        intent_id = intents[step.which % len(intents)]
        if step.kind.islower():
            self._by_hand(step, intent_id)
            return
        operation = self.till.an_operation(
            step.kind,
            step.units,
            parent_ref=intent_id,
            final=step.final or not self.agreed,
        )
        await self._do(operation, step)

    async def _do(self, operation: Operation, step: Step) -> None:
        self.till.faults.extend(step.faults)
        said = await self.till.send(operation)
        outcome = await self.till.find_out(operation, said, repeat_first=step.repeat_first)
        self.till.faults.clear()
        self.believed.append((operation, outcome))

    def _by_hand(self, step: Step, intent_id: str) -> None:
        fake, intent = self.till.fake, self.till.fake.intents[intent_id]
        match step.kind, intent["status"]:
            case "capture", "requires_capture" if step.units <= intent["amount_capturable"]:
                fake.capture_by_hand(intent_id, step.units, final=step.final or not self.agreed)
                self.by_hand.add(intent_id)
            case "cancel", "requires_capture" | "requires_action":
                fake.cancel_by_hand(intent_id)
            case "refund", "succeeded" if not fake.refunds:
                fake.refund_by_hand(intent_id, min(step.units, intent["amount_received"]))
            case "authenticate", "requires_action":
                fake.authenticate(intent_id)
            case "fail", "requires_action":
                fake.fail_authentication(intent_id)
            case _:
                pass

    async def settle(self) -> None:
        """Ask once more about what waited for its shopper."""
        for number, (operation, outcome) in enumerate(self.believed):
            if outcome.status is OutcomeStatus.REQUIRES_ACTION:
                found = await self.till.look(operation)
                assert found.outcome is not None
                self.believed[number] = (operation, found.outcome)

    # ---- what must hold

    def check(self) -> None:
        for operation, outcome in self.believed:
            self._check_one(operation, outcome)
        moved = {"SALE": 1, "CAPTURE": 1, "REFUND": -1}
        movements = self.till.fake.movements
        assert self.till.fake.balance == sum(moved.get(m.kind, 0) * m.units for m in movements)

    def _check_one(self, operation: Operation, outcome: Outcome) -> None:
        done = self.till.fake.done(operation.id)
        assert len(done) <= 1
        if outcome.status is OutcomeStatus.UNKNOWN:
            assert (operation.kind, self.agreed) == ("CAPTURE", True)
            assert operation.parent_ref in self.by_hand, "else it is always found out"
        elif operation.kind == "VOID" and outcome.status is OutcomeStatus.SUCCEEDED:
            intent = self.till.fake.intents[str(operation.parent_ref)]
            left = intent["amount"] - intent["amount_received"]
            assert (intent["status"], outcome.amount) == ("canceled", Money(left, "EUR"))
        elif outcome.status in {OutcomeStatus.SUCCEEDED, OutcomeStatus.PENDING}:
            assert [(m.kind, m.units) for m in done] == [
                (operation.kind, operation.amount.minor_units)
            ]
            assert outcome.amount == operation.amount
        else:
            assert done == []

    def check_events(self) -> None:
        """Each capture is told with one amount, and together they are what was captured."""
        told: dict[str, Money] = {}
        for event in self.till.fake.events:
            body = json.dumps(event).encode()
            request = CallbackRequest({}, {}, body, datetime(2026, 11, 21, tzinfo=UTC))
            for fact in StripeAdapter().parse_webhook(request):
                if fact.operation_kind != "CAPTURE" or fact.outcome is None:
                    continue
                assert fact.outcome.amount is not None
                name = fact.operation_id or str(fact.provider_ref)
                assert told.setdefault(name, fact.outcome.amount) == fact.outcome.amount
        captured = [m for m in self.till.fake.movements if m.kind == "CAPTURE"]
        assert sorted(amount.minor_units for amount in told.values()) == sorted(
            m.units for m in captured
        )
        ours = {m.operation_id: m.units for m in captured if m.operation_id}
        assert {id: told[id].minor_units for id in ours} == ours


async def a_day(steps: list[Step], *, agreed: bool) -> None:
    fields = {"multicapture": "yes"} if agreed else {}
    with a_till(fields=fields) as till:
        day = Day(till, agreed)
        try:
            for step in steps:
                await day.take(step)
            await day.settle()
        finally:
            await till.bench.client.aclose()
    day.check()
    day.check_events()


@settings(max_examples=150, deadline=None)
@given(st.lists(OURS, min_size=1, max_size=8), st.booleans())
def test_what_we_believe_is_what_stripe_did_once(steps: list[Step], agreed: bool) -> None:
    asyncio.run(a_day(steps, agreed=agreed))


@settings(max_examples=150, deadline=None)
@given(st.lists(OURS | BY_HAND, min_size=2, max_size=10), st.booleans())
def test_also_when_others_capture_cancel_and_refund_meanwhile(
    steps: list[Step], agreed: bool
) -> None:
    asyncio.run(a_day(steps, agreed=agreed))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            Step,
            st.just("CAPTURE"),
            st.just(0),
            UNITS,
            final=st.just(False),
            faults=FAULTS,
            repeat_first=st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_also_for_many_captures_of_one_authorization(captures: list[Step]) -> None:
    opening = Step("AUTHORIZE", units=15_000, token="pm_card_visa")

    asyncio.run(a_day([opening, *captures], agreed=True))
