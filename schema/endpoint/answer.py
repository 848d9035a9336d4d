"""From a result to JSON: codes and correlation ids on every error, nothing internal in any.

resolver raised        sent as                          status
Rejected, Conflict     its code and message             200
Unavailable            its code, retryAfterMs           503 + Retry-After if nothing else came
Broken, anything else  INTERNAL, a constant message     200, logged with its traceback
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError

from core.errors import Broken, CounterfoilError, Unavailable
from core.telemetry import correlation_id
from schema.endpoint.ports import RateLimited
from schema.endpoint.problems import HttpProblem, Refusal, describe
from schema.endpoint.request import PLAIN_JSON
from schema.error_catalogue import docs_of

log = structlog.get_logger(__name__)

INTERNAL_MESSAGE: Final = (
    "Something went wrong on our side. Quote the correlation id when you report it."
)


@dataclass(slots=True)
class Answer:
    """Status, headers and payload of a response, and the code that names how it ended."""

    status: int
    payload: dict[str, Any]
    outcome: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)


def answer_problem(problem: HttpProblem) -> Answer:
    """The HTTP request was wrong."""
    error = {"message": problem.message, "extensions": {"code": problem.code}}
    payload = {"errors": [_with_correlation(error)]}
    return Answer(problem.status, payload, problem.code, problem.headers)


def answer_refusal(refusal: Refusal, media_type: str) -> Answer:
    """The request was understood and refused: 200 for clients of plain JSON, as the draft says."""
    status = 200 if media_type == PLAIN_JSON and refusal.status in {400, 403} else refusal.status
    payload = {"errors": [_with_correlation(error) for error in refusal.errors]}
    return Answer(status, payload, refusal.code, refusal.headers)


def answer_unavailable(error: Unavailable) -> Answer:
    """Nothing could be tried, or nothing was tried because too much is asked for."""
    shown = _with_correlation(_describe_ours(error, {}))
    status = 429 if isinstance(error, RateLimited) else 503
    return Answer(status, {"errors": [shown]}, error.code, _retry_after(error))


def answer_internal() -> Answer:
    """A bug. What it was stands in the log."""
    error = {"message": INTERNAL_MESSAGE, "extensions": {"code": "INTERNAL"}}
    return Answer(500, {"errors": [_with_correlation(error)]}, "INTERNAL")


def answer_result(result: ExecutionResult, media_type: str) -> Answer:
    """The operation was executed, or its variables were refused."""
    errors = result.errors or []
    if result.data is None and errors and all(error.path is None for error in errors):
        shown = [describe(error, _code_of_input(error)) for error in errors]
        return answer_refusal(Refusal("BAD_USER_INPUT", shown), media_type)
    payload: dict[str, Any] = {"data": result.data}
    if not errors:
        return Answer(200, payload)
    payload["errors"] = [_with_correlation(_describe_failure(error)) for error in errors]
    outcome = payload["errors"][0]["extensions"]["code"]
    waits = [error.original_error for error in errors]
    unavailable = [error for error in waits if isinstance(error, Unavailable)]
    if len(unavailable) == len(errors) and not any((result.data or {}).values()):
        longest = max(unavailable, key=lambda error: error.retry_after_seconds)
        return Answer(503, payload, outcome, _retry_after(longest))
    return Answer(200, payload, outcome)


def write_json(payload: Mapping[str, Any]) -> bytes:
    """The payload in UTF-8. What orjson refuses (integers beyond 64 bits) is written slowly."""
    try:
        return orjson.dumps(payload)
    except TypeError:
        return json.dumps(payload, allow_nan=False).encode("ascii")


def _code_of_input(error: GraphQLError) -> str:
    if isinstance(error.original_error, CounterfoilError):
        return error.original_error.code
    return str((error.extensions or {}).get("code", "BAD_USER_INPUT"))


def _describe_failure(error: GraphQLError) -> dict[str, Any]:
    """One error of a resolver; what was not meant for clients is logged and masked."""
    original = error.original_error
    if isinstance(original, CounterfoilError) and not isinstance(original, Broken):
        return {
            **describe(error, original.code),
            **_describe_ours(original, error.extensions or {}),
        }
    deliberate = original is None or isinstance(original, GraphQLError)
    if deliberate and "code" in (error.extensions or {}):
        return describe(error, str((error.extensions or {})["code"]))
    log.error(
        "resolver_failed",
        path=".".join(map(str, error.path or [])),
        exc_info=original or error,
    )
    masked = describe(error, "INTERNAL")
    masked["message"] = INTERNAL_MESSAGE
    masked["extensions"] = {"code": "INTERNAL"}
    return masked


def _describe_ours(error: CounterfoilError, extensions: Mapping[str, Any]) -> dict[str, Any]:
    shown = {**extensions, "code": error.code, "retryable": error.retryable}
    if isinstance(error, Unavailable):
        shown["retryAfterMs"] = math.ceil(error.retry_after_seconds * 1000)
    return {"message": error.message, "extensions": shown}


def _retry_after(error: Unavailable) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(error.retry_after_seconds)))}


def _with_correlation(error: Mapping[str, Any]) -> dict[str, Any]:
    told = error["extensions"]
    extensions = {**told, "docs": docs_of(told["code"]), "correlationId": correlation_id()}
    return {**error, "extensions": extensions}
