"""What a page may offer its shopper."""

from core.money import Money
from payments import CheckoutOption, checkout_options
from resolvers.context import Context
from resolvers.loaders import load
from resolvers.views.providers import Provider


async def options(context: Context, amount: Money, country: str | None) -> list[CheckoutOption]:
    """Ways to pay the amount, in the order routing tries them."""
    services, tenant_id = context.services.payments, context.tenant_id
    return await checkout_options(services, tenant_id, amount, country)


async def provider_of(context: Context, parent: CheckoutOption) -> Provider | None:
    """The provider account behind an option."""
    return await load(context).provider.load(parent.provider_account_id)
