"""Errors before execution: each knows its code, its status and whom it blames."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphql import GraphQLError

from core.card_numbers import mask_card_numbers

_MESSAGE_LENGTH_MAX: Final = 500


class HttpProblem(Exception):
    """The HTTP request itself is wrong: answered with this status whatever the media type."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        super().__init__(message)


class Refusal(Exception):
    """A well-formed request that is not executed: `status` under graphql-response+json, else 200.

    `errors` are ready to be sent except for the correlation id.
    """

    def __init__(
        self,
        code: str,
        errors: Sequence[Mapping[str, Any]],
        *,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.errors = tuple(errors)
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(code)

    def again(self) -> "Refusal":
        """The same to be raised: the one that is kept must not hold on to a request."""
        return Refusal(self.code, self.errors, status=self.status, headers=self.headers)

    @classmethod
    def because(cls, code: str, message: str, *, status: int = 400, **facts: object) -> "Refusal":
        """A refusal with one error. `facts` become members of its extensions."""
        error = {"message": message, "extensions": {"code": code, **facts}}
        return cls(code, [error], status=status)

    @classmethod
    def of(cls, code: str, errors: Sequence[GraphQLError]) -> "Refusal":
        """A refusal that passes on errors of the GraphQL library, which concern the text sent."""
        return cls(code, [describe(error, code) for error in errors])


class LimitExceeded(Refusal):
    """The request asks for more than is allowed."""

    def __init__(self, limit: str, allowed: int, message: str) -> None:
        extensions = {"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": allowed}
        super().__init__("LIMIT_EXCEEDED", [{"message": message, "extensions": extensions}])


def describe(error: GraphQLError, code: str) -> dict[str, Any]:
    """An error as it is sent: message, locations, path, code."""
    described: dict[str, Any] = {"message": _shown(error.message)}
    if error.locations:
        described["locations"] = [
            {"line": location.line, "column": location.column} for location in error.locations
        ]
    if error.path is not None:
        described["path"] = error.path
    described["extensions"] = {**(error.extensions or {}), "code": code}
    return described


def _shown(message: str) -> str:
    """It may quote what was sent: a card number must not travel any further, nor a long text."""
    masked = mask_card_numbers(message[: 2 * _MESSAGE_LENGTH_MAX])
    short = len(masked) <= _MESSAGE_LENGTH_MAX
    return masked if short else f"{masked[: _MESSAGE_LENGTH_MAX - 1]}…"
