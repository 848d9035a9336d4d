"""Asks the schema as the endpoint does, without HTTP: parse, validate, execute."""

import random
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from graphql import ExecutionResult, GraphQLError, execute, parse, validate
from strawberry import Schema

from core.identifiers import new_id
from events import Feed
from resolvers.context import Context, Services
from schema import build
from tenants import SCOPES
from tests.payments.world import World

FULL, STOREFRONT = build()


@dataclass(frozen=True)
class Asker:
    """Who asks."""

    tenant_id: int | None = None
    key_id: UUID | None = None
    subject: str | None = None
    payment_id: UUID | None = None
    customer_id: str | None = None
    origin_tenants: frozenset[int] | None = None
    scopes: frozenset[str] = frozenset()
    live: bool = False


NOBODY: Final = Asker()


@dataclass
class Api:
    """One client of the API."""

    services: Services
    caller: Asker
    schema: Schema = field(default=FULL)
    key_header: str | None = None

    async def run(self, document: str, **variables: object) -> ExecutionResult:
        """Data and errors."""
        parsed = parse(document)
        invalid = validate(self.schema._schema, parsed)
        assert invalid == [], invalid
        context = Context(self.caller, self.services, "req-test", self.key_header)
        result = execute(
            self.schema._schema, parsed, context_value=context, variable_values=dict(variables)
        )
        assert not isinstance(result, ExecutionResult)
        return await result

    async def ask(self, document: str, **variables: object) -> Any:
        """The data; there are no errors."""
        result = await self.run(document, **variables)
        if result.errors:
            raise result.errors[0].original_error or result.errors[0]
        return result.data

    async def refused(self, document: str, **variables: object) -> str:
        """The code of the one error."""
        result = await self.run(document, **variables)
        assert result.errors is not None
        (error,) = result.errors
        return code_of(error)

    def by(self, **changes: Any) -> "Api":
        """The same API, asked by somebody a little different."""
        return replace(self, caller=replace(self.caller, **changes))


def code_of(error: GraphQLError) -> str:
    """What the endpoint sends as extensions.code."""
    return str(getattr(error.original_error, "code", (error.extensions or {}).get("code")))


def an_api(world: World, caller: Asker | None = None) -> Api:
    """The API of a world, asked by a server with every scope unless said otherwise."""
    server = Asker(world.tenant_id, new_id(), scopes=SCOPES)
    return Api(
        Services(world.services, Feed(world.services.database, random.Random(1))),
        caller or server,
    )
