"""Structural limits of a document, checked before it is validated.

Each definition is walked once, without recursion; what its fragments contribute is added up in
dependency order, so a bomb of fragments that double each other costs as much as it is long. Only a
document found to be small is then written out in full, to count how often one path is selected.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from graphql import (
    DocumentNode,
    ExecutableDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    TokenKind,
)

from schema.endpoint.ports import Limits
from schema.endpoint.problems import LimitExceeded, Refusal

_SATURATED: Final = 1_000_000
_INTROSPECTION: Final = frozenset({"__schema", "__type"})


@dataclass(slots=True)
class Size:
    """What one definition holds, its fragments written out. Counts saturate at a million."""

    fields: int = 0
    selections: int = 0
    aliases: int = 0
    directives: int = 0
    depth: int = 0
    introspection_depth: int = 0
    nesting: int = 0

    def add(self, spread: "Spread", fragment: "Size") -> None:
        """Write a fragment out at the place of its spread."""
        self.fields = min(_SATURATED, self.fields + fragment.fields)
        self.selections = min(_SATURATED, self.selections + fragment.selections)
        self.aliases = min(_SATURATED, self.aliases + fragment.aliases)
        self.directives = min(_SATURATED, self.directives + fragment.directives)
        self.nesting = max(self.nesting, spread.nesting + fragment.nesting)
        deepest = max(fragment.depth, fragment.introspection_depth)
        if spread.introspects:
            self.introspection_depth = max(self.introspection_depth, spread.depth + deepest)
        else:
            self.depth = max(self.depth, spread.depth + fragment.depth)
            below = spread.depth + fragment.introspection_depth
            self.introspection_depth = max(self.introspection_depth, below)


@dataclass(frozen=True, slots=True)
class Spread:
    """Where a fragment is spread: below how many fields, below how many levels of any kind."""

    name: str
    depth: int
    nesting: int
    introspects: bool


@dataclass(slots=True)
class _Definition:
    own: Size = field(default_factory=Size)
    spreads: list[Spread] = field(default_factory=list)


def check_tokens(document: DocumentNode, limits: Limits) -> None:
    """Literals in the text keep the same rules as variables. Raises: Refusal."""
    token = document.loc.start_token if document.loc else None
    while token:
        value = token.value or ""
        if token.kind is TokenKind.INT and len(value.lstrip("-")) > limits.integer_digits:
            message = f"An integer has more than {limits.integer_digits} digits."
            raise Refusal.because("GRAPHQL_PARSE_FAILED", message)
        if token.kind in {TokenKind.STRING, TokenKind.BLOCK_STRING} and "\0" in value:
            raise Refusal.because("BAD_TEXT", "Text may not contain NUL characters.")
        token = token.next


def check_limits(document: DocumentNode, limits: Limits) -> None:
    """Raises: LimitExceeded, Refusal (fragments that contain themselves)."""
    definitions = [
        node for node in document.definitions if isinstance(node, ExecutableDefinitionNode)
    ]
    fragments = {
        node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)
    }
    operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
    if len(fragments) + len(operations) < len(definitions):
        raise Refusal.because("GRAPHQL_VALIDATION_FAILED", "Two fragments have the same name.")
    _limit("operations", len(operations), limits.operations)
    _limit("fragments", len(definitions) - len(operations), limits.fragments)
    measured = {name: _measure(node) for name, node in fragments.items()}
    sizes = _write_out(measured)
    used = {spread.name for item in measured.values() for spread in item.spreads}
    roots: list[ExecutableDefinitionNode] = [*operations]
    roots += [node for name, node in fragments.items() if name not in used]
    _check_size(_total(roots, sizes), limits)
    for root in roots:
        _check_repetition(root, fragments, limits)


def _limit(limit: str, found: int, allowed: int) -> None:
    if found > allowed:
        shown = "more than a million" if found >= _SATURATED else found
        message = f"Too many {limit} in one request: {shown}, allowed are {allowed}."
        raise LimitExceeded(limit, allowed, message)


def _measure(definition: ExecutableDefinitionNode) -> _Definition:
    """One definition by itself: every selection is seen once."""
    measured = _Definition()
    own = measured.own
    own.directives = len(definition.directives or ())
    if isinstance(definition, OperationDefinitionNode):
        variables = definition.variable_definitions or ()
        own.directives += sum(len(variable.directives or ()) for variable in variables)
    introspects = isinstance(
        definition, FragmentDefinitionNode
    ) and definition.type_condition.name.value.startswith("__")
    stack: list[tuple[SelectionSetNode, int, int, bool]] = [
        (definition.selection_set, 0, 0, introspects)
    ]
    while stack:
        selection_set, depth, nesting, introspects = stack.pop()
        for node in selection_set.selections:
            own.selections += 1
            own.directives += len(node.directives or ())
            own.nesting = max(own.nesting, nesting + 1)
            match node:
                case FieldNode():
                    name = node.name.value
                    inside = introspects or name in _INTROSPECTION
                    _count_field(own, node, depth + 1, introspects=inside)
                    if node.selection_set:
                        stack.append((node.selection_set, depth + 1, nesting + 1, inside))
                case InlineFragmentNode():
                    stack.append((node.selection_set, depth, nesting + 1, introspects))
                case FragmentSpreadNode():
                    spread = Spread(node.name.value, depth, nesting + 1, introspects)
                    measured.spreads.append(spread)
                case _:
                    raise TypeError(node)
    return measured


def _count_field(size: Size, node: FieldNode, depth: int, *, introspects: bool) -> None:
    size.fields += 1
    size.aliases += node.alias is not None
    if introspects:
        size.introspection_depth = max(size.introspection_depth, depth)
    else:
        size.depth = max(size.depth, depth)


def _write_out(measured: Mapping[str, _Definition]) -> dict[str, Size]:
    """The size of each fragment with all fragments it spreads, each computed once."""
    sizes: dict[str, Size] = {}
    open_: set[str] = set()

    def visit(name: str) -> Size:
        if name in sizes:
            return sizes[name]
        if name in open_:
            message = f"Fragment {name[:80]} contains itself."
            raise Refusal.because("GRAPHQL_VALIDATION_FAILED", message)
        open_.add(name)
        definition = measured[name]
        for spread in definition.spreads:
            if spread.name in measured:
                definition.own.add(spread, visit(spread.name))
        sizes[name] = definition.own
        return definition.own

    for name in measured:
        visit(name)
    return sizes


def _total(roots: list[ExecutableDefinitionNode], sizes: Mapping[str, Size]) -> Size:
    """Counts of all roots together, depths of the deepest."""
    total = Size()
    for root in roots:
        if isinstance(root, FragmentDefinitionNode):
            size = sizes[root.name.value]
        else:
            measured = _measure(root)
            size = measured.own
            for spread in measured.spreads:
                size.add(spread, sizes.get(spread.name, Size()))
        total.add(Spread("", 0, 0, introspects=False), size)
    return total


def _check_size(size: Size, limits: Limits) -> None:
    _limit("fields", size.fields, limits.fields)
    _limit("selections", size.selections, limits.selections)
    _limit("aliases", size.aliases, limits.aliases)
    _limit("directives", size.directives, limits.directives)
    for limit, found, allowed in (
        ("depth", size.depth, limits.depth),
        ("introspection_depth", size.introspection_depth, limits.introspection_depth),
        ("nesting", size.nesting, limits.nesting),
    ):
        if found > allowed:
            message = f"The request is {found} levels deep ({limit}), allowed are {allowed}."
            raise LimitExceeded(limit, allowed, message)


def _check_repetition(
    root: ExecutableDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode], limits: Limits
) -> None:
    """Validation compares all pairs of fields that share a response path: bound the pairs.

    Only called for documents within the other limits, so writing them out is cheap.
    """
    repeated: Counter[tuple[str, ...]] = Counter()
    stack: list[tuple[SelectionSetNode, tuple[str, ...]]] = [(root.selection_set, ())]
    while stack:
        selection_set, path = stack.pop()
        for node in _flat(selection_set, fragments):
            here = (*path, (node.alias or node.name).value)
            repeated[here] += 1
            if node.selection_set:
                stack.append((node.selection_set, here))
    for path, times in repeated.most_common(1):
        if times > limits.same_path:
            message = f"{'.'.join(path)[:80]} is selected {times} times."
            raise LimitExceeded("same_path", limits.same_path, message)


def _flat(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """The fields of a selection set, fragments written out."""
    stack: list[SelectionNode] = list(selection_set.selections)
    while stack:
        node = stack.pop()
        match node:
            case FieldNode():
                yield node
            case InlineFragmentNode():
                stack.extend(node.selection_set.selections)
            case FragmentSpreadNode() if node.name.value in fragments:
                stack.extend(fragments[node.name.value].selection_set.selections)
            case _:
                pass
