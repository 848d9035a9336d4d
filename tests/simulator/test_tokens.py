"""What is said of the test tokens, wherever it is said."""

import json
import re
from pathlib import Path

from simulator.tokens import MEANINGS, Behaviour

ROOT = Path(__file__).resolve().parents[2]
TOLD = [(f"tok_{behaviour}", MEANINGS[behaviour]) for behaviour in Behaviour]


def test_the_document_says_what_the_simulator_means() -> None:
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `(tok_\w+)` \| (.+) \|$", text, re.MULTILINE) == TOLD


def test_graphiql_says_what_the_simulator_means() -> None:
    shown = json.loads((ROOT / "graphiql" / "src" / "tokens.json").read_text(encoding="utf-8"))

    assert [(one["token"], one["does"]) for one in shown] == [
        (token, does.replace("`", "")) for token, does in TOLD
    ]
