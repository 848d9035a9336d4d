"""Subscriptions over WebSocket: Strawberry's protocol handler around our own doors.

    upgrade ─ connection_init ─ who is it? ──no──▶ 4401, 4403
            ─ subscribe ─ the same document store, limits, scopes and cost as over HTTP
            ─ each event ─ who is it still? ─ execute ─ next

Nothing but subscriptions comes this way. Credentials never come in a cookie, so a page of another
origin has nothing to borrow. Whoever does not read is cut by the server (slow_clients.py): what is
not sent yet is never more than one message for each subscription.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from inspect import isawaitable
from typing import Any, Final, cast

import structlog
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    GraphQLSchema,
    create_source_event_stream,
    execute_subscription_event,
)
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    Message,
    SubscribeMessage,
)
from strawberry.types.unset import UNSET

from core.errors import Unavailable
from schema.endpoint import messages
from schema.endpoint.admission import Admission
from schema.endpoint.answer import answer_problem, answer_refusal, answer_result, answer_unavailable
from schema.endpoint.asgi import Connection, HttpRequest, Receive, Send
from schema.endpoint.documents import DocumentStore, Prepared
from schema.endpoint.messages import Messages
from schema.endpoint.metrics import GraphQLMetrics
from schema.endpoint.persisted import PersistedOperations
from schema.endpoint.ports import (
    Authenticate,
    Budget,
    Caller,
    ContextFactory,
    Limits,
    Unauthenticated,
)
from schema.endpoint.problems import HttpProblem, LimitExceeded, Refusal
from schema.endpoint.request import GRAPHQL_JSON, GraphQLRequest, request_of

log = structlog.get_logger(__name__)

_AUTHORIZATION: Final = "authorization"


@dataclass(slots=True)
class Sockets:
    """The sockets of one endpoint."""

    schema: GraphQLSchema
    documents: DocumentStore
    authenticate: Authenticate
    context: ContextFactory
    limits: Limits
    production: bool
    metrics: GraphQLMetrics | None
    admission: Admission
    budget: Budget
    persisted: PersistedOperations
    open: int = 0

    async def serve(self, connection: Connection, receive: Receive, send: Send) -> None:
        """One socket, from its upgrade to its end."""
        await receive()  # websocket.connect
        wire = Messages(receive, send, self.limits)
        offered = connection.get("subprotocols") or ()
        chosen = messages.PROTOCOL if messages.PROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        self._count(1)
        try:
            if chosen is None:
                await wire.close(messages.BAD_PROTOCOL, "Subprotocol not acceptable")
            elif self.open > self.limits.sockets:
                await wire.close(messages.TRY_AGAIN_LATER, "Too many sockets")
            else:
                await _Handler(self, HttpRequest.of(connection), wire).handle()
        except WebSocketDisconnected:
            return
        except Exception:
            log.exception("socket_failed")
            await wire.close(messages.INTERNAL_ERROR, "Internal error")
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self.open += more
        if self.metrics:
            self.metrics.sockets.inc(more)


class _Handler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket. The protocol is Strawberry's, what is executed and for whom is ours."""

    def __init__(self, sockets: Sockets, request: HttpRequest, wire: Messages) -> None:
        # Of the view the handler uses `on_ws_connect` only, of the schema nothing: `run_operation`
        # is ours.
        super().__init__(
            view=cast("Any", self),
            websocket=wire,
            context=self,
            root_value=None,
            schema=cast("Any", None),
            connection_init_wait_timeout=timedelta(seconds=sockets.limits.init_seconds),
        )
        self.connection_params: dict[str, Any] = {}
        self._sockets = sockets
        self._request = request
        self._wire = wire

    # ---- who is it

    async def on_ws_connect(self, _context: object) -> object:
        """Take credentials from connection_init, if they are there. Raises: rejections."""
        given = _credentials(self.connection_params)
        of_upgrade = self._request.headers.get(_AUTHORIZATION)
        if given is not None and of_upgrade not in {None, given}:
            raise ConnectionRejectionError
        if given is not None:
            headers = {**self._request.headers, _AUTHORIZATION: given}
            self._request = replace(self._request, headers=headers)
        try:
            await self._identify()
        except Unauthenticated:
            if _AUTHORIZATION not in self._request.headers:
                await self._wire.close(messages.UNAUTHORIZED, "Unauthorized")
            raise ConnectionRejectionError from None
        except Unavailable:
            await self._wire.close(messages.TRY_AGAIN_LATER, "Try again later")
            raise ConnectionRejectionError from None
        return UNSET

    async def _identify(self) -> Caller:
        return await self._sockets.authenticate(self._request)

    # ---- what is wanted

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """The protocol's part; too many at once are refused with a code, like all else."""
        most = self._sockets.limits.subscriptions
        if self.connection_acknowledged and len(self.operations) >= most:
            text = f"A socket carries at most {most} subscriptions at once."
            refused = answer_refusal(LimitExceeded("subscriptions", most, text), GRAPHQL_JSON)
            await self.send_message(_errors(message["id"], refused.payload))
        else:
            # The protocol's own part knows no operation without a text. What it keeps with each as
            # its variables is the whole payload here, so that it goes when the operation goes.
            kept = {"query": "", "variables": message["payload"]}
            await super().handle_subscribe({**message, "payload": cast("Any", kept)})

    async def cleanup_operation(self, operation_id: str) -> None:
        """Operation and task hold each other: without this both stay until the collector comes."""
        operation = self.operations.get(operation_id)
        await super().cleanup_operation(operation_id)
        if operation is not None:
            operation.task = None

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        """One subscription, to its end."""
        sockets = self._sockets
        if sockets.metrics:
            sockets.metrics.subscriptions.inc()
        try:
            async with aclosing(self._answers(operation)) as answers:
                async for payload in answers:
                    await operation.send_operation_message(
                        {"id": operation.id, "type": "next", "payload": cast("Any", payload)}
                    )
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        except _Refused as refused:
            await operation.send_operation_message(_errors(operation.id, refused.payload))
        except Unauthenticated:
            await self._wire.close(messages.FORBIDDEN, "Forbidden")
        except WebSocketDisconnected:
            return
        except Exception:
            log.exception("subscription_failed")
            await self._wire.close(messages.INTERNAL_ERROR, "Internal error")
        finally:
            if sockets.metrics:
                sockets.metrics.subscriptions.dec()

    async def _answers(
        self, operation: Operation[Any, None]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """A payload for each event. Raises: _Refused, Unauthenticated."""
        try:
            async with self._sockets.admission.place():
                prepared, asked = self._prepare(operation)
                caller = await self._admit(prepared, asked)
                await self._pay(prepared, asked, caller)
                context = self._sockets.context(self._request, caller)
                executor, source = await self._begin(prepared, asked, context)
            is_first = True
            async with aclosing(_events(source, prepared)) as events:
                async for event in events:
                    if not is_first:
                        await self._admit(prepared, asked)
                    is_first = False
                    yield answer_result(await self._execute(executor, event), GRAPHQL_JSON).payload
        except HttpProblem as problem:
            raise _Refused(answer_problem(problem).payload) from None
        except Refusal as refusal:
            raise _Refused(answer_refusal(refusal, GRAPHQL_JSON).payload) from None
        except Unavailable as error:
            raise _Refused(answer_unavailable(error).payload) from None

    async def _admit(self, prepared: Prepared, asked: GraphQLRequest) -> Caller:
        """Who it is now, and that it may. Raises: Unauthenticated, Unavailable, Refusal."""
        caller = await self._identify()
        prepared.admit(asked.variables, caller, self._sockets.limits)
        return caller

    async def _pay(self, prepared: Prepared, asked: GraphQLRequest, caller: Caller) -> None:
        """Once for a subscription, whatever comes of it. Raises: RateLimited."""
        await self._sockets.budget.count(self._request, caller)
        cost = prepared.demands.cost.value(asked.variables)
        await self._sockets.budget.spend(caller, max(1, cost))

    def _prepare(self, operation: Operation[Any, None]) -> tuple[Prepared, GraphQLRequest]:
        asked = request_of(cast("Any", operation.variables), self._sockets.limits)
        text = self._sockets.persisted.text_of(asked)
        prepared = self._sockets.documents.get(text, asked.operation_name)
        if isinstance(prepared, Refusal):
            raise prepared.again()
        self._sockets.persisted.register(asked)
        if not prepared.is_subscription:
            message = "Send queries and mutations over HTTP."
            raise Refusal.because("ONLY_SUBSCRIPTIONS", message)
        return prepared, asked

    async def _begin(
        self, prepared: Prepared, asked: GraphQLRequest, context: object
    ) -> tuple[Executor[Any], AsyncIterable[Any]]:
        """Coerce the variables and open the source of events. Raises: _Refused."""
        executor = Executor.build(
            self._sockets.schema,
            prepared.document,
            context_value=context,
            raw_variable_values=dict(asked.variables),
            operation_name=prepared.operation.name.value if prepared.operation.name else None,
            hide_suggestions=self._sockets.production,
        )
        if isinstance(executor, list):
            raise _Refused(answer_result(ExecutionResult(None, executor), GRAPHQL_JSON).payload)
        source = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            raise _Refused(answer_result(source, GRAPHQL_JSON).payload)
        return executor, source

    async def _execute(self, executor: Executor[Any], event: object) -> ExecutionResult:
        running = execute_subscription_event(executor.build_per_event_executor(event))
        if not isawaitable(running):
            return running
        try:
            async with asyncio.timeout(self._sockets.limits.query_seconds):
                return await running
        except TimeoutError:
            raise Unavailable from None


class _Refused(Exception):
    """The subscription ends with these errors."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        super().__init__()


def _errors(id: str, payload: dict[str, Any]) -> Message:
    return cast("Message", {"id": id, "type": "error", "payload": payload["errors"]})


async def _events(source: AsyncIterable[Any], prepared: Prepared) -> AsyncGenerator[object, None]:
    """The events of a source; what it raises is shown like the error of a resolver."""
    async with aclosing(cast("AsyncGenerator[Any, None]", source)):
        try:
            async for event in source:
                yield event
        except Exception as error:  # noqa: BLE001 - shown or masked as every error is
            path: list[str | int] = sorted(prepared.demands.root_fields)
            shown = GraphQLError(str(error), path=path, original_error=error)
            result = ExecutionResult(None, [shown])
            raise _Refused(answer_result(result, GRAPHQL_JSON).payload) from None


def _credentials(parameters: dict[str, Any]) -> str | None:
    """`Authorization` among the members of connection_init, in any case. Raises: rejection."""
    found = [value for name, value in parameters.items() if name.lower() == _AUTHORIZATION]
    if not found:
        return None
    if len(found) > 1 or not isinstance(found[0], str):
        raise ConnectionRejectionError
    return found[0]
