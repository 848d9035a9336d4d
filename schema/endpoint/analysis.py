"""What a validated operation demands: scopes, and a cost that may depend on its variables.

`@skip` and `@include` are not looked at: what is written in the document counts, so that what a
document demands is computed once and never depends on a variable, except for page sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_interface_type,
    is_object_type,
)

from schema.endpoint.problems import LimitExceeded
from schema.endpoint.rules import FieldRule, Rules

_INTROSPECTION_COST: Final = {"__schema": 300, "__type": 50}
_COST_SATURATED: Final = 10**9


@dataclass(frozen=True, slots=True)
class Count:
    """A page size: fixed, or the value of a variable."""

    label: str
    fixed: int
    variable: str | None = None

    def value(self, variables: Mapping[str, Any], most: int) -> int:
        """The size asked for; an explicit null counts as the largest page. Raises: LimitExceeded.

        A value of a wrong type counts as one: coercion refuses it right after.
        """
        given = variables.get(self.variable, self.fixed) if self.variable else self.fixed
        match given:
            case None:
                return most
            case list():
                size = len(given)
            case bool():
                return 1
            case int():
                size = given
            case float() if given.is_integer():
                size = int(given)
            case _:
                return 1
        if not 0 <= size <= most:
            message = f"{self.label} must be between 0 and {most}."
            raise LimitExceeded("page_size", most, message)
        return size


@dataclass(frozen=True, slots=True)
class Page:
    """A field whose cost is multiplied by how many it returns."""

    counts: tuple[Count, ...]
    weight: int
    most: int
    below: "CostTerm"


@dataclass(slots=True)
class CostTerm:
    """A sum: a fixed part and pages."""

    fixed: int = 0
    pages: list[Page] = field(default_factory=list)

    def value(self, variables: Mapping[str, Any]) -> int:
        """The cost with these variables. Raises: LimitExceeded when a page is too large."""
        total = self.fixed
        for page in self.pages:
            times = max(1, *(count.value(variables, page.most) for count in page.counts))
            total += times * (page.weight + page.below.value(variables))
        return min(total, _COST_SATURATED)


@dataclass(frozen=True, slots=True)
class Demands:
    """What an operation demands of whoever sends it."""

    scopes: frozenset[str]
    cost: CostTerm
    root_fields: frozenset[str]
    """Response names of the root fields, __typename left out."""


@dataclass(slots=True)
class _Walk:
    schema: GraphQLSchema
    rules: Rules
    fragments: Mapping[str, FragmentDefinitionNode]
    defaults: Mapping[str, ValueNode | None]
    scopes: set[str] = field(default_factory=set)

    def selection_set(self, selections: SelectionSetNode, parent: GraphQLNamedType) -> CostTerm:
        term = CostTerm()
        for node in selections.selections:
            match node:
                case FieldNode():
                    self.add_field(term, node, parent)
                case InlineFragmentNode():
                    condition = node.type_condition
                    narrowed = self.narrow(parent, condition.name.value) if condition else parent
                    _include(term, self.selection_set(node.selection_set, narrowed))
                case FragmentSpreadNode():
                    fragment = self.fragments[node.name.value]
                    narrowed = self.narrow(parent, fragment.type_condition.name.value)
                    _include(term, self.selection_set(fragment.selection_set, narrowed))
                case _:
                    raise TypeError(node)
        return term

    def narrow(self, parent: GraphQLNamedType, name: str) -> GraphQLNamedType:
        """Step from a type to one of its fragments' types, minding the scopes of that type."""
        narrowed = self.schema.type_map[name]
        if is_abstract_type(parent) and name != parent.name:
            self.scopes |= self.rules.narrowing.get(name, frozenset())
        return narrowed

    def add_field(self, term: CostTerm, node: FieldNode, parent: GraphQLNamedType) -> None:
        name = node.name.value
        if name.startswith("__"):
            term.fixed += _INTROSPECTION_COST.get(name, 0)
            return
        assert is_object_type(parent) or is_interface_type(parent), parent
        rule = self.rules.of(parent.name, name)
        self.scopes |= rule.scopes
        below = CostTerm()
        if node.selection_set:
            result = get_named_type(parent.fields[name].type)
            below = self.selection_set(node.selection_set, result)
        if rule.per:
            term.pages.append(Page(self.counts(node, rule), rule.weight, rule.page_max, below))
        else:
            term.fixed += rule.weight
            _include(term, below)

    def counts(self, node: FieldNode, rule: FieldRule) -> tuple[Count, ...]:
        """The page sizes a field may return by: each argument given, else the default."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        label = node.name.value
        found: list[Count] = []
        for argument in rule.per:
            if argument.name in given:
                value = given[argument.name]
                found.append(self.count(f"{label}({argument.name})", value, rule, argument.default))
            elif argument.default is not None:
                found.append(Count(label, argument.default))
        return tuple(found) or (Count(label, rule.page_max),)

    def count(self, label: str, value: ValueNode, rule: FieldRule, default: int | None) -> Count:
        if not isinstance(value, VariableNode):
            return Count(label, _literal_size(value, rule.page_max))
        name = value.name.value
        declared = self.defaults.get(name)
        if declared is not None:
            fixed = _literal_size(declared, rule.page_max)
        else:
            fixed = rule.page_max if default is None else default
        return Count(label, fixed, name)


def _include(term: CostTerm, other: CostTerm) -> None:
    term.fixed += other.fixed
    term.pages.extend(other.pages)


def _literal_size(value: ValueNode, page_max: int) -> int:
    match value:
        case IntValueNode():
            return int(value.value)
        case ListValueNode():
            return len(value.values)
        case NullValueNode():
            return page_max
        case _:
            return 1


def analyse(
    schema: GraphQLSchema,
    rules: Rules,
    fragments: Mapping[str, FragmentDefinitionNode],
    operation: OperationDefinitionNode,
) -> Demands:
    """Demands of a validated operation within the structural limits (limits.py)."""
    root = schema.get_root_type(operation.operation)
    assert root is not None, "validation knows the operation type"
    defaults = {
        item.variable.name.value: item.default_value
        for item in operation.variable_definitions or ()
    }
    walk = _Walk(schema, rules, fragments, defaults)
    cost = walk.selection_set(operation.selection_set, root)
    return Demands(frozenset(walk.scopes), cost, _root_fields(operation, fragments))


def _root_fields(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> frozenset[str]:
    names: set[str] = set()
    stack: list[Sequence[object]] = [operation.selection_set.selections]
    while stack:
        for node in stack.pop():
            match node:
                case FieldNode() if node.name.value != "__typename":
                    names.add((node.alias or node.name).value)
                case InlineFragmentNode():
                    stack.append(node.selection_set.selections)
                case FragmentSpreadNode():
                    stack.append(fragments[node.name.value].selection_set.selections)
                case _:
                    pass
    return frozenset(names)
