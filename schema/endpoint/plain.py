"""Execution that reads plain values plainly.

Most of an answer is attributes of values: no resolver, no argument, nothing to wait for. Where
everything selected below a value is of that kind, one function made for the selection reads it
all; graphql-core, which must be ready for anything, takes many times as long for each field.

Whatever is not so, and whatever goes wrong, goes graphql-core's way, which knows the rules of
errors and nulls. An attribute may then be read twice.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from graphql import (
    Executor,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path

Read: TypeAlias = Callable[[Any], Any]
"""From a value to its part of the answer. Raises anything when the value is not as it should."""


class NotPlain(Exception):
    """The value is not what its type promises; graphql-core says what that means."""


class PlainExecutor(Executor[Any]):
    """Executes one operation, as its parent does and with the same answer, only sooner."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reads: dict[tuple[int, int], tuple[FieldDetailsList, Read | None]] = {}

    def complete_value(  # noqa: PLR0917 - the library's signature
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[Any]:
        """The answer's part for one field's value."""
        read = self._read_of(return_type, field_details_list)
        if read is not None:
            try:
                return read(result)
            except Exception:  # noqa: BLE001, S110 - the parent finds it again, and says where
                pass
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def _read_of(self, type: GraphQLOutputType, details: FieldDetailsList) -> Read | None:
        """Made once for each selection of an operation."""
        key = (id(type), id(details))
        found = self._reads.get(key)
        if found is None:
            # With the list, so that its id stays its own.
            found = self._reads[key] = (details, self._make(type, details))
        return found[1]

    def _make(self, type: GraphQLOutputType, details: FieldDetailsList) -> Read | None:
        if is_non_null_type(type):
            inner = self._make(type.of_type, details)
            return inner and _present(inner)
        if is_list_type(type):
            inner = self._make(type.of_type, details)
            return inner and _each(inner)
        if is_leaf_type(type):
            return _leaf(type.coerce_output_value)
        return self._make_object(type, details) if is_object_type(type) else None

    def _make_object(self, type: GraphQLObjectType, details: FieldDetailsList) -> Read | None:
        selected, deferred, _ = self.collect_subfields(type, details)
        fields = self._make_fields(type, selected)
        return None if deferred or fields is None else _object(type, fields)

    def _make_fields(
        self, type: GraphQLObjectType, selected: GroupedFieldSet
    ) -> list[tuple[str, Read]] | None:
        fields = []
        for name, details in selected.items():
            field_name = details[0].node.name.value
            field = self.schema.get_field(type, field_name)
            read = field and (
                _constant(type.name)
                if field_name == "__typename"
                else self._make_field(field, details)
            )
            if not read:
                return None
            fields.append((name, read))
        return fields

    def _make_field(self, field: GraphQLField, details: FieldDetailsList) -> Read | None:
        """Only for a field that Strawberry resolves by reading the attribute it is named after."""
        if field.args or not getattr(field.resolve, "_is_default", False):
            return None
        complete = self._read_of(field.type, details)
        return complete and _attribute(
            field.extensions["strawberry-definition"].python_name, complete
        )


def _constant(value: str) -> Read:
    return lambda _value: value


def _attribute(name: str, complete: Read) -> Read:
    return lambda value: complete(getattr(value, name))


def _leaf(coerce: Read) -> Read:
    def read(value: Any) -> Any:
        if value is None:
            return None
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise NotPlain
        return coerced

    return read


def _present(inner: Read) -> Read:
    def read(value: Any) -> Any:
        completed = inner(value)
        if completed is None:
            raise NotPlain
        return completed

    return read


def _each(inner: Read) -> Read:
    def read(values: Any) -> Any:
        if values is None:
            return None
        if not isinstance(values, list | tuple):
            raise NotPlain
        return [inner(value) for value in values]

    return read


def _object(type: GraphQLObjectType, fields: list[tuple[str, Read]]) -> Read:
    is_type_of: Any = type.is_type_of

    def read(value: Any) -> Any:
        if value is None:
            return None
        if is_type_of is not None and is_type_of(value, None) is not True:
            raise NotPlain
        return {name: read_field(value) for name, read_field in fields}

    return read
