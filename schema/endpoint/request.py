"""From HTTP to a GraphQL request: media types, body, JSON, member types. Nothing is executed here.

Source: https://graphql.github.io/graphql-over-http/draft/ (stage 2, 2025)
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from schema.endpoint.asgi import HttpRequest
from schema.endpoint.ports import Limits
from schema.endpoint.problems import HttpProblem

GRAPHQL_JSON: Final = "application/graphql-response+json"
PLAIN_JSON: Final = "application/json"
_CHARSET: Final = "; charset=utf-8"
_PARAMETERS_MAX: Final = 16
_INT64_MIN: Final = -(2**63)
_ID_MEMBERS: Final = ("documentId", "id", "doc_id")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MANY_DIGITS = re.compile(rb"[0-9]{19}")


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What the client asks for, member types checked, values within limits.

    `query` is the text; without it, `document_id` or `sha256` says which of the persisted ones.
    """

    query: str | None
    variables: Mapping[str, Any]
    operation_name: str | None
    document_id: str | None = None
    sha256: str | None = None


def bad_request(code: str, message: str) -> HttpProblem:
    """The request is malformed."""
    return HttpProblem(400, code, message)


def check_method(request: HttpRequest) -> None:
    """Raises: HttpProblem 405."""
    if request.method not in {"GET", "POST"}:
        allow = {"allow": "GET, POST"}
        raise HttpProblem(405, "METHOD_NOT_ALLOWED", "Use POST, or GET for queries.", allow)


def negotiate(request: HttpRequest) -> str:
    """The media type of the response. Without an Accept header it is the GraphQL one.

    Raises: HttpProblem 406.
    """
    accept = request.headers.get("accept", "").strip()
    if not accept:
        return GRAPHQL_JSON
    wanted = [_media_range(item) for item in accept.split(",")]
    best = max((GRAPHQL_JSON, PLAIN_JSON), key=lambda offered: _quality(offered, wanted))
    if _quality(best, wanted) <= (0.0, 0):
        raise HttpProblem(406, "NOT_ACCEPTABLE", f"Accept {GRAPHQL_JSON} or {PLAIN_JSON}.")
    return best


def _media_range(item: str) -> tuple[str, float]:
    """Media range and quality of one item of Accept; a charset other than UTF-8 counts as 0."""
    media, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        value = value.strip(' "')
        if name.strip() == "q":
            quality = float(value) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", value) else 0.0
        if name.strip() == "charset" and value not in {"utf-8", "utf8"}:
            quality = 0.0
    return media, quality


def _quality(offered: str, wanted: list[tuple[str, float]]) -> tuple[float, int]:
    """Quality of the most specific range that matches, then how specific it is."""
    specific = {offered: 2, "application/*": 1, "*/*": 0}
    matching = [(specific[media], quality) for media, quality in wanted if media in specific]
    if not matching:
        return 0.0, 0
    most_specific, quality = max(matching)
    return (quality, most_specific) if quality > 0 else (0.0, 0)


def check_content_type(request: HttpRequest) -> None:
    """Only JSON: a form that another site posts is refused before anything else happens.

    Raises: HttpProblem 415.
    """
    media, *parameters = (
        part.strip().lower() for part in request.headers.get("content-type", "").split(";")
    )
    charsets = [part.partition("=")[2].strip(' "') for part in parameters if "charset" in part]
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    plain = encoding in {"", "identity"}
    if media != PLAIN_JSON or any(item not in {"utf-8", "utf8"} for item in charsets) or not plain:
        raise HttpProblem(
            415, "UNSUPPORTED_MEDIA_TYPE", f"Send {PLAIN_JSON}{_CHARSET}, not compressed."
        )


def check_length(request: HttpRequest, limits: Limits) -> None:
    """Refuse by the announced length, before a byte is read. Raises: HttpProblem 400, 413."""
    announced = request.headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", announced):
        raise bad_request("BAD_REQUEST", "Content-Length is not a number.")
    if int(announced) > limits.body_bytes:
        raise too_large(limits)


def too_large(limits: Limits) -> HttpProblem:
    """The body is larger than allowed."""
    message = f"The body may have at most {limits.body_bytes} bytes."
    return HttpProblem(413, "BODY_TOO_LARGE", message, {"connection": "close"})


def parse_body(body: bytes, limits: Limits) -> GraphQLRequest:
    """Read a POST body. Raises: HttpProblem 400."""
    members = load_json(body, "The body", limits)
    if isinstance(members, list):
        raise bad_request("BATCHING_NOT_SUPPORTED", "Send one request at a time, not a list.")
    if not isinstance(members, dict):
        raise bad_request("BAD_REQUEST", "The body must be a JSON object.")
    return request_of(members, limits)


def parse_query_string(query_string: bytes, limits: Limits) -> GraphQLRequest:
    """Read the parameters of a GET. Raises: HttpProblem 400."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError:
        raise bad_request("BAD_REQUEST", "The query string is malformed.") from None
    members: dict[str, Any] = dict(pairs)
    if len(members) < len(pairs):
        raise bad_request("BAD_REQUEST", "A parameter was given twice.")
    for name in ("variables", "extensions"):
        if text := members.get(name):
            members[name] = load_json(text.encode("utf-8"), f"`{name}`", limits)
        else:
            members.pop(name, None)
    if members.get("operationName") == "":
        del members["operationName"]
    return request_of(members, limits)


def load_json(text: bytes, what: str, limits: Limits) -> Any:
    """Parse; integers that JSON readers change silently are refused. Raises: HttpProblem 400."""
    try:
        loaded = orjson.loads(text)
        if _MANY_DIGITS.search(text):
            # orjson reads an integer beyond 64 bits as a float and so changes it silently
            json.loads(text, parse_int=lambda digits: _check_digits(digits, limits))
    except (ValueError, RecursionError):
        raise bad_request("BAD_JSON", f"{what} is not valid JSON in UTF-8.") from None
    return loaded


def _check_digits(digits: str, limits: Limits) -> int:
    if len(digits.lstrip("-")) > limits.integer_digits or int(digits) < _INT64_MIN:
        message = f"{digits[:24]} is not a 64-bit integer; send it as a string."
        raise bad_request("BAD_JSON", message)
    return 0


def request_of(members: Mapping[str, Any], limits: Limits) -> GraphQLRequest:
    """Check the members of a request. Raises: HttpProblem 400."""
    query = members.get("query")
    variables = members.get("variables")
    operation_name = members.get("operationName")
    extensions = members.get("extensions")
    document_id, hash = _document_id(members), _persisted_hash(extensions)
    is_named = query is None and (document_id or hash)
    if not is_named and (not isinstance(query, str) or not query.strip()):
        raise bad_request("BAD_REQUEST", "`query` must be a non-empty string.")
    if variables is not None and not isinstance(variables, dict):
        raise bad_request("BAD_REQUEST", "`variables` must be an object or null.")
    if operation_name is not None and not isinstance(operation_name, str):
        raise bad_request("BAD_REQUEST", "`operationName` must be a string or null.")
    if extensions is not None and not isinstance(extensions, dict):
        raise bad_request("BAD_REQUEST", "`extensions` must be an object or null.")
    for text in (query, operation_name, document_id):
        _check_text(text or "")
    _check_values(variables or {}, limits)
    return GraphQLRequest(query, variables or {}, operation_name, document_id, hash)


def _document_id(members: Mapping[str, Any]) -> str | None:
    """The id of a persisted operation, as Relay or the GraphQL-over-HTTP draft names it.

    Raises: HttpProblem 400.
    """
    given = {members[name] for name in _ID_MEMBERS if isinstance(members.get(name), str)}
    if len(given) > 1:
        raise bad_request("BAD_REQUEST", "Two ids name the operation, and they differ.")
    return given.pop() if given else None


def _persisted_hash(extensions: object) -> str | None:
    """`extensions.persistedQuery` of Apollo's clients. Raises: HttpProblem 400."""
    asked = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if asked is None:
        return None
    hash = asked.get("sha256Hash") if isinstance(asked, dict) else None
    if not isinstance(hash, str) or not _SHA256.fullmatch(hash) or asked.get("version") != 1:
        message = "`extensions.persistedQuery` must be {version: 1, sha256Hash: 64 hex digits}."
        raise bad_request("BAD_REQUEST", message)
    return hash


def _check_values(variables: Mapping[str, Any], limits: Limits) -> None:
    """Depth, number and text of everything inside the variables, without recursion."""
    stack: list[tuple[Any, int]] = [(variables, 1)]
    count = 0
    while stack:
        value, depth = stack.pop()
        count += 1
        if depth > limits.variables_depth + 1:
            message = f"`variables` may be at most {limits.variables_depth} levels deep."
            raise bad_request("VARIABLES_TOO_DEEP", message)
        if count > limits.variables_values:
            message = f"`variables` may hold at most {limits.variables_values} values."
            raise bad_request("TOO_MANY_VALUES", message)
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            for name in value:
                _check_text(name)
            stack.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            stack.extend((item, depth + 1) for item in value)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise bad_request("BAD_TEXT", "Text may not contain NUL characters.")
    if not text.isascii() and not _encodes(text):
        raise bad_request("BAD_TEXT", "Text may not contain lone surrogates.")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
