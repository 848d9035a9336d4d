"""The document store: each document is parsed, limited, validated and analysed once.

Kept by the SHA-256 of text and operation name, least recently used out first, bounded by number and
by estimated size. A refusal is kept like a document, so repeating a bad one costs nothing either.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    TokenKind,
    parse,
    specified_rules,
    validate,
)

from schema.endpoint.analysis import Demands, analyse
from schema.endpoint.limits import check_limits, check_tokens
from schema.endpoint.plain import Reads
from schema.endpoint.ports import Caller, Limits
from schema.endpoint.problems import LimitExceeded, Refusal
from schema.endpoint.rules import Rules

_TOKEN_BYTES: Final = 800
"""Memory of a parsed document per token, measured: tokens, nodes, locations, what reads it."""
_ENTRY_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that may be executed, and what it demands."""

    document: DocumentNode
    operation: OperationDefinitionNode
    demands: Demands
    reads: Reads | None
    """What the executor made for it; None where a directive may decide what is selected."""

    @property
    def is_query(self) -> bool:
        """Whether the operation only reads."""
        return self.operation.operation is OperationType.QUERY

    @property
    def is_mutation(self) -> bool:
        """Whether the operation writes."""
        return self.operation.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        """Whether the operation goes on."""
        return self.operation.operation is OperationType.SUBSCRIPTION

    def admit(self, variables: Mapping[str, Any], caller: Caller, limits: Limits) -> dict[str, int]:
        """Scopes, then cost: what it costs and what is left. Raises: Refusal, LimitExceeded."""
        missing = sorted(self.demands.scopes - caller.scopes)
        if missing:
            message = f"The API key lacks the scope {', '.join(missing)}."
            raise Refusal.because("FORBIDDEN", message, status=403, missingScopes=missing)
        allowed = limits.cost if caller.cost_max is None else caller.cost_max
        cost = self.demands.cost.value(variables)
        if cost > allowed:
            message = f"The request costs {cost}, allowed are {allowed}. Ask for smaller pages."
            raise LimitExceeded("cost", allowed, message)
        return {"requested": cost, "limit": allowed, "remaining": allowed - cost}


def _has_directive(document: DocumentNode) -> bool:
    """Whether a selection may depend on a variable, by @skip or @include."""
    token = document.loc.start_token if document.loc else None
    while token and token.kind is not TokenKind.AT:
        token = token.next
    return token is not None


class DocumentStore:
    """Prepared documents and refusals of one schema."""

    def __init__(
        self, schema: GraphQLSchema, rules: Rules, limits: Limits, *, production: bool
    ) -> None:
        self._schema = schema
        self._rules = rules
        self._limits = limits
        self._hide_suggestions = production
        self._validation = list(specified_rules)
        if production:
            self._validation.append(NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[bytes, tuple[Prepared | Refusal, int]] = OrderedDict()
        self._bytes = 0
        self._pinned: dict[bytes, Prepared] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def estimated_bytes(self) -> int:
        """Estimated memory of what is kept."""
        return self._bytes

    def get(self, text: str, operation_name: str | None) -> Prepared | Refusal:
        """The prepared document, or why it is refused."""
        key = _key(text, operation_name)
        if pinned := self._pinned.get(key):
            self.hits += 1
            return pinned
        if found := self._kept.get(key):
            self.hits += 1
            self._kept.move_to_end(key)
            return found[0]
        self.misses += 1
        prepared, size = self._prepare(text, operation_name)
        self._keep(key, prepared, size)
        return prepared

    def pin(self, text: str) -> None:
        """Prepare every operation of a document now, and keep it for good. Raises: Refusal."""
        document = self._parse(text)
        operations = [
            node for node in document.definitions if isinstance(node, OperationDefinitionNode)
        ]
        names: list[str | None] = [node.name.value for node in operations if node.name]
        if len(operations) < 2:
            names.append(None)
        for name in names:
            self._pinned[_key(text, name)] = self._check(document, name)

    def _prepare(self, text: str, operation_name: str | None) -> tuple[Prepared | Refusal, int]:
        try:
            document = self._parse(text)
            prepared = self._check(document, operation_name)
        except Refusal as refusal:
            # What it was raised from would keep the parser with every token alive.
            refusal.__context__ = None
            told = sum(len(error["message"]) for error in refusal.errors)
            return refusal.with_traceback(None), _ENTRY_BYTES + 2 * told
        tokens = document.token_count
        return prepared, _ENTRY_BYTES + 4 * len(text) + _TOKEN_BYTES * tokens

    def _parse(self, text: str) -> DocumentNode:
        limits = self._limits
        if len(text) > limits.characters:
            message = f"The document may have at most {limits.characters} characters."
            raise LimitExceeded("characters", limits.characters, message)
        try:
            return parse(text, max_lexical_tokens=limits.tokens, max_comments=limits.comments)
        except GraphQLError as error:
            if "Parsing aborted" in error.message:
                raise LimitExceeded("tokens", limits.tokens, error.message) from None
            raise Refusal.of("GRAPHQL_PARSE_FAILED", [error]) from None

    def _check(self, document: DocumentNode, operation_name: str | None) -> Prepared:
        check_tokens(document, self._limits)
        check_limits(document, self._limits)
        errors = validate(
            self._schema,
            document,
            self._validation,
            max_errors=self._limits.errors,
            hide_suggestions=self._hide_suggestions,
        )
        if errors:
            raise Refusal.of("GRAPHQL_VALIDATION_FAILED", errors)
        operation = _choose(document, operation_name)
        fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        demands = analyse(self._schema, self._rules, fragments, operation)
        if operation.operation is OperationType.MUTATION and len(demands.root_fields) > 1:
            message = "A mutation may have one root field, so that its outcome is one."
            raise LimitExceeded("mutations", 1, message)
        return Prepared(document, operation, demands, None if _has_directive(document) else {})

    def _keep(self, key: bytes, prepared: Prepared | Refusal, size: int) -> None:
        self._kept[key] = (prepared, size)
        self._bytes += size
        while len(self._kept) > self._limits.store_entries or (
            self._bytes > self._limits.store_bytes and len(self._kept) > 1
        ):
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= dropped


def _key(text: str, operation_name: str | None) -> bytes:
    return sha256(f"{operation_name or ''}\0{text}".encode()).digest()


def _choose(document: DocumentNode, operation_name: str | None) -> OperationDefinitionNode:
    """The operation to execute. Raises: Refusal."""
    operations = [
        node for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    if operation_name:
        named = [node for node in operations if node.name and node.name.value == operation_name]
        if named:
            return named[0]
        message = f"There is no operation named {operation_name[:80]}."
        raise Refusal.because("OPERATION_NOT_FOUND", message)
    if len(operations) == 1:
        return operations[0]
    message = "`operationName` must say which of the operations to execute."
    raise Refusal.because("OPERATION_NOT_FOUND", message)
