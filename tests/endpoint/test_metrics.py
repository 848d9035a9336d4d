"""Figures of several endpoints in one registry."""

from core.telemetry import new_registry
from schema.endpoint import GraphQLMetrics
from tests.endpoint.sample import Client


async def test_documents_are_those_of_all_endpoints_whichever_was_asked_last() -> None:
    registry = new_registry()
    metrics = GraphQLMetrics(registry)
    one, other = Client(metrics=metrics), Client(metrics=metrics)

    for client, query in ((one, "{ hello }"), (one, "{ again: hello }"), (other, "{ hello }")):
        assert (await client.query(query)).status_code == 200
    assert (await other.query("{ hello }")).status_code == 200

    assert registry.get_sample_value("counterfoil_graphql_documents") == 3
    assert registry.get_sample_value("counterfoil_graphql_document_misses") == 3
    assert registry.get_sample_value("counterfoil_graphql_document_hits") == 1
