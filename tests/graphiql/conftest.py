"""Builds the page once per version of its sources; later runs take it from the data directory."""

from pathlib import Path

import pytest

from counterfoil.graphiql_build import Building, Failed, PageBuild, Ready

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def page_data_dir() -> Path:
    """A data directory that holds the built page: the same one `make serve` fills."""
    data_dir = ROOT / ".data"
    build = PageBuild(data_dir=data_dir, sources=ROOT / "graphiql")
    if isinstance(build.state, Building):
        build.state = await build._attempt()
    if isinstance(build.state, Failed):
        pytest.fail(f"{build.state.reason}\n{build.state.output}")
    assert isinstance(build.state, Ready)
    return data_dir
