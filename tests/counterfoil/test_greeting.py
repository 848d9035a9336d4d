from pathlib import Path

import pytest

from counterfoil.greeting import greeting
from counterfoil.settings import Settings


def test_a_newcomer_is_told_what_to_open_and_where_the_key_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    told = greeting(
        Settings(port=8123, data_dir=tmp_path / ".data", simulator_url="http://127.0.0.1:9")
    )

    assert "http://127.0.0.1:8123/graphql  <- open this in a browser" in told
    assert "demo key  .data/demo-key\n" in told
    assert "http://127.0.0.1:9 " in told


def test_nobody_is_sent_to_a_page_that_is_not_served(tmp_path: Path) -> None:
    told = greeting(Settings(graphiql=False, data_dir=tmp_path))

    assert "browser" not in told
    assert f"demo key  {tmp_path / 'demo-key'}\n" in told
