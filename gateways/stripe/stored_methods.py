"""Cards that stay with a Customer of Stripe's.

    POST /v1/customers                   once for each customer of the shop
    POST /v1/payment_intents             customer, setup_future_usage: stays once it was charged [C]
    POST /v1/payment_methods/…/detach    never usable again

`off_session` covers both uses to come: with the shopper there, and without them [C].
[C] is commonly known, and not seen at a live account yet.
Sources: docs.stripe.com/payments/save-during-payment, docs.stripe.com/api/payment_methods/detach
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from gateways.port import Operation, StoredMethod, Unparseable
from gateways.stripe.reading import Json, reference

USAGE: Final = "off_session"
EXPAND: Final = "payment_method"
"""Without it an intent only names its method; events never tell more."""


def customer_key(operation: Operation) -> str:
    """The same for one customer at one account, so that tries in a row make one Customer [C].

    Stripe forgets keys after a day; by then the Customer is known from what was kept.
    """
    subject = f"{operation.account.id}\0{operation.customer_id}"
    return f"customer.{sha256(subject.encode()).hexdigest()[:40]}"


def terms(operation: Operation, customer: str | None) -> Mapping[str, str]:
    """What a charge says of its method's future."""
    if customer is None:
        return {}
    if not operation.store_method:
        return {"customer": customer}
    return {"customer": customer, "setup_future_usage": USAGE, "expand[]": EXPAND}


def stored_by(intent: Json) -> StoredMethod | None:
    """What stays with the customer since this intent was charged, as far as the intent tells.

    Nothing about a card is worth doubting a charge for: what is not understood is left out.
    """
    customer, token = reference(intent, "customer"), reference(intent, "payment_method")
    if customer is None or token is None or intent.get("setup_future_usage") is None:
        return None
    card = _card(intent)
    return StoredMethod(
        token=token,
        provider_customer=customer,
        brand=_text(card.get("brand")),
        last4=_text(card.get("last4")),
        exp_month=_number(card.get("exp_month")),
        exp_year=_number(card.get("exp_year")),
    )


def is_free(method: Json) -> bool:
    """Whether a PaymentMethod belongs to no customer (any more). Raises: Unparseable."""
    if method.get("object") != "payment_method":
        raise Unparseable("no payment method")
    return reference(method, "customer") is None


def _card(intent: Json) -> Json:
    method = intent.get("payment_method")
    card = method.get("card") if isinstance(method, Mapping) else None
    return card if isinstance(card, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
