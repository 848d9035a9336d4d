"""Both views of the schema, made from the same types.

full         /graphql               every field; scopes decide who may use which
storefront   /storefront/graphql    what a shop's page may do, and no more:
                                    fields that need a scope do not exist here
"""

from functools import cache

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.schema_directive import StrawberrySchemaDirective
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from schema.directives import Requires
from schema.examples import with_example
from schema.ledger import Entry, Hold, Transaction
from schema.mutation import Mutation
from schema.payments import PaymentAttempt, ProviderOperation
from schema.query import Query
from schema.records import AuditEntry, Discrepancy, InboundWebhook
from schema.scalars import SCALARS
from schema.subscription import Subscription

_STOREFRONT_ROOTS = frozenset(
    {
        "checkout_options",
        "customer",
        "payment_by_client_secret",
        "payment_changed_by_client_secret",
        "payment_confirm",
        "saved_method_remove",
    }
)


class Storefront(strawberry.Schema):
    """The schema without what only servers may see."""

    def get_fields(self, type_definition: StrawberryObjectDefinition) -> list[StrawberryField]:
        fields = super().get_fields(type_definition)
        if type_definition.origin in {Query, Mutation, Subscription}:
            return [field for field in fields if field.python_name in _STOREFRONT_ROOTS]
        return [field for field in fields if not _needs_scope(field)]


def _needs_scope(field: StrawberryField) -> bool:
    return any(isinstance(directive, Requires) for directive in field.directives)


def _config() -> StrawberryConfig:
    return StrawberryConfig(scalar_map=dict(SCALARS))


@cache
def build() -> tuple[strawberry.Schema, strawberry.Schema]:
    """The full schema and the storefront's."""
    full = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[
            AuditEntry,
            Discrepancy,
            Entry,
            Hold,
            InboundWebhook,
            PaymentAttempt,
            ProviderOperation,
            Transaction,
        ],
        config=_config(),
    )
    storefront = Storefront(
        query=Query, mutation=Mutation, subscription=Subscription, config=_config()
    )
    for view in (full, storefront):
        _add_examples(view._schema)  # noqa: SLF001 - Strawberry's way to it
        _describe_directives(view._schema)  # noqa: SLF001 - as above
    return full, storefront


def _add_examples(view: GraphQLSchema) -> None:
    for root in (view.query_type, view.mutation_type, view.subscription_type):
        for name, field in root.fields.items() if root else ():
            field.description = with_example(name, field.description or "")


def _describe_directives(view: GraphQLSchema) -> None:
    """Strawberry leaves out what the arguments of directives are for."""
    for directive in view.directives:
        behind = directive.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if isinstance(behind, StrawberrySchemaDirective):
            for field in behind.fields:
                directive.args[field.python_name].description = field.description


def export_sdl() -> str:
    """The full schema as text, with its directives: what is committed as schema.graphql."""
    full, _ = build()
    return full.as_str() + "\n"
