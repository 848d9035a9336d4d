"""What the schema promises about itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    is_specified_scalar_type,
)
from strawberry.types.field import StrawberryField

from core.identifiers import PREFIXES
from resolvers import node, problems
from schema import build, export_sdl
from schema.directives import Public, Requires, Scope
from schema.endpoint.rules import read_rules
from schema.enums import ErrorCode
from tenants import SCOPES

COMMITTED = Path(__file__).parents[2] / "schema.graphql"
FULL, STOREFRONT = (view._schema for view in build())
VIEWS = pytest.mark.parametrize("view", [FULL, STOREFRONT], ids=["full", "storefront"])


def types_of(view: GraphQLSchema) -> list[GraphQLNamedType]:
    """Every type of our own."""
    return [
        named
        for name, named in view.type_map.items()
        if not name.startswith("__") and not is_specified_scalar_type(named)
    ]


def described_directives(view: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Every directive and its arguments."""
    for directive in view.directives:
        yield f"@{directive.name}", directive.description
        for name, argument in directive.args.items():
            yield f"@{directive.name}({name})", argument.description


def described_things(view: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Every type, field, argument, input field and enum value with its description."""
    for named in types_of(view):
        yield named.name, named.description
        if isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in named.fields.items():
                yield f"{named.name}.{field_name}", field.description
                for argument_name, argument in field.args.items():
                    place = f"{named.name}.{field_name}({argument_name})"
                    yield place, argument.description
        elif isinstance(named, GraphQLInputObjectType):
            for input_name, input_field in named.fields.items():
                yield f"{named.name}.{input_name}", input_field.description
        elif isinstance(named, GraphQLEnumType):
            for value_name, value in named.values.items():
                yield f"{named.name}.{value_name}", value.description


def directives_of(named: GraphQLObjectType, field: str) -> list[object]:
    behind = named.fields[field].extensions["strawberry-definition"]
    assert isinstance(behind, StrawberryField)
    return list(behind.directives)


def roots(view: GraphQLSchema) -> list[GraphQLObjectType]:
    return [root for root in (view.query_type, view.mutation_type) if root is not None]


@VIEWS
def test_everything_has_a_description(view: GraphQLSchema) -> None:
    things = dict([*described_things(view), *described_directives(view)])

    assert len(things) > 100
    assert [place for place, text in things.items() if not (text or "").strip()] == []


def test_the_committed_sdl_is_the_exported_one() -> None:
    assert COMMITTED.read_text() == export_sdl(), "run: python -m counterfoil export-schema"


def test_every_root_field_says_who_may_use_it() -> None:
    for view in (FULL, STOREFRONT):
        for root in roots(view):
            for field in root.fields:
                said = directives_of(root, field)
                guards = [each for each in said if isinstance(each, Requires | Public)]
                assert len(guards) == 1, f"{root.name}.{field}"


def test_a_public_root_field_says_why_that_is_safe() -> None:
    public = {
        field: each.reason
        for root in roots(FULL)
        for field in root.fields
        for each in directives_of(root, field)
        if isinstance(each, Public)
    }

    assert set(public) == {
        "node",
        "nodes",
        "viewer",
        "customer",
        "checkoutOptions",
        "paymentByClientSecret",
        "paymentConfirm",
        "savedMethodRemove",
    }
    assert all(len(reason) > 20 for reason in public.values())


def test_the_storefront_has_no_field_that_needs_a_scope() -> None:
    assert {name for root in roots(STOREFRONT) for name in root.fields} == {
        "checkoutOptions",
        "customer",
        "paymentByClientSecret",
        "paymentConfirm",
        "savedMethodRemove",
    }
    rules = read_rules(STOREFRONT)
    assert all(not rule.scopes for rule in rules.fields.values())


def test_the_storefront_does_not_reach_the_books_or_the_providers() -> None:
    reached = {named.name for named in types_of(STOREFRONT)}

    assert reached.isdisjoint(
        {"Account", "Balance", "Entry", "Transaction", "Provider", "ProviderOperation", "Evidence"}
        | {"PaymentAttempt", "Refund", "InboundWebhook", "AuditEntry", "RoutingDecision"}
    )


@pytest.mark.parametrize(
    "field",
    [
        "Payment.fees",
        "Payment.net",
        "Payment.metadata",
        "Payment.customerId",
        "Payment.attempts",
        "Payment.clientSecret",
        "Payment.transactions",
        "PaymentMethod.fingerprint",
        "Decline.kind",
        "Decline.providerCode",
        "ProviderOperation.idempotencyKey",
        "ProviderOperation.transcript",
        "InboundWebhook.payload",
        "Provider.webhookUrl",
        "Account.balance",
        "Account.entries",
        "Account.statement",
        "InsufficientFundsError.account",
    ],
)
def test_a_sensitive_field_needs_a_scope(field: str) -> None:
    type_name, _, field_name = field.partition(".")
    named = FULL.type_map[type_name]
    assert isinstance(named, GraphQLObjectType)

    assert any(isinstance(each, Requires) for each in directives_of(named, field_name))


def test_the_scopes_of_the_api_are_those_keys_can_have() -> None:
    assert {scope.name for scope in Scope} == SCOPES


def test_every_node_can_be_asked_for_by_its_id() -> None:
    named = FULL.type_map["Node"]
    assert isinstance(named, GraphQLInterfaceType)
    implementing = {each.name for each in FULL.get_possible_types(named)}

    assert {PREFIXES[prefix] for prefix in node.SCOPES} == implementing
    assert set(node.SCOPES.values()) <= SCOPES


def test_every_problem_has_a_type_and_every_error_type_a_problem() -> None:
    named = FULL.type_map["Error"]
    assert isinstance(named, GraphQLInterfaceType)
    codes = {code for _, code, _ in problems.TRANSLATIONS.values()}

    for error in FULL.get_possible_types(named):
        assert error.name.endswith("Error")
        problem = getattr(problems, error.name.removesuffix("Error") + "Problem")
        assert problem in {each for each, _, _ in problems.TRANSLATIONS.values()}
    assert codes == {code.name for code in ErrorCode}


def test_every_result_of_a_mutation_is_a_payload_or_an_error() -> None:
    assert FULL.mutation_type is not None
    for name, field in FULL.mutation_type.fields.items():
        union = getattr(field.type, "of_type", None)
        assert isinstance(union, GraphQLUnionType), name
        payload, *errors = [member.name for member in union.types]
        assert payload.endswith("Payload"), name
        assert all(error.endswith("Error") for error in errors), name


def test_lists_are_pages_with_a_limit() -> None:
    assert FULL.query_type is not None
    rules = read_rules(FULL)
    for name, field in FULL.query_type.fields.items():
        if str(field.type).endswith("Connection!"):
            rule = rules.of("Query", name)
            assert next(page.name for page in rule.per) == "first", name
            assert rule.page_max <= 500
