"""Ways to pay, for the page that offers them."""

import strawberry
from strawberry.scalars import JSON

from resolvers import checkout as read
from schema.base import edge, requires, shown
from schema.directives import Scope
from schema.references import ProviderType


@strawberry.type(description="A way to pay, and what the provider's script in a page needs for it.")
class CheckoutOption:
    method: str = shown("Type of method, such as card.")
    provider_name: str = shown("Short name of the provider account that would be asked.")
    adapter: str = shown("Which provider it is: decides which script the page loads.")
    portable: bool = shown("Whether a token made with it may be tried at another provider as well.")
    configuration: JSON = shown(
        "What the provider's script needs; everybody may read it.", name="clientConfiguration"
    )

    provider = edge(
        read.provider_of, ProviderType, "The provider account.", requires(Scope.PROVIDERS_READ)
    )
