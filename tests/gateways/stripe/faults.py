"""What happens to requests on their way to the fake Stripe and back."""

import enum
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import httpx

from tests.gateways.stripe.fake import Answer, Fails, FakeStripe, Sent, published_error


class Fault(enum.Enum):
    """What happens to one request instead of the usual."""

    REFUSED = "no connection"
    DROPPED_BEFORE = "no answer, nothing done"
    DROPPED_AFTER = "done, no answer"
    SLOW = "done, no answer, and the key is in use for one request more"
    FAILED_BEFORE = "500 that is kept, nothing done"
    FAILED_AFTER = "500 that is kept, done"
    BAD_GATEWAY_BEFORE = "502 without JSON, nothing done"
    BAD_GATEWAY_AFTER = "502 without JSON, done"
    CUT_SHORT = "done, half of the answer"
    LOCKED = "429 lock_timeout, nothing done"
    THROTTLED = "429 rate_limit, nothing done"


_FAILS: Final[Mapping[Fault | None, Fails]] = {
    Fault.FAILED_BEFORE: "before",
    Fault.FAILED_AFTER: "after",
}


_TURNED_AWAY: Final[Mapping[Fault | None, str]] = {
    Fault.LOCKED: "429_lock_timeout",
    Fault.THROTTLED: "429_rate_limit",
}


def over_httpx(
    fake: FakeStripe, plan: "deque[Fault | None]"
) -> Callable[[httpx.Request], httpx.Response]:
    """A side effect for respx: each request meets the fake, or what is planned for it.

    `plan` has an entry for each request to come; without one, and for None, nothing happens to it.
    """

    def take(request: httpx.Request) -> httpx.Response:
        fault = plan.popleft() if plan else None
        sent = Sent(
            request.method,
            request.url.path,
            dict(request.url.params),
            request.content.decode(),
            request.headers.get("idempotency-key", ""),
            request.headers.get("authorization", ""),
        )
        return _delivered(fake, sent, fault)

    return take


def _delivered(fake: FakeStripe, sent: Sent, fault: Fault | None) -> httpx.Response:
    turned_away = _before(sent, fault)
    if turned_away is not None:
        return turned_away
    answer = fake.begin(sent, _FAILS.get(fault))
    if fault is Fault.SLOW:
        raise httpx.ReadTimeout("slow")
    fake.end(sent.key)
    if fault is Fault.DROPPED_AFTER:
        raise httpx.ReadError("reset")
    if fault is Fault.BAD_GATEWAY_AFTER:
        return httpx.Response(502, text="<html>")
    if fault is Fault.CUT_SHORT:
        whole = json.dumps(answer.body)
        return httpx.Response(answer.status, text=whole[: len(whole) // 2])
    return _response(answer)


def _before(sent: Sent, fault: Fault | None) -> httpx.Response | None:
    """What happens to a request before Stripe has read it, if anything does."""
    if fault is Fault.REFUSED:
        raise httpx.ConnectError("refused")
    if fault is Fault.DROPPED_BEFORE:
        raise httpx.ReadTimeout("slow")
    if fault is Fault.BAD_GATEWAY_BEFORE:
        return httpx.Response(502, text="<html>")
    published = dict(_TURNED_AWAY)
    if sent.method == "GET":
        published |= dict.fromkeys(_FAILS, "500_api_error")
    return _response(published_error(published[fault])) if fault in published else None


def _response(answer: Answer) -> httpx.Response:
    return httpx.Response(answer.status, json=answer.body, headers=dict(answer.headers))
