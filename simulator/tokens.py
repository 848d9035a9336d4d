"""Test tokens: what each makes the provider do. `bound_…` behaves as `tok_…` does."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from simulator.problems import Refused


class Behaviour(enum.StrEnum):
    """What paying with a token does."""

    SUCCEED = "success"
    DECLINE_HARD = "decline_hard"
    DECLINE_INSUFFICIENT_FUNDS = "decline_insufficient_funds"
    DECLINE_FRAUD = "decline_fraud"
    REQUIRE_ACTION = "requires_action"
    PEND = "pending"
    TIMEOUT_AFTER = "timeout_after"
    TIMEOUT_BEFORE = "timeout_before"
    ERROR_5XX = "error_5xx"
    GARBAGE = "garbage"
    WRONG_AMOUNT = "wrong_amount"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a card was refused: our code, the ISO 8583 response code, the scheme's advice."""

    code: str
    network_code: str
    advice_code: str
    message: str


DECLINES: Final[Mapping[Behaviour, Decline]] = MappingProxyType(
    {
        Behaviour.DECLINE_HARD: Decline(
            "account_closed", "46", "03", "The account is closed; do not try again."
        ),
        Behaviour.DECLINE_INSUFFICIENT_FUNDS: Decline(
            "insufficient_funds", "51", "02", "The account has insufficient funds."
        ),
        Behaviour.DECLINE_FRAUD: Decline(
            "suspected_fraud", "59", "03", "The payment was refused as suspected fraud."
        ),
    }
)
MEANINGS: Final[Mapping[Behaviour, str]] = MappingProxyType(
    {
        Behaviour.SUCCEED: "charged, or authorized with `capture: false`",
        Behaviour.DECLINE_HARD: "402 `account_closed` (46)",
        Behaviour.DECLINE_INSUFFICIENT_FUNDS: "402 `insufficient_funds` (51)",
        Behaviour.DECLINE_FRAUD: "402 `suspected_fraud` (59)",
        Behaviour.REQUIRE_ACTION: "redirect to `/3ds/{id}`, a page with Approve and Decline; "
        "then back to `return_url`. Declined is `authentication_failed`",
        Behaviour.PEND: "pending, succeeds by itself after `pending_delay_ms`",
        Behaviour.TIMEOUT_AFTER: "charged and written, then the connection is dropped; "
        "a replay of the key and a lookup answer",
        Behaviour.TIMEOUT_BEFORE: "the connection is dropped, every time; never charged",
        Behaviour.ERROR_5XX: "500 every time; never charged",
        Behaviour.GARBAGE: "charged; the answer, also to a replay, is HTTP 200 with HTML; "
        "a lookup tells the truth",
        Behaviour.WRONG_AMOUNT: "charges one minor unit more, and says so",
    }
)
"""What each does, in words: docs/simulator.md and the page GraphiQL say the same."""
AUTHENTICATION_FAILED: Final = Decline(
    "authentication_failed", "1A", "02", "The shopper did not authenticate the payment."
)
PREFIXES: Final = ("tok_", "bound_")


def behaviour_of(token: str) -> Behaviour:
    """What this token does. Raises: Refused 400 token_unknown."""
    for prefix in PREFIXES:
        name = token.removeprefix(prefix)
        if name != token and name in set(Behaviour):
            return Behaviour(name)
    raise Refused(400, "token_unknown", "no such test token", parameter="token")
