"""One request of a merchant, from its bytes to its answer, inside one unit of work.

    authenticate ─▶ route, validate ─▶ key seen before? ─▶ fault before? ─▶ perform ─▶ freeze
                                                                            └─▶ fault after?
Whatever the way, one row goes to the request log before anybody is answered.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qs

import orjson

from simulator import accounts, api, faults
from simulator.api import Inquiry, Task
from simulator.books import Tx
from simulator.faults import BEFORE, Fault, FaultKind, Subject
from simulator.payments import Origin
from simulator.problems import Refused, invalid
from simulator.times import new_id, now_ms
from simulator.tokens import Behaviour

_GARBAGE: Final = b"<!doctype html><title>OK</title><p>Your request is important to us. {]"
_JSON: Final = "application/json"
_TOKEN_FAULTS: Final[Mapping[Behaviour, FaultKind]] = {
    Behaviour.TIMEOUT_AFTER: FaultKind.DROP_AFTER,
    Behaviour.TIMEOUT_BEFORE: FaultKind.DROP_BEFORE,
    Behaviour.ERROR_5XX: FaultKind.ERROR_500_BEFORE,
    Behaviour.GARBAGE: FaultKind.GARBAGE,
    Behaviour.WRONG_AMOUNT: FaultKind.WRONG_AMOUNT,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived. `key_in_progress`: another one with its key is being worked on."""

    method: str
    path: str
    query: str
    authorization: str
    idempotency_key: str | None
    correlation_id: str | None
    body: bytes
    key_in_progress: bool
    reference_in_progress: bool
    public_url: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, or that the connection is to be dropped; either after `delay_ms`."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: bool = False
    delay_ms: int = 0
    code: str | None = None


@dataclass(slots=True)
class _Trace:
    """What the request log will say."""

    account: str | None = None
    reference: str | None = None
    replayed: bool = False
    fault: FaultKind | None = None


def handle(tx: Tx, call: Call) -> Reply:
    """Work on one request. The unit of work holds its effects, its answer and its log row."""
    trace = _Trace()
    try:
        reply = _answer(tx, call, trace)
    except Refused as refusal:
        reply = _refusal(refusal)
    request_id = new_id("req")
    _log(tx, request_id, call, trace, reply)
    return replace(reply, headers={**reply.headers, "Request-Id": request_id})


def _answer(tx: Tx, call: Call, trace: _Trace) -> Reply:
    account = accounts.authenticate(tx, call.authorization)
    trace.account = account.name
    _check_key(call)
    endpoint, id = api.route(call.method, call.path)
    origin = Origin(account.name, call.idempotency_key)
    task = endpoint(tx, _inquiry(call, origin, id))
    trace.reference = task.reference
    frozen = _thaw(tx, account.name, call)
    trace.replayed = frozen is not None
    subject = Subject(account.name, call.method, call.path, task.token)
    fault = faults.decide(tx, subject) or _token_fault(task, replay=frozen is not None)
    trace.fault = fault.kind if fault else None
    if fault and fault.kind in BEFORE:
        return _fail_before(fault)
    if frozen is not None:
        return _delay(frozen, fault)
    reply = _perform(task, fault)
    _freeze(tx, account.name, call, reply)
    return _delay(reply, fault)


def _check_key(call: Call) -> None:
    """Raises: Refused 400 for a malformed key, 409 while its first request is worked on."""
    key = call.idempotency_key
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    if call.key_in_progress:
        raise Refused(409, "idempotency_key_in_progress", "the first request is still in progress")


def _inquiry(call: Call, origin: Origin, id: str) -> Inquiry:
    try:
        query = parse_qs(call.query, keep_blank_values=True, strict_parsing=bool(call.query))
    except ValueError:
        raise Refused(400, "query_invalid", "the query string is malformed") from None
    return Inquiry(origin, id, query, call.body, call.public_url, call.reference_in_progress)


def _token_fault(task: Task, *, replay: bool) -> Fault | None:
    """What the token itself does wrong; once it has charged, a replay is answered."""
    kind = _TOKEN_FAULTS.get(task.behaviour) if task.behaviour else None
    if kind is None or (replay and kind not in BEFORE):
        return None
    return Fault(kind)


def _fail_before(fault: Fault) -> Reply:
    """Nothing happens, and that is what the books will say for ever."""
    match fault.kind:
        case FaultKind.REFUSE:
            refusal = Refused(429, "rate_limited", "turned away; nothing was done")
            return replace(_refusal(refusal), headers={"Retry-After": "1"})
        case FaultKind.ERROR_500_BEFORE:
            return _internal_error(fault.status)
        case _:
            return Reply(0, b"", dropped=True, delay_ms=fault.delay_ms)


def _perform(task: Task, fault: Fault | None) -> Reply:
    """Do it; then say it, or something else."""
    kind = fault.kind if fault else None
    deviation = task.deviation if kind is FaultKind.WRONG_AMOUNT else 0
    try:
        status, document = task.perform(deviation)
    except Refused as refusal:
        if not refusal.final:
            raise
        return _refusal(refusal)
    if kind is FaultKind.GARBAGE:
        return Reply(200, _GARBAGE, "text/html")
    if fault and kind is FaultKind.ERROR_500_AFTER:
        return _internal_error(fault.status)
    return Reply(status, orjson.dumps(document))


def _delay(reply: Reply, fault: Fault | None) -> Reply:
    """The faults that leave the answer as it is, and only keep it from arriving in time."""
    match fault:
        case Fault(kind=FaultKind.DROP_AFTER):
            return replace(reply, dropped=True, delay_ms=fault.delay_ms)
        case Fault(kind=FaultKind.SLOW):
            return replace(reply, delay_ms=fault.delay_ms)
        case _:
            return reply


def _thaw(tx: Tx, account: str, call: Call) -> Reply | None:
    """The frozen answer to this key. Raises: Refused 400 when it was another request's."""
    if call.idempotency_key is None or call.method != "POST":
        return None
    row = tx.execute(
        "SELECT * FROM frozen_answer WHERE account = ? AND idempotency_key = ?",
        (account, call.idempotency_key),
    ).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != _fingerprint(call):
        raise Refused(400, "idempotency_key_reused", "the key was used for another request")
    headers = {"Idempotent-Replayed": "true"}
    return Reply(row["status"], bytes(row["body"]), row["content_type"], headers)


def _freeze(tx: Tx, account: str, call: Call, reply: Reply) -> None:
    if call.idempotency_key is None or call.method != "POST":
        return
    tx.execute(
        """
        INSERT INTO frozen_answer (account, idempotency_key, fingerprint, status, content_type,
          body)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        (
            account,
            call.idempotency_key,
            _fingerprint(call),
            reply.status,
            reply.content_type,
            reply.body,
        ),
    )


def _fingerprint(call: Call) -> str:
    """The request's meaning: order of fields and white space make no difference."""
    body = orjson.dumps(orjson.loads(call.body), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(f"{call.method} {call.path}\n".encode() + body).hexdigest()


def _refusal(refusal: Refused) -> Reply:
    return Reply(refusal.status, refusal.body(), code=refusal.code)


def _internal_error(status: int) -> Reply:
    error = {"type": "internal", "code": "internal_error", "message": "something went wrong"}
    return Reply(status, orjson.dumps({"error": error}), code="internal_error")


def _log(tx: Tx, request_id: str, call: Call, trace: _Trace, reply: Reply) -> None:
    tx.execute(
        """
        INSERT INTO request (id, account, method, path, reference, idempotency_key,
          correlation_id, body_sha256, status, code, replayed, fault, at_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            request_id,
            trace.account,
            call.method,
            call.path[:200],
            trace.reference,
            (call.idempotency_key or "")[:255] or None,
            call.correlation_id,
            hashlib.sha256(call.body).hexdigest(),
            None if reply.dropped else reply.status,
            reply.code,
            trace.replayed,
            trace.fault,
            now_ms(),
        ),
    )
