"""Methods that customers keep for their next payment."""

from datetime import datetime

import strawberry

from resolvers import payments
from resolvers.views import customers as views
from schema.base import edge, requires, shown, shows
from schema.directives import Scope
from schema.references import ProviderType
from schema.shapes import Connection, Node

_READ = requires(Scope.PAYMENTS_READ)


@strawberry.type(
    description="A method a customer keeps for their next payment. The provider keeps the card;"
    " only its owner, or your server for its owner, can pay with it."
)
class SavedMethod(Node):
    is_type_of = shows(views.SavedMethod)

    type: str = shown("card, or another type.")
    brand: str | None = shown("Brand of the card, as far as the provider tells.")
    last4: str | None = shown("Its last four digits, as far as the provider tells.")
    exp_month: int | None = shown("Month it expires, 1 to 12.")
    exp_year: int | None = shown("Year it expires, four digits.")
    created_at: datetime = shown("Since when it is kept.")
    removed_at: datetime | None = shown("Since when nothing can be paid with it any more.")
    customer_id: str = shown("Your own id of the customer whose it is.", _READ)
    detached_at: datetime | None = shown(
        "After a removal: when the provider said that it has forgotten it as well.", _READ
    )

    provider = edge(payments.provider_of, ProviderType, "The only one who can charge it.", _READ)


SavedMethodConnection = Connection[SavedMethod]
