"""Refusals: what the caller did wrong, as HTTP status and machine-readable code."""

from collections.abc import Mapping
from typing import Final

import orjson


class Refused(Exception):
    """The request is refused; nothing it asked for happened.

    A `final` refusal is an answer like any other (a broken money rule) and is frozen under the
    idempotency key; the others come before the request was looked at and may be sent again.
    """

    def __init__(
        self, status: int, code: str, message: str, *, parameter: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.parameter = parameter
        self.headers: Mapping[str, str] = {}

    @property
    def final(self) -> bool:
        return self.status == 422

    def body(self) -> bytes:
        """The JSON error document."""
        error = {"type": _TYPES.get(self.status, "invalid_request"), "code": self.code}
        error["message"] = self.message
        if self.parameter is not None:
            error["parameter"] = self.parameter
        return orjson.dumps({"error": error})


_TYPES: Final = {
    401: "authentication",
    404: "not_found",
    409: "conflict",
    422: "rule",
    429: "rate_limit",
}


def invalid(parameter: str, message: str) -> Refused:
    """400: a field is missing, malformed or out of range."""
    return Refused(400, "parameter_invalid", message, parameter=parameter)


def not_found(what: str) -> Refused:
    """404, the same for what is missing and for what is another merchant's."""
    return Refused(404, f"{what}_not_found", f"no such {what}")
