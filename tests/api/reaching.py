"""From the exported SDL: every guarded field, what it needs, and a document that reaches it.

Independent of the code that enforces the directives: only the text of the schema is read.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from graphql import (
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    NamedTypeNode,
    ObjectTypeDefinitionNode,
    UnionTypeDefinitionNode,
    parse,
    print_ast,
)

from core.identifiers import encode, new_id
from schema.build import build, export_sdl

_BARE: Final = new_id()
ARGUMENTS: Final[Mapping[str, str]] = {
    kind: encode(prefix, _BARE)
    for kind, prefix in {
        "payment": "pay",
        "attempt": "att",
        "operation": "op",
        "refund": "ref",
        "saved method": "sm",
        "account": "acc",
        "transaction": "txn",
        "entry": "ent",
        "hold": "hld",
        "provider": "prv",
        "webhook": "whk",
        "discrepancy": "dis",
        "audit": "aud",
    }.items()
}
"""Ids that name nothing: who may ask is decided before anything is looked up."""

_LITERALS: Final[Mapping[str, str]] = {
    "IdempotencyKey": '"short-key"',
    "CurrencyCode": '"EUR"',
    "DateTime": '"2026-03-01T00:00:00Z"',
}
"""Of the other scalars an empty text will do: it passes as GraphQL and is then refused, so that no
mutation does anything.
"""

_ROOTS: Final = ("Query", "Mutation", "Subscription")


@dataclass(frozen=True, slots=True)
class Reached:
    """A field, the scopes on the way to it, and a document that asks for it."""

    label: str
    own_scopes: frozenset[str]
    scopes: frozenset[str]
    document: str

    @property
    def is_root(self) -> bool:
        return self.label.partition(".")[0] in _ROOTS


@dataclass(frozen=True, slots=True)
class _Way:
    """From a root to a type: what opens and closes around a selection, and what it needs."""

    opening: str = ""
    closing: str = ""
    scopes: frozenset[str] = frozenset()


class _Sdl:
    """The schema as text says it."""

    def __init__(self, text: str) -> None:
        definitions = parse(text).definitions
        self.objects = {
            node.name.value: node
            for node in definitions
            if isinstance(node, ObjectTypeDefinitionNode)
        }
        self.inputs = {
            node.name.value: node
            for node in definitions
            if isinstance(node, InputObjectTypeDefinitionNode)
        }
        self.enums = {
            node.name.value: node
            for node in definitions
            if isinstance(node, EnumTypeDefinitionNode)
        }
        self.abstract = {
            node.name.value: node
            for node in definitions
            if isinstance(node, UnionTypeDefinitionNode | InterfaceTypeDefinitionNode)
        }

    def possible(self, name: str) -> list[str]:
        """The object types behind a type."""
        node = self.abstract.get(name)
        if node is None:
            return [name] if name in self.objects else []
        if isinstance(node, UnionTypeDefinitionNode):
            return [member.name.value for member in node.types or ()]
        return [
            type.name.value
            for type in self.objects.values()
            if any(interface.name.value == name for interface in type.interfaces or ())
        ]

    def fields(self, type: str) -> tuple[FieldDefinitionNode, ...]:
        return tuple(self.objects[type].fields or ())


def scopes_of(node: Any) -> frozenset[str]:
    """What `@requires` on a definition says."""
    return frozenset(
        argument.value.value
        for directive in node.directives or ()
        if directive.name.value == "requires"
        for argument in directive.arguments or ()
    )


def _named(type: Any) -> str:
    while not isinstance(type, NamedTypeNode):
        type = type.type
    return type.name.value


def _call(field: FieldDefinitionNode) -> str:
    """The field with its required arguments."""
    given = _given(field.arguments or ())
    return field.name.value + (f"({given})" if given else "")


def _given(inputs: Iterable[Any]) -> str:
    """A value for each argument or input field that must be there."""
    return ", ".join(
        f"{one.name.value}: {_value(print_ast(one.type))}"
        for one in inputs
        if print_ast(one.type).endswith("!") and one.default_value is None
    )


def _value(type: str) -> str:
    bare = type.strip("[]!")
    if type.startswith("["):
        return "[]"
    if bare in _sdl().inputs:
        return f"{{{_given(_sdl().inputs[bare].fields or ())}}}"
    if bare in _sdl().enums:
        return (_sdl().enums[bare].values or ())[0].name.value
    return _LITERALS.get(bare, '""')


@cache
def _sdl() -> _Sdl:
    return _Sdl(export_sdl())


@cache
def _ways() -> dict[str, _Way]:
    """The shortest way from a root to each object type, preferring reads."""
    sdl = _sdl()
    ways = {root: _Way(f"{root.lower()} {{", "}") for root in _ROOTS}
    queue = deque(_ROOTS)
    while queue:
        type = queue.popleft()
        for field in sdl.fields(type):
            if field.name.value in {"node", "nodes"}:
                continue
            target = _named(field.type)
            for name in sdl.possible(target):
                if name not in ways:
                    ways[name] = _step(ways[type], field, name, narrows=target != name)
                    queue.append(name)
    return ways


def _step(way: _Way, field: FieldDefinitionNode, name: str, *, narrows: bool) -> _Way:
    scopes = way.scopes | scopes_of(field)
    opening, closing = f"{way.opening} {_call(field)} {{", f"}}{way.closing}"
    if narrows:
        opening, closing = f"{opening} ... on {name} {{", f"}} {closing}"
        scopes |= scopes_of(_sdl().objects[name])
    return _Way(opening, closing, scopes)


@cache
def reached() -> tuple[Reached, ...]:
    """Every root field and every guarded field."""
    return tuple(_reach())


def _reach() -> Iterator[Reached]:
    sdl = _sdl()
    for type, way in _ways().items():
        for field in sdl.fields(type):
            own = scopes_of(field)
            if not own and type not in _ROOTS:
                continue
            is_leaf = not sdl.possible(_named(field.type))
            selection = "" if is_leaf else " { __typename }"
            document = f"{way.opening} {_call(field)}{selection} {way.closing}"
            yield Reached(f"{type}.{field.name.value}", own, way.scopes | own, document)


def guarded_fields() -> set[str]:
    """Every field with a scope, found by looking at each definition."""
    return {
        f"{type}.{field.name.value}"
        for type, node in _sdl().objects.items()
        for field in node.fields or ()
        if scopes_of(field)
    }


@cache
def storefront_fields() -> frozenset[str]:
    """Every field of the browser's view."""
    view = _Sdl(build()[1].as_str())
    return frozenset(
        f"{type}.{field.name.value}" for type in view.objects for field in view.fields(type)
    )
