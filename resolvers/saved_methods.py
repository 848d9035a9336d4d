"""Methods that customers keep: listed for their owner or for a server, and removed by either."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import payments
from payments import RemoveSavedMethod
from payments.tables import SavedMethodRow
from resolvers.context import Context
from resolvers.loaders import load
from resolvers.mutations import answers
from resolvers.paging import Order, Page, PageRequest, fetch_page
from resolvers.reading import columns_of, rows_of
from resolvers.views.customers import Customer, SavedMethod

_METHODS: Final = columns_of(SavedMethodRow)
_NEWEST: Final = Order("saved_methods", (_METHODS["created_at"], _METHODS["id"]), (datetime, UUID))


@dataclass(frozen=True, slots=True)
class SavedMethodPayload:
    """A saved method after a mutation."""

    saved_method: SavedMethod
    replayed: bool


async def saved_methods_of(
    context: Context, parent: Customer, request: PageRequest
) -> Page[SavedMethod]:
    """Those a customer can pay with, the newest first. Raises: BadCursor."""
    statement = rows_of(SavedMethodRow).where(
        _METHODS["customer_id"] == parent.id, _METHODS["removed_at"].is_(None)
    )
    return await fetch_page(context, statement, _NEWEST, request, SavedMethod)


@answers
async def remove(context: Context, parse: Callable[[], RemoveSavedMethod]) -> SavedMethodPayload:
    """SavedMethodRemove, by its owner or by a server. Raises: Forbidden."""
    actor = context.owner()
    result = await payments.remove_saved_method(parse(), actor, context.services.payments)
    context.forget()
    removed = await load(context).saved_method.load(result.saved_method_id)
    assert removed is not None, "what a use case returns exists"
    return SavedMethodPayload(removed, result.replayed)
