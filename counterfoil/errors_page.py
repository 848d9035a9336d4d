"""The catalogue of errors as a page, and as docs/errors.md."""

import base64
import re
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from schema.error_catalogue import CATALOGUE, ErrorEntry, Place

PATH: Final = "/errors"
_STYLE: Final = (
    "body{font:1rem/1.55 system-ui,sans-serif;max-width:58rem;margin:3rem auto;padding:0 1.5rem;"
    "color:#1e293b;background:#fff}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.5rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;"
    "padding:.55rem .75rem .55rem 0;border-top:1px solid #e2e8f0}th{font-size:.8rem;color:#64748b;"
    "border:0}td:first-child{white-space:nowrap}code{font-size:.85rem;background:#f1f5f9;"
    "padding:.1rem .3rem;border-radius:.25rem}tr:target{background:#fef9c3}a{color:inherit}"
)
_STYLE_HASH: Final = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "cache-control": "public, max-age=3600",
}
_CODE: Final = re.compile(r"`([^`]+)`")
_COLUMNS: Final = ("code", "status", "retry", "meaning", "what to do")
_INTRODUCTION: Final = (
    "What was to be expected is data: a member of the mutation's result. All else is an error of "
    "the whole request. Both carry `docs`, which leads here, and a correlation id, which names "
    "the request in our logs. *Retry* means: the same request with the same idempotency key, a "
    "little later, may succeed."
)
_BESIDE: Final = (
    ("200", "accepted; also for a callback that came before", "nothing"),
    ("400", "its time is more than five minutes away from ours", "look at the clocks"),
    ("401", "its signature is not valid", "compare the signing secret"),
    ("404", "no such provider account", "compare `webhookUrl` of the provider"),
    ("408", "its body came too slowly", "send it again"),
    ("413", "its body is too large", "raise `COUNTERFOIL_WEBHOOK_BYTES_MAX`"),
    ("503", "it could not be kept", "send it again later"),
)
"""What a provider is answered when it calls back."""


def errors_routes() -> list[Route]:
    """The page."""
    text = _page()

    async def show(_request: Request) -> Response:
        return HTMLResponse(text, headers=_HEADERS)

    return [Route(PATH, show)]


def errors_document() -> str:
    """docs/errors.md."""
    return "\n".join(_document()) + "\n"


def _document() -> Iterator[str]:
    yield "# Errors\n"
    yield f"{_INTRODUCTION}\n"
    yield "A running server shows this page on `/errors`. Made by `make docs` from"
    yield "`schema/error_catalogue.py`.\n"
    for place in Place:
        yield f"## {place.value}\n"
        yield "| " + " | ".join(_COLUMNS) + " |"
        yield "|---|---|---|---|---|"
        yield from (f"| {' | '.join(_row(entry))} |" for entry in _of(place))
        yield ""
    yield "## What a provider is answered when it calls back\n"
    yield "| status | meaning | what to do |"
    yield "|---|---|---|"
    yield from (f"| {' | '.join(row)} |" for row in _BESIDE)


def _of(place: Place) -> list[ErrorEntry]:
    return [entry for entry in CATALOGUE if entry.place is place]


def _row(entry: ErrorEntry) -> tuple[str, ...]:
    status = str(entry.status) if entry.status else ""
    retry = "yes" if entry.retryable else ""
    return (f"`{entry.code}`", status, retry, entry.meaning, entry.remedy)


def _page() -> str:
    tables = "".join(
        f"<h2>{_html(place.value)}</h2>{_table(_COLUMNS, [_html_row(e) for e in _of(place)])}"
        for place in Place
    )
    beside = _table(
        ("status", "meaning", "what to do"),
        ["<tr>" + "".join(f"<td>{_html(cell)}</td>" for cell in row) + "</tr>" for row in _BESIDE],
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Counterfoil: errors</title><style>{_STYLE}</style></head><body>"
        f"<h1>Errors</h1><p>{_html(_INTRODUCTION)}</p>{tables}"
        f"<h2>What a provider is answered when it calls back</h2>{beside}</body></html>"
    )


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th>{column}</th>" for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _html_row(entry: ErrorEntry) -> str:
    cells = "".join(f"<td>{_html(cell)}</td>" for cell in _row(entry))
    return f'<tr id="{entry.code}">{cells}</tr>'


def _html(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text)).replace("*Retry*", "<em>Retry</em>")
