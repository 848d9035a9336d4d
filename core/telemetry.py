"""Logs, correlation ids and metrics.

    logger.info("payment_captured", payment=id)
      → the correlation id of this flow of work, time, level
      → secrets and card numbers masked, in everything, tracebacks included
      → one line, for people (console) or for machines (json)

Lines of libraries that use `logging` take the same way.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST as METRICS_CONTENT_TYPE
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client import generate_latest as write_metrics
from structlog.typing import EventDict, Processor, WrappedLogger

from core.card_numbers import contains_card_number, mask_card_numbers
from core.identifiers import new_id

__all__ = [
    "METRICS_CONTENT_TYPE",
    "accept_correlation_id",
    "configure_logging",
    "correlation",
    "correlation_id",
    "is_correlated",
    "new_registry",
    "redact",
    "write_metrics",
]

_CORRELATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,127}")
_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("correlation_id", default=None)

REDACTED: Final = "[redacted]"
_SECRET_NAMES = re.compile(
    r"(?:^|_)(?:authorization|proxy_authorization|cookie|set_cookie|secret|secrets|password|passwd"
    r"|client_secret|api_key|apikey|x_api_key|private_key|encryption_key|token|bearer|cvc|cvv"
    r"|security_code|pan|card_number)(?:$|_(?:key|value|header)$)"
)
_SECRET_TEXT = re.compile(
    r"\bcf_[A-Za-z0-9_-]{8,}"
    r"|\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{4,}"
    r"|\bwhsec_[A-Za-z0-9+/=_-]{4,}"
    r"|\b[A-Za-z]{2,10}_[A-Za-z0-9]{6,}_secret_[A-Za-z0-9_-]{4,}"
    r"|(?<=://)[^\s:/@]+:[^\s@]+(?=@)"
    r"|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{4,}"
)
_DEPTH_MAX: Final = 8


def correlation_id() -> str:
    """The id that joins a request with every row, log line and provider call it causes.

    Where none is bound yet, one is made and stays bound to this flow of work.
    """
    found = _current.get()
    if found is None:
        found = str(new_id())
        _current.set(found)
    return found


def is_correlated() -> bool:
    """Whether a correlation id is bound already."""
    return _current.get() is not None


def accept_correlation_id(header: str | None, traceparent: str | None) -> str:
    """The caller's id if it is well-formed (the header first, then the trace), else a fresh one.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    if header and _CORRELATION_ID.fullmatch(header) and redact(header) == header:
        return header
    trace = _TRACEPARENT.fullmatch(traceparent or "")
    if trace and int(trace["trace"], 16) and int(trace["parent"], 16):
        return trace["trace"]
    return str(new_id())


@contextmanager
def correlation(id: str | None = None) -> Iterator[str]:
    """Bind a correlation id (a fresh one if none is given) to everything done inside."""
    chosen = id or str(new_id())
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


def redact(value: Any, depth: int = 0) -> Any:
    """The value with secrets and card numbers masked, however deep. Never raises.

    What is not text, a number or a collection of them becomes its masked text.
    """
    match value:
        case None | bool() | float():
            return value
        case int():
            return "[card]" if contains_card_number(str(value)) else value
        case str():
            return _redact_text(value)
        case bytes() | bytearray():
            return _redact_text(bytes(value).decode("utf-8", "replace"))
        case Mapping() | Sequence() | set() | frozenset():
            return "[too deep]" if depth >= _DEPTH_MAX else _redact_items(value, depth)
        case _:
            return _redact_text(_describe(value))


def _redact_items(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {
            _redact_text(str(name)): _redact_named(str(name), item, depth)
            for name, item in value.items()
        }
    return [redact(item, depth + 1) for item in value]


def _redact_named(name: str, value: Any, depth: int) -> Any:
    if _SECRET_NAMES.search(name.lower().replace("-", "_")) and value is not None:
        return REDACTED
    return redact(value, depth + 1)


def _redact_text(text: str) -> str:
    return mask_card_numbers(_SECRET_TEXT.sub(REDACTED, text))


def _describe(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a log line must never fail because of what it describes
        return f"<{type(value).__name__}>"


def _bind_correlation(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (found := _current.get()) is not None:
        event.setdefault("correlation_id", found)
    return event


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        name: item if name in {"_record", "_from_structlog"} else _redact_named(name, item, 0)
        for name, item in event.items()
    }


def _write_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(
    format: Literal["console", "json"], level: str, stream: TextIO | None = None
) -> None:
    """Send every log line, ours and the libraries', through one chain to `stream` (stderr)."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _bind_correlation,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
    ]
    renderer: Processor = (
        _write_json if format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: what nobody reads is not made
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _redact_event,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Whoever makes a call says how it went, and knows more of it than the client does.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Of a WebSocket it tells the whole URL, and on debug whatever is sent over it.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def new_registry() -> CollectorRegistry:
    """A metrics registry of its own with the figures of the process and the interpreter.

    Passed to whoever counts something; nothing is registered globally.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
