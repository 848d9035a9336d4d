"""What the schema's directives demand, read once when the endpoint is built.

A scope on a field counts for every way to reach it: a field of an interface needs what any type
behind the interface needs there. A scope on a type counts when somebody narrows to that type
(`... on Payment`), which is how `node(id:)` is guarded; a field that returns the type itself speaks
for itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    is_interface_type,
)
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from core.errors import Broken
from schema.directives import Cost, Public, Requires

PAGE_SIZE_MAX: Final = 100
_BEHIND: Final = "strawberry-definition"  # where Strawberry keeps what a GraphQL type was made from
_NOTHING: Final[frozenset[str]] = frozenset()


class UnguardedField(Broken):
    """A root field says neither who may use it (@requires) nor why anybody may (@public)."""

    code = "UNGUARDED_FIELD"


class BadCost(Broken):
    """A @cost names an argument the field does not have, or a senseless number."""

    code = "BAD_COST"


@dataclass(frozen=True, slots=True)
class PageArgument:
    """An argument that multiplies a cost: a page size, or a list whose length counts."""

    name: str
    default: int | None


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What one field demands."""

    scopes: frozenset[str] = _NOTHING
    weight: int = 0
    per: tuple[PageArgument, ...] = ()
    page_max: int = PAGE_SIZE_MAX


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules by (type, field), and the scopes of types that are narrowed to."""

    fields: Mapping[tuple[str, str], FieldRule]
    narrowing: Mapping[str, frozenset[str]]

    def of(self, type_name: str, field_name: str) -> FieldRule:
        """The rule of a field; one without directives demands nothing."""
        return self.fields.get((type_name, field_name), _FREE)


_FREE: Final = FieldRule()


def read_rules(schema: GraphQLSchema) -> Rules:
    """Walk the schema. Raises: UnguardedField, BadCost."""
    _check_roots(schema)
    fields: dict[tuple[str, str], FieldRule] = {}
    narrowing: dict[str, frozenset[str]] = {}
    for name, named in schema.type_map.items():
        if not isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            continue
        if scopes := _scopes(_type_directives(named)):
            narrowing[name] = scopes
        for field_name, field in named.fields.items():
            rule = _rule_of(f"{name}.{field_name}", field)
            if rule != _FREE:
                fields[name, field_name] = rule
    _spread_to_interfaces(schema, fields)
    return Rules(fields, narrowing)


def _check_roots(schema: GraphQLSchema) -> None:
    unguarded = [
        f"{root.name}.{name}"
        for root in (schema.query_type, schema.mutation_type, schema.subscription_type)
        if root
        for name, field in root.fields.items()
        if sum(isinstance(item, Requires | Public) for item in _directives(field)) == 0
        or (_scopes(_directives(field)) and _is_public(field))
    ]
    if unguarded:
        raise UnguardedField(fields=unguarded)


def _is_public(field: GraphQLField) -> bool:
    return any(isinstance(item, Public) for item in _directives(field))


def _rule_of(label: str, field: GraphQLField) -> FieldRule:
    directives = _directives(field)
    cost = next((item for item in directives if isinstance(item, Cost)), None)
    scopes = _scopes(directives)
    if cost is None:
        return FieldRule(scopes) if scopes else _FREE
    page_max = cost.max if isinstance(cost.max, int) else PAGE_SIZE_MAX
    if cost.weight < 0 or page_max < 1:
        raise BadCost(field=label)
    return FieldRule(scopes, cost.weight, _page_arguments(label, field, cost), page_max)


def _page_arguments(label: str, field: GraphQLField, cost: Cost) -> tuple[PageArgument, ...]:
    if not cost.per:
        return ()
    if cost.per not in field.args:
        raise BadCost(field=label, per=cost.per)
    names = [cost.per]
    if cost.per == "first" and "last" in field.args:
        names.append("last")
    return tuple(PageArgument(name, _default_of(field.args[name])) for name in names)


def _default_of(argument: GraphQLArgument) -> int | None:
    value = argument.default.value if argument.default else argument.default_value
    return value if isinstance(value, int) else None


def _spread_to_interfaces(schema: GraphQLSchema, fields: dict[tuple[str, str], FieldRule]) -> None:
    """Give a field of an interface the scopes and the weight of the types behind it."""
    for interface in schema.type_map.values():
        if not is_interface_type(interface):
            continue
        for name in interface.fields:
            behind = [
                fields.get((possible.name, name), _FREE)
                for possible in schema.get_possible_types(interface)
            ]
            own = fields.get((interface.name, name), _FREE)
            heaviest = max([own, *behind], key=lambda rule: rule.weight)
            scopes = own.scopes.union(*(rule.scopes for rule in behind))
            merged = FieldRule(scopes, heaviest.weight, heaviest.per, heaviest.page_max)
            if merged != _FREE:
                fields[interface.name, name] = merged


def _directives(field: GraphQLField) -> Iterable[object]:
    behind = (field.extensions or {}).get(_BEHIND)
    return behind.directives if isinstance(behind, StrawberryField) else ()


def _type_directives(
    named: GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType,
) -> Iterable[object]:
    behind = (named.extensions or {}).get(_BEHIND)
    return (behind.directives or ()) if isinstance(behind, StrawberryObjectDefinition) else ()


def _scopes(directives: Iterable[object]) -> frozenset[str]:
    return frozenset(item.scope.name for item in directives if isinstance(item, Requires))
