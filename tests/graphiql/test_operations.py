"""The prefilled tabs are valid against the schema that the server exports."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    get_nullable_type,
    is_non_null_type,
    parse,
    type_from_ast,
    validate,
)
from graphql.execution.values import get_variable_values

ROOT = Path(__file__).parents[2]
OPERATIONS = sorted((ROOT / "graphiql" / "operations").glob("*.graphql"))


@pytest.fixture(scope="session")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


def variables_of(operation: Path) -> dict[str, Any]:
    """The tab's variables, with its placeholders filled as the page fills them."""
    file = operation.with_suffix(".variables.json")
    if not file.exists():
        return {}
    text = file.read_text()
    text = text.replace("$FRESH_KEY", "graphiql-00000000000000000000000000000000")
    text = text.replace("$LAST_PAYMENT", "pay_01jabcdefghjkmnpqrstvwxyz0")
    text = re.sub(r"\$MONTH_(START|END)", "2026-03-01T00:00:00.000Z", text)
    filled: dict[str, Any] = json.loads(text)
    return filled


def definition_of(document: DocumentNode) -> OperationDefinitionNode:
    (definition,) = document.definitions
    assert isinstance(definition, OperationDefinitionNode)
    return definition


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda path: path.stem)
def test_a_prefilled_operation_is_valid_against_the_exported_schema(
    operation: Path, schema: GraphQLSchema
) -> None:
    document = parse(operation.read_text())

    assert validate(schema, document) == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda path: path.stem)
def test_prefilled_variables_are_what_the_operation_declares(
    operation: Path, schema: GraphQLSchema
) -> None:
    definition = definition_of(parse(operation.read_text()))
    variables = definition.variable_definitions or ()
    declared = {variable.variable.name.value for variable in variables}

    values = get_variable_values(schema, variables, variables_of(operation))

    assert not isinstance(values, list), [error.message for error in values]
    assert set(variables_of(operation)) == declared


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda path: path.stem)
def test_prefilled_variables_leave_nothing_out_that_the_editor_would_underline(
    operation: Path, schema: GraphQLSchema
) -> None:
    """The editor takes a field that must not be null for required, although it has a default."""
    definition = definition_of(parse(operation.read_text()))
    variables = variables_of(operation)

    missing = [
        path
        for declared in definition.variable_definitions or ()
        for path in missing_in(
            variables[declared.variable.name.value],
            type_from_ast(schema, declared.type),
            declared.variable.name.value,
        )
    ]

    assert missing == []


def missing_in(value: Any, declared: Any, path: str) -> list[str]:
    """Paths of the non-null fields that an input value does not give."""
    kind = get_nullable_type(declared)
    if not isinstance(kind, GraphQLInputObjectType):
        return []
    return [
        found
        for name, input_field in kind.fields.items()
        for found in (
            missing_in(value[name], input_field.type, f"{path}.{name}")
            if name in value
            else [f"{path}.{name}"] * is_non_null_type(input_field.type)
        )
    ]


def test_every_tab_has_a_name_of_its_own_and_says_what_it_shows() -> None:
    texts = [operation.read_text() for operation in OPERATIONS]

    names = [definition_of(parse(text)).name for text in texts]

    assert [name.value for name in names if name] == [
        "FirstPayment",
        "Webhooks",
        "LedgerEntries",
        "Statement",
        "Decline",
        "Refund",
        "Providers",
        "UnknownOutcome",
        "KeepMethod",
        "SavedMethods",
        "Watch",
    ]
    assert all(text.startswith(f"# {number}. ") for number, text in enumerate(texts, 1))


def test_a_field_the_schema_does_not_have_is_found(schema: GraphQLSchema) -> None:
    document = parse("{ viewer { noSuchField } }")

    errors: list[GraphQLError] = validate(schema, document)

    assert errors
