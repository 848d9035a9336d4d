"""Traces: what a request caused, with times, as spans that OpenTelemetry understands.

    request ─▶ unit of work ─▶ write        one trace for each correlation id, so that what happens
       └─▶ provider call                    later, in another process, still belongs to it:
                                            look-ups, and what a callback makes of the payment

Off unless `record_with` is called: then a span costs a comparison, and OpenTelemetry is not even
imported. Attributes are few and masked; no URL, header, body, token or message of an error.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, Protocol, Self
from uuid import UUID

from core.telemetry import correlation_id as current_correlation_id
from core.telemetry import is_correlated

Value = str | int | float | bool
Attributes = Mapping[str, Value | None]
"""Those that are None are left out."""
Role = Literal["internal", "server", "client", "consumer"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of work: its correlation id, and the caller's trace if there is one.

    `began_ns` is a `moment` before now, for what is worth a span only once it is known what came
    of it.
    """

    correlation_id: str
    traceparent: str | None = None
    began_ns: int | None = None


class Span(Protocol):
    """A piece of work that takes time."""

    def note(self, **attributes: Value | None) -> None:
        """Add attributes."""
        ...

    def rename(self, name: str) -> None:
        """Call it by what it turned out to be."""
        ...


class Recorder(Protocol):
    """Where spans go."""

    def span(self, name: str, role: Role, told: Attributes) -> AbstractContextManager[Span]:
        """A part of the current span; silent if there is none."""
        ...

    def root(
        self, name: str, flow: Flow, role: Role, told: Attributes
    ) -> AbstractContextManager[Span]:
        """A span in the trace of a flow, or of its caller; linked to the current one."""
        ...

    def is_within(self) -> bool:
        """Whether there is a current span."""
        ...

    def note(self, told: Attributes) -> None:
        """Add attributes to the current span."""
        ...


class _Silence:
    """Stands for a span while nobody records."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def note(self, **attributes: Value | None) -> None: ...

    def rename(self, name: str) -> None: ...


class _Traces:
    """Who records in this process; like logging, set once at its start."""

    recorder: Recorder | None = None


SILENCE: Final = _Silence()
_TRACES: Final = _Traces()


@contextmanager
def record_with(recorder: Recorder) -> Iterator[None]:
    """Record spans of this process for as long as the block lasts."""
    former = _TRACES.recorder
    _TRACES.recorder = recorder
    try:
        yield
    finally:
        _TRACES.recorder = former


def span(
    name: str, role: Role = "internal", /, **attributes: Value | None
) -> AbstractContextManager[Span]:
    """A part of what is being traced; nothing where nothing is."""
    recorder = _TRACES.recorder
    return SILENCE if recorder is None else recorder.span(name, role, attributes)


def root_span(
    name: str, flow: Flow, role: Role = "internal", /, **attributes: Value | None
) -> AbstractContextManager[Span]:
    """What begins a flow of work, or takes it up again: in the trace of its correlation id.

    A flow with a valid `traceparent` is a part of the caller's trace instead.
    """
    recorder = _TRACES.recorder
    if recorder is None:
        return SILENCE
    told = {**attributes, "correlation_id": flow.correlation_id}
    return recorder.root(name, flow, role, told)


def span_of(
    name: str, correlation_id: str, /, **attributes: Value | None
) -> AbstractContextManager[Span]:
    """A part of the current span if that is of the same flow of work, else a span in the trace of
    the flow it belongs to, linked to the current one.
    """
    recorder = _TRACES.recorder
    if recorder is None:
        return SILENCE
    is_same = is_correlated() and current_correlation_id() == correlation_id
    if is_same and recorder.is_within():
        return recorder.span(name, "internal", attributes)
    return root_span(name, Flow(correlation_id), "internal", **attributes)


def note(**attributes: Value | None) -> None:
    """Add attributes to the current span, if there is one."""
    recorder = _TRACES.recorder
    if recorder is not None:
        recorder.note(attributes)


def moment() -> int:
    """Now, for `Flow.began_ns`."""
    return time.time_ns()


def trace_id_of(correlation_id: str) -> int:
    """The 128 bits that name the trace of a correlation id: its own where it has that many."""
    try:
        own = UUID(correlation_id).int
    except ValueError:
        own = 0
    return own or int.from_bytes(sha256(correlation_id.encode()).digest()[:16], "big")
