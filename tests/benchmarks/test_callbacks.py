"""What the benchmark sends as a callback."""

from datetime import UTC, datetime

from benchmarks.measures import a_callback
from gateways.port import CallbackRequest
from gateways.simulator import SimulatorAdapter


def test_the_callbacks_that_are_timed_are_understood() -> None:
    received = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)

    (event,) = SimulatorAdapter().parse_webhook(CallbackRequest({}, {}, a_callback(), received))

    assert event.outcome is not None
    assert event.outcome.status == "SUCCEEDED"
