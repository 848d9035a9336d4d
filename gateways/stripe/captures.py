"""Captures of one PaymentIntent. Pure. Source: docs.stripe.com/payments/multicapture

Stripe has no object for a capture: an intent only tells what was received in all, however many
captures there were. Each capture of ours therefore leaves its own mark on the intent, set by the
same call: a name made of our id, and how much was asked for. Marks are added, never replaced.

    metadata  capture_op_a = 1000, capture_op_b = 500        amount_received = 1500

No total is ever taken for one capture where there can be several.
"""

from collections.abc import Mapping
from typing import Final

from core.money import Money
from gateways.port import Account, BadRequest, Outcome, OutcomeStatus, Unparseable
from gateways.stripe.mapping import intent_id
from gateways.stripe.money import from_stripe
from gateways.stripe.reading import Json, member, money, text

AGREEMENT: Final = "multicapture"
"""The account field that says `yes` where Stripe agreed to several captures."""
MARK: Final = "capture_op_"
_MARK_OF_OURS: Final = MARK.removesuffix("op_")


def mark_of(operation_id: str) -> str:
    """The metadata name of one capture: at most 40 characters with the ids we make."""
    return _MARK_OF_OURS + operation_id


def demand_agreement(account: Account) -> None:
    """Raises: BadRequest, where a capture that is not the last would end the authorization."""
    if not account.agreed(AGREEMENT):
        raise BadRequest("Stripe accounts capture once unless multicapture is agreed")


def ours(intent: Json) -> Mapping[str, Money]:
    """What each capture of ours asked for, by our id. Raises: Unparseable."""
    currency = text(intent, "currency")
    return {
        name.removeprefix(_MARK_OF_OURS): _asked(value, currency)
        for name, value in member(intent, "metadata").items()
        if name.startswith(MARK)
    }


def _asked(value: object, currency: str) -> Money:
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()) or len(value) > 15:
        raise Unparseable("a mark of a capture is no amount")
    return from_stripe(int(value), currency)


def allows_several(intent: Json) -> bool:
    """Whether more than one capture may be behind what was received."""
    card = member(member(intent, "payment_method_options"), "card")
    still_open = text(intent, "status") == "requires_capture"
    taken = money(intent, "amount_received").minor_units > 0
    return card.get("request_multicapture") == "if_available" or (still_open and taken)


def outcome_of(intent: Json, operation_id: str) -> Outcome:
    """What an intent with our mark says about that capture. Raises: Unparseable.

    The marks must add up to what was received. If they do not, somebody else captured as well, or
    Stripe took another amount than we asked for: with one capture that amount is what was
    received, with several nobody can tell from here, and the event of the capture does.
    """
    status, marks, received = text(intent, "status"), ours(intent), money(intent, "amount_received")
    if status not in {"succeeded", "requires_capture", "canceled"}:
        raise Unparseable(f"a captured intent cannot be {status[:40]}")
    if operation_id not in marks:
        raise Unparseable("a captured intent without our mark")
    taken = marks[operation_id]
    if not adds_up(intent):
        if len(marks) > 1 or allows_several(intent):
            raise Unparseable("captures that do not add up to what was received")
        taken = received
    intent_id(intent)
    return Outcome(OutcomeStatus.SUCCEEDED, amount=taken, raw_status=status)


def adds_up(intent: Json) -> bool:
    """Whether our own captures are all that was received."""
    received = money(intent, "amount_received")
    return sum(each.minor_units for each in ours(intent).values()) == received.minor_units


def reference_of(intent_id: str, total: Money) -> str:
    """Names a capture by its place: the intent, and what was received in all once it was done."""
    return f"{intent_id}#{total.minor_units}"
