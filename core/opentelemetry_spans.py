"""Spans by OpenTelemetry. Imported only when traces are on: that takes a fifth of a second."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core import tracing
from core.telemetry import redact
from core.tracing import SILENCE, Attributes, Flow, Role, Value, trace_id_of

_KINDS: Final[Mapping[Role, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_trace_id: ContextVar[int | None] = ContextVar("trace_id", default=None)


class _TraceIds(RandomIdGenerator):
    """Gives a span that begins a trace the id that belongs to its correlation id."""

    def generate_trace_id(self) -> int:
        return _trace_id.get() or super().generate_trace_id()


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **attributes: Value | None) -> None:
        self._span.set_attributes(_shown(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)


class OpenTelemetrySpans:
    """A `Recorder`. Close it to hand over what waits."""

    def __init__(self, processor: SpanProcessor) -> None:
        # What OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER say counts as well.
        self._provider = TracerProvider(
            id_generator=_TraceIds(), resource=Resource.create({"service.name": "counterfoil"})
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("counterfoil")

    @classmethod
    def to(cls, endpoint: str) -> "OpenTelemetrySpans":
        """To a collector that speaks OTLP over HTTP, sent in batches by a thread of its own."""
        return cls(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))

    def close(self) -> None:
        self._provider.shutdown()

    def is_within(self) -> bool:
        return trace.get_current_span().get_span_context().is_valid

    def note(self, told: Attributes) -> None:
        trace.get_current_span().set_attributes(_shown(told))

    def span(self, name: str, role: Role, told: Attributes) -> AbstractContextManager[tracing.Span]:
        if not self.is_within():
            return SILENCE
        return _opened(self._opening(name, role, told))

    def root(
        self, name: str, flow: Flow, role: Role, told: Attributes
    ) -> AbstractContextManager[tracing.Span]:
        caused_by = trace.get_current_span().get_span_context()
        carrier = {"traceparent": flow.traceparent} if flow.traceparent else {}
        opening = self._opening(
            name,
            role,
            told,
            context=TraceContextTextMapPropagator().extract(carrier, Context()),
            links=[Link(caused_by)] if caused_by.is_valid else [],
            start_time=flow.began_ns,
        )
        return _opened(opening, trace_id_of(flow.correlation_id))

    def _opening(
        self, name: str, role: Role, told: Attributes, **more: Any
    ) -> AbstractContextManager[trace.Span]:
        return self._tracer.start_as_current_span(
            name,
            kind=_KINDS[role],
            attributes=_shown(told),
            # What an exception says may quote what was sent; its type says enough.
            record_exception=False,
            set_status_on_exception=False,
            **more,
        )


@contextmanager
def _opened(
    opening: AbstractContextManager[trace.Span], trace_id: int | None = None
) -> Iterator[tracing.Span]:
    """The span; a trace it begins has this id."""
    token = _trace_id.set(trace_id)
    try:
        with opening as span:
            try:
                yield _Span(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise
    finally:
        _trace_id.reset(token)


def _shown(told: Attributes) -> dict[str, Value]:
    return {name: redact(value) for name, value in told.items() if value is not None}
