"""The example of each root field is one: it fits the schema, and asks for the field it explains."""

import re

import pytest
from graphql import FieldNode, GraphQLSchema, OperationDefinitionNode, parse, validate

from schema import build
from schema.examples import EXAMPLES, with_example

FULL, STOREFRONT = (view._schema for view in build())
_BLOCK = re.compile(r"^(.+)\n\n```graphql\n(.+)\n```$", re.DOTALL)


def root_fields(view: GraphQLSchema) -> dict[str, str]:
    """Name and description of each root field."""
    roots = (view.query_type, view.mutation_type, view.subscription_type)
    return {
        name: field.description or ""
        for root in roots
        if root is not None
        for name, field in root.fields.items()
    }


def test_every_root_field_has_an_example_and_no_other() -> None:
    assert set(root_fields(FULL)) == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_valid_and_asks_for_its_field(name: str) -> None:
    document = parse(EXAMPLES[name])

    [operation] = document.definitions

    assert validate(FULL, document) == []
    assert isinstance(operation, OperationDefinitionNode)
    [asked] = operation.selection_set.selections
    assert isinstance(asked, FieldNode)
    assert asked.name.value == name
    assert max(map(len, EXAMPLES[name].splitlines())) <= 92, "it fits the documentation's column"


@pytest.mark.parametrize("view", [FULL, STOREFRONT], ids=["full", "storefront"])
def test_descriptions_carry_the_example_once(view: GraphQLSchema) -> None:
    for name, description in root_fields(view).items():
        shown = _BLOCK.match(description)
        assert shown, name
        assert shown[2] == EXAMPLES[name]
        assert "```" not in shown[1]


def test_a_field_without_an_example_keeps_its_description() -> None:
    assert with_example("noSuchField", "What it is.") == "What it is."
