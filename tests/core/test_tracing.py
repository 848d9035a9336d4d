"""Spans: whose they are, what they tell, and that they cost nothing while nobody records."""

import subprocess
import sys
import timeit
from collections.abc import Iterator
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.opentelemetry_spans import OpenTelemetrySpans
from core.telemetry import correlation
from core.tracing import (
    SILENCE,
    Flow,
    moment,
    note,
    record_with,
    root_span,
    span,
    span_of,
    trace_id_of,
)

FLOW = "0192f0c1-7b1e-7c3d-9f00-a1b2c3d4e5f6"
OTHER = "order-12345678"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CARD = "4242424242424242"


class Spans:
    """What was recorded."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def __getitem__(self, name: str) -> ReadableSpan:
        [found] = [each for each in self._exporter.get_finished_spans() if each.name == name]
        return found

    def names(self) -> list[str]:
        return [each.name for each in self._exporter.get_finished_spans()]

    def trace(self, name: str) -> int:
        return int(self[name].context.trace_id)


@pytest.fixture
def spans() -> Iterator[Spans]:
    exporter = InMemorySpanExporter()
    recorder = OpenTelemetrySpans(SimpleSpanProcessor(exporter))
    with record_with(recorder):
        yield Spans(exporter)
    recorder.close()


def test_the_trace_of_a_flow_of_work_is_that_of_its_correlation_id(spans: Spans) -> None:
    with root_span("request", Flow(FLOW)), span("part"):
        pass
    with root_span("later", Flow(FLOW)):
        pass

    assert spans.trace("request") == spans.trace("later") == UUID(FLOW).int
    assert spans["part"].parent == spans["request"].context
    assert spans["later"].parent is None
    assert spans["request"].attributes == {"correlation_id": FLOW}


def test_any_correlation_id_names_one_trace() -> None:
    assert trace_id_of(OTHER) == trace_id_of(OTHER) != trace_id_of("order-12345679")
    assert 0 < trace_id_of(OTHER) < 2**128
    assert trace_id_of(TRACE) == int(TRACE, 16), "what a traceparent became the correlation id by"


def test_a_callers_trace_is_continued(spans: Spans) -> None:
    traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"

    with root_span("request", Flow(TRACE, traceparent)):
        pass

    parent = spans["request"].parent
    assert parent is not None
    assert (spans.trace("request"), parent.span_id) == (int(TRACE, 16), 0x00F067AA0BA902B7)


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{'1' * 16}-01"])
def test_a_malformed_trace_is_not_continued(traceparent: str, spans: Spans) -> None:
    with root_span("request", Flow(FLOW, traceparent)):
        pass

    assert spans["request"].parent is None
    assert spans.trace("request") == UUID(FLOW).int


def test_what_is_done_for_another_flow_goes_to_its_trace_and_is_linked(spans: Spans) -> None:
    with correlation(OTHER), root_span("webhook", Flow(OTHER)):
        with span_of("own", OTHER):
            pass
        with span_of("write", FLOW):
            pass

    assert spans.trace("own") == spans.trace("webhook") == trace_id_of(OTHER)
    assert spans["own"].parent == spans["webhook"].context
    assert spans.trace("write") == UUID(FLOW).int
    assert [link.context for link in spans["write"].links] == [spans["webhook"].context]


def test_a_part_of_nothing_is_not_recorded(spans: Spans) -> None:
    with span("poll") as silent:
        note(ignored=True)

    assert silent is SILENCE
    assert spans.names() == []


def test_a_failure_tells_its_type_and_not_what_it_says(spans: Spans) -> None:
    with pytest.raises(ValueError, match=CARD), root_span("request", Flow(FLOW)):
        raise ValueError(CARD)

    failed = spans["request"]
    assert not failed.status.is_ok
    assert failed.status.description is None
    assert failed.events == ()
    assert failed.attributes == {"correlation_id": FLOW, "error.type": "ValueError"}


def test_attributes_are_masked(spans: Spans) -> None:
    with root_span("request", Flow(FLOW), operation=f"Pay{CARD}", key="cf_live_0123456789") as one:
        one.note(said=f"Bearer abcdef123456 and {CARD}", absent=None)
        note(number=7)

    told = dict(spans["request"].attributes or {})
    assert CARD not in str(told)
    assert "0123456789" not in str(told)
    assert "abcdef123456" not in str(told)
    assert told["number"] == 7
    assert "absent" not in told


def test_a_span_may_have_begun_before_it_was_known_to_be_worth_one(spans: Spans) -> None:
    began_ns = moment()

    with root_span("pass", Flow(FLOW, began_ns=began_ns)):
        pass

    assert spans["pass"].start_time == began_ns


def test_what_is_off_costs_next_to_nothing() -> None:
    def one() -> None:
        with span("unit_of_work", kind="internal", stage="create") as silent:
            silent.note(committed=True)

    assert span("anything") is SILENCE
    best = min(timeit.repeat(one, number=10_000, repeat=5)) / 10_000
    assert best < 20e-6, f"{best * 1e6:.2f} µs a span; a payment has about ten"


def test_what_is_off_is_not_imported() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, counterfoil.app; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "core.tracing" in told
    assert "opentelemetry.sdk" not in told
