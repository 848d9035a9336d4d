"""The prefilled tabs are valid against the schema that the server exports."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
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
    ]
    assert all(text.startswith(f"# {number}. ") for number, text in enumerate(texts, 1))


def test_a_field_the_schema_does_not_have_is_found(schema: GraphQLSchema) -> None:
    document = parse("{ viewer { noSuchField } }")

    errors: list[GraphQLError] = validate(schema, document)

    assert errors
