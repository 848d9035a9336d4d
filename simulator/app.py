"""The HTTP side: reads requests, lets the books decide, answers or drops the connection."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulator import control, payments, pipeline, three_ds
from simulator.books import Books, Tx
from simulator.control import Handler
from simulator.deliveries import Courier
from simulator.fields import BODY_BYTES_MAX, Fields, json_object
from simulator.pipeline import Call, Reply
from simulator.problems import Refused, invalid
from simulator.settings import read_pace

DROP: Final = "simulator.drop"
"""Scope key of the function that drops the connection (see simulator.server)."""
_JSON: Final = "application/json"
Mark = tuple[str, str, str]
"""Credentials, "key" or "reference", and which one."""


@dataclass(slots=True)
class Simulator:
    """What one process works with. `busy` counts keys and references being worked on now."""

    books: Books
    courier: Courier
    public_url: str
    latency_ms: int
    busy: Counter[Mark]

    def release(self, marks: list[Mark]) -> None:
        """A request has ended; what nobody works on any more is forgotten."""
        for mark in marks:
            self.busy[mark] -= 1
            if not self.busy[mark]:
                del self.busy[mark]


class Dropped(Response):
    """No answer: the connection ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        scope[DROP]()
        while (await receive())["type"] != "http.disconnect":
            pass


def create_app(books: Books, public_url: str) -> Starlette:
    """The ASGI application; opens the books when it starts."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with books:
            pace = await books.run(read_pace)
            courier = Courier(books)
            app.state.simulator = Simulator(books, courier, public_url, pace.latency_ms, Counter())
            delivering = asyncio.create_task(courier.run())
            try:
                yield
            finally:
                delivering.cancel()
                await asyncio.wait([delivering])

    return Starlette(
        routes=[
            Route("/v1/{rest:path}", merchant, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            Route("/healthz", health),
            Route("/3ds/{id}", show_action),
            Route("/3ds/{id}", decide_action, methods=["POST"]),
            *(
                Route(path, _controlled(handler), methods=[method])
                for method, path, handler in control.ROUTES
            ),
        ],
        exception_handlers={Refused: _refuse, HTTPException: _refuse_http},
        lifespan=lifespan,
    )


async def health(request: Request) -> Response:
    """Alive, and the books can be written."""
    simulator: Simulator = request.app.state.simulator
    await simulator.books.run(lambda tx: tx.execute("SELECT 1").fetchone()[0])
    return Response(b'{"status":"ok"}', media_type=_JSON)


async def merchant(request: Request) -> Response:
    """The whole of /v1: see simulator.pipeline."""
    simulator: Simulator = request.app.state.simulator
    body = await _read_body(request)
    authorization = request.headers.get("authorization", "")
    marks = _marks(request, authorization, body)
    call = Call(
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        authorization=authorization,
        idempotency_key=request.headers.get("idempotency-key"),
        correlation_id=_correlation_id(request),
        body=body,
        key_in_progress=any(simulator.busy[mark] for mark in marks if mark[1] == "key"),
        reference_in_progress=_is_reference_busy(simulator, request, authorization),
        public_url=simulator.public_url,
    )
    simulator.busy.update(marks)
    try:
        if simulator.latency_ms and request.method == "POST":
            await asyncio.sleep(simulator.latency_ms / 1000)
        reply = await simulator.books.run(lambda tx: pipeline.handle(tx, call))
    finally:
        simulator.release(marks)
    if request.method == "POST":
        simulator.courier.nudge()
    return await _send(request, reply)


async def show_action(request: Request) -> Response:
    """GET /3ds/{id}"""
    simulator: Simulator = request.app.state.simulator
    id = request.path_params["id"]
    payment = await simulator.books.run(lambda tx: payments.find_any(tx, id))
    return HTMLResponse(three_ds.page(payment), headers=three_ds.headers(payment))


async def decide_action(request: Request) -> Response:
    """POST /3ds/{id}: decision=approve or decline; then back to the shop."""
    simulator: Simulator = request.app.state.simulator
    id = request.path_params["id"]
    form = parse_qs((await _read_body(request)).decode("latin-1"))
    decision = form.get("decision", [""])[0]
    if decision not in {"approve", "decline"}:
        raise invalid("decision", "must be approve or decline")

    def answer(tx: Tx) -> sqlite3.Row:
        return payments.answer_action(tx, id, approved=decision == "approve")

    payment = await simulator.books.run(answer)
    simulator.courier.nudge()
    headers = three_ds.headers(payment)
    if payment["return_url"]:
        return RedirectResponse(payment["return_url"], status_code=303, headers=headers)
    return HTMLResponse(three_ds.page(payment), headers=headers)


def _controlled(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint of the test's side: fields in, JSON out."""

    async def endpoint(request: Request) -> Response:
        simulator: Simulator = request.app.state.simulator
        fields = await _control_fields(request)

        def work(tx: Tx) -> tuple[control.Answer, int]:
            return handler(tx, fields), read_pace(tx).latency_ms

        answer, simulator.latency_ms = await simulator.books.run(work)
        simulator.courier.nudge()
        return Response(orjson.dumps(answer), media_type=_JSON)

    return endpoint


async def _control_fields(request: Request) -> Fields:
    """From the body, or of a GET or DELETE from the query string."""
    if request.method == "POST":
        if request.headers.get("content-type", "").split(";")[0].strip() != _JSON:
            raise Refused(415, "content_type_unsupported", "send application/json")
        body = await _read_body(request)
        return Fields(json_object(body) if body else {})
    pairs = request.query_params.multi_items()
    if len(dict(pairs)) != len(pairs):
        raise Refused(400, "query_invalid", "a field was given twice")
    return Fields({name: _number_or_text(name, value) for name, value in pairs})


def _number_or_text(name: str, value: str) -> str | int:
    numeric = name in {"after", "limit"} and value.isascii() and value.isdigit()
    return int(value[:20]) if numeric else value


async def _read_body(request: Request) -> bytes:
    """At most 64 kB. Raises: Refused 413."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise Refused(413, "body_too_large", f"at most {BODY_BYTES_MAX} bytes")
    except ClientDisconnect:
        raise Refused(400, "body_invalid", "the body ended early") from None
    return bytes(body)


def _marks(request: Request, authorization: str, body: bytes) -> list[Mark]:
    """The key and the reference a request works on while it is in progress."""
    if request.method != "POST":
        return []
    key = request.headers.get("idempotency-key")
    marks = [(authorization, "key", key)] if key else []
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return marks
    reference = document.get("reference") if isinstance(document, dict) else None
    if isinstance(reference, str):
        marks.append((authorization, "reference", reference))
    return marks


def _is_reference_busy(simulator: Simulator, request: Request, authorization: str) -> bool:
    reference = request.query_params.get("reference", "")
    return simulator.busy[authorization, "reference", reference] > 0


def _correlation_id(request: Request) -> str | None:
    """The caller's own id of what this belongs to, if it is presentable."""
    value = request.headers.get("x-correlation-id", "")
    return value if 0 < len(value) <= 128 and value.isascii() and value.isprintable() else None


async def _send(request: Request, reply: Reply) -> Response:
    """After the delay, unless the client has gone by then."""
    if reply.delay_ms:
        await _sleep_or_disconnect(request, reply.delay_ms / 1000)
    if reply.dropped:
        return Dropped()
    return Response(reply.body, reply.status, dict(reply.headers), reply.content_type)


async def _sleep_or_disconnect(request: Request, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return Response(error.body(), error.status, media_type=_JSON)


async def _refuse_http(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in our form."""
    assert isinstance(error, HTTPException)
    code = {404: "address_not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return await _refuse(request, Refused(error.status_code, code, error.detail))
