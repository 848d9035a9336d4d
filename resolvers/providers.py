"""Reading provider accounts and their health."""

from uuid import UUID

from gateways.tables import ProviderAccountRow
from resolvers.context import Context
from resolvers.loaders import load, provider_of
from resolvers.payments import bare_id
from resolvers.reading import columns_of, fetch, rows_of
from resolvers.views.providers import Provider, ProviderHealth


async def providers(context: Context) -> list[Provider]:
    """Every provider account, in the order routing tries them."""
    columns = columns_of(ProviderAccountRow)
    order = (columns["priority"], columns["name"])
    rows = await fetch(context, rows_of(ProviderAccountRow).order_by(*order))
    return [provider_of(context, row) for row in rows]


async def provider(context: Context, id: str) -> Provider | None:
    """By id; None if there is none the caller may see."""
    bare: UUID | None = bare_id("prv", id)
    return await load(context).provider.load(bare) if bare else None


async def health(context: Context, parent: Provider) -> ProviderHealth:
    """What the breakers of all processes last said, and how many outcomes are not known."""
    return await load(context).provider_health.load(parent.uuid)
