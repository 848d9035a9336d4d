"""The ASGI application that answers GraphQL over HTTP, and subscriptions over WebSocket."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, Final, TypeGuard, cast

import strawberry
import structlog
from graphql import ExecutionResult, GraphQLSchema, execute
from strawberry.execution.is_awaitable import optimized_is_awaitable

from core.errors import Unavailable
from core.telemetry import accept_correlation_id, correlation, correlation_id, is_correlated
from core.tracing import note
from schema.endpoint.admission import Admission, Place
from schema.endpoint.answer import (
    Answer,
    answer_internal,
    answer_problem,
    answer_refusal,
    answer_result,
    answer_unavailable,
    write_json,
)
from schema.endpoint.asgi import (
    BodyTooLarge,
    ClientGone,
    Connection,
    HttpRequest,
    Receive,
    Send,
    read_body,
    send_response,
)
from schema.endpoint.documents import DocumentStore, Prepared
from schema.endpoint.metrics import GraphQLMetrics
from schema.endpoint.persisted import BadPersistedOperation, PersistedOperations
from schema.endpoint.plain import PlainExecutor
from schema.endpoint.ports import (
    Authenticate,
    Budget,
    Caller,
    ContextFactory,
    Limits,
    OriginNotAllowed,
    RequestContext,
    Unauthenticated,
    Unlimited,
)
from schema.endpoint.problems import HttpProblem, Refusal
from schema.endpoint.request import (
    GRAPHQL_JSON,
    GraphQLRequest,
    check_content_type,
    check_length,
    check_method,
    negotiate,
    parse_body,
    parse_query_string,
    too_large,
)
from schema.endpoint.rules import read_rules
from schema.endpoint.sockets import Sockets

log = structlog.get_logger(__name__)

UNAUTHENTICATED_MESSAGE: Final = "A valid API key is required."
_IS_AWAITABLE: Final = cast("Callable[[Any], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable)
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="counterfoil"'}


class DeadlineExceeded(Unavailable):
    """The request took too long; a mutation may still take effect: retry with the same key."""

    code = "DEADLINE_EXCEEDED"


class GraphQLEndpoint:
    """One schema at one path.

    `production` hides the schema: no introspection, no suggestions in errors. Mutations are
    shielded: neither a deadline nor a cancelled request stops one half-way; `drain` awaits them.
    Raises: UnguardedField, BadCost when the schema's directives are incomplete,
    BadPersistedOperation.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        authenticate: Authenticate,
        context: ContextFactory,
        limits: Limits | None = None,
        production: bool = False,
        metrics: GraphQLMetrics | None = None,
        admission: Admission | None = None,
        budget: Budget | None = None,
        persisted: PersistedOperations | None = None,
    ) -> None:
        self._schema: GraphQLSchema = schema._schema  # noqa: SLF001 - Strawberry's way to it
        self._authenticate = authenticate
        self._context = context
        self._limits = limits or Limits()
        self._production = production
        self._metrics = metrics
        rules = read_rules(self._schema)
        self.documents = DocumentStore(self._schema, rules, self._limits, production=production)
        if metrics:
            metrics.watch_store(self.documents)
        self._admission = admission or Admission()
        self._budget: Budget = budget or Unlimited()
        self._persisted = persisted or PersistedOperations()
        _pin(self.documents, self._persisted)
        self._sockets = Sockets(
            schema=self._schema,
            documents=self.documents,
            authenticate=authenticate,
            context=context,
            limits=self._limits,
            production=production,
            metrics=metrics,
            admission=self._admission,
            budget=self._budget,
            persisted=self._persisted,
        )
        self._mutations: set[asyncio.Task[ExecutionResult]] = set()

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        """Serve one HTTP request, or one WebSocket for as long as it is open."""
        if is_correlated():
            await self._serve_either(connection, receive, send)
            return
        headers = HttpRequest.of(connection).headers
        id = accept_correlation_id(headers.get("x-correlation-id"), headers.get("traceparent"))
        with correlation(id):
            await self._serve_either(connection, receive, send)

    async def _serve_either(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] == "websocket":
            await self._sockets.serve(connection, receive, send)
        else:
            await self._serve(HttpRequest.of(connection), receive, send)

    async def drain(self) -> None:
        """Wait until the mutations that outlived their requests are done."""
        if self._mutations:
            await asyncio.wait(self._mutations)

    async def _serve(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        try:
            media_type, answer = await self._answer(request, receive)
        except ClientGone:
            return
        body, answer = _write(answer)
        note(**{"graphql.outcome": answer.outcome})
        if self._metrics:
            self._metrics.observe(answer.outcome, time.perf_counter() - started)
        headers = {"x-correlation-id": correlation_id(), "vary": "accept", **answer.headers}
        await send_response(send, answer.status, f"{media_type}; charset=utf-8", body, headers)

    async def _answer(self, request: HttpRequest, receive: Receive) -> tuple[str, Answer]:
        media_type = GRAPHQL_JSON
        try:
            check_method(request)
            media_type = negotiate(request)
            return media_type, await self._handle(request, receive, media_type)
        except HttpProblem as problem:
            return media_type, answer_problem(problem)
        except Refusal as refusal:
            return media_type, answer_refusal(refusal, media_type)
        except Unavailable as error:
            return media_type, answer_unavailable(error)
        except ClientGone:
            raise
        except Exception:
            log.exception("endpoint_failed")
            return media_type, answer_internal()

    async def _handle(self, request: HttpRequest, receive: Receive, media_type: str) -> Answer:
        if request.method == "POST":
            check_content_type(request)
            check_length(request, self._limits)
        self._admission.check()
        # Before it takes a place: who is slow to send must not keep others out.
        body = await self._read(request, receive)
        async with self._admission.place() as place:
            caller = await self._identify(request)
            await self._budget.count(request, caller)
            asked = self._parse(request, body)
            prepared = await self._prepare(asked, caller)
            _check_method(request, prepared)
            cost = prepared.admit(asked.variables, caller, self._limits)
            _check_transport(prepared)
            name = prepared.operation.name.value if prepared.operation.name else None
            note(**{"graphql.operation": name, "graphql.cost": cost["requested"]})
            left = await self._budget.spend(caller, max(1, cost["requested"]))
            result = await self._execute(prepared, asked, self._context(request, caller), place)
        answer = answer_result(result, media_type)
        answer.payload["extensions"] = {"cost": {**cost, "budget": left} if left else cost}
        return answer

    async def _prepare(self, asked: GraphQLRequest, caller: Caller) -> Prepared:
        """Looking at a bad document is work too, and paid for. Raises: Refusal, RateLimited."""
        text = self._persisted.text_of(asked)
        prepared = self.documents.get(text, asked.operation_name)
        if isinstance(prepared, Refusal):
            await self._budget.spend(caller, 1)
            raise prepared.again()
        self._persisted.register(asked)
        return prepared

    async def _identify(self, request: HttpRequest) -> Caller:
        try:
            return await self._authenticate(request)
        except OriginNotAllowed as error:
            raise HttpProblem(403, error.code, error.message) from None
        except Unauthenticated:
            raise HttpProblem(
                401, Unauthenticated.code, UNAUTHENTICATED_MESSAGE, _CHALLENGE
            ) from None

    async def _read(self, request: HttpRequest, receive: Receive) -> bytes:
        if request.method == "GET":
            return b""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await read_body(receive, self._limits.body_bytes)
        except BodyTooLarge:
            raise too_large(self._limits) from None
        except TimeoutError:
            message = f"The body must arrive within {self._limits.body_seconds:g} s."
            close = {"connection": "close"}
            raise HttpProblem(408, "BODY_TOO_SLOW", message, close) from None

    def _parse(self, request: HttpRequest, body: bytes) -> GraphQLRequest:
        if request.method == "GET":
            return parse_query_string(request.query, self._limits)
        return parse_body(body, self._limits)

    async def _execute(
        self, prepared: Prepared, asked: GraphQLRequest, context: RequestContext, place: Place
    ) -> ExecutionResult:
        try:
            if prepared.is_mutation:
                return await self._shielded(self._run(prepared, asked, context), place)
            async with asyncio.timeout(self._limits.query_seconds), context.at_one_moment():
                return await self._run(prepared, asked, context)
        except TimeoutError:
            raise DeadlineExceeded from None

    async def _run(
        self, prepared: Prepared, asked: GraphQLRequest, context: RequestContext
    ) -> ExecutionResult:
        running = execute(
            self._schema,
            prepared.document,
            context_value=context,
            variable_values=dict(asked.variables),
            operation_name=prepared.operation.name.value if prepared.operation.name else None,
            executor_class=PlainExecutor,
            reads=prepared.reads,
            is_awaitable=_IS_AWAITABLE,
            hide_suggestions=self._production,
        )
        return await running if isawaitable(running) else running

    async def _shielded(
        self, running: Coroutine[Any, Any, ExecutionResult], place: Place
    ) -> ExecutionResult:
        """Await a mutation that goes on whatever happens to the request."""
        task = asyncio.create_task(running)
        self._mutations.add(task)
        task.add_done_callback(self._mutations.discard)
        place.keep_until_done(task)
        try:
            async with asyncio.timeout(self._limits.mutation_seconds):
                return await asyncio.shield(task)
        except (TimeoutError, asyncio.CancelledError):
            task.add_done_callback(_report_abandoned)
            raise


def _check_method(request: HttpRequest, prepared: Prepared) -> None:
    """Raises: HttpProblem 405."""
    if request.method == "GET" and not prepared.is_query:
        allow = {"allow": "POST"}
        raise HttpProblem(405, "METHOD_NOT_ALLOWED", "Send mutations by POST.", allow)


def _check_transport(prepared: Prepared) -> None:
    """Raises: Refusal."""
    if prepared.is_subscription:
        message = "Subscribe over WebSocket, subprotocol graphql-transport-ws, at this address."
        raise Refusal.because("SUBSCRIPTION_NOT_SUPPORTED", message)


def _pin(documents: DocumentStore, persisted: PersistedOperations) -> None:
    """All of them are good, or the start fails. Raises: BadPersistedOperation."""
    for id, text in persisted.kept.items():
        try:
            documents.pin(text)
        except Refusal as refusal:
            problem = refusal.errors[0]["message"]
            raise BadPersistedOperation(id=id, problem=problem) from None


def _report_abandoned(task: asyncio.Task[ExecutionResult]) -> None:
    """Nobody will see this mutation's errors in an answer: they go to the log."""
    if not task.cancelled() and task.exception() is None:
        for error in task.result().errors or ():
            log.error("abandoned_mutation_failed", exc_info=error.original_error or error)


def _write(answer: Answer) -> tuple[bytes, Answer]:
    """The body; an answer that cannot be written is a bug and answered as one."""
    try:
        return write_json(answer.payload), answer
    except (TypeError, ValueError, RecursionError):
        log.exception("answer_not_serialisable")
        internal = answer_internal()
        return write_json(internal.payload), internal
