"""Turns traces on for a process, where the settings say where they go."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from core.tracing import record_with
from counterfoil.settings import Settings

log = structlog.get_logger("counterfoil.traces")


@contextmanager
def traced(settings: Settings) -> Iterator[None]:
    """Send spans to `otlp_endpoint` for as long as the block lasts; nothing if there is none."""
    if not settings.otlp_endpoint:
        yield
        return
    from core.opentelemetry_spans import OpenTelemetrySpans  # noqa: PLC0415 - only when traces are on

    spans = OpenTelemetrySpans.to(settings.otlp_endpoint)
    log.info("tracing", endpoint=settings.otlp_endpoint)
    try:
        with record_with(spans):
            yield
    finally:
        spans.close()
