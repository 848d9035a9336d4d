"""The documents that promise to work are worked through as a newcomer would."""

import shutil

import pytest

from tests.docs.blocks import ROOT, Block, Reader, blocks_of

pytestmark = pytest.mark.timeout(240)


def follow_all(reader: Reader, blocks: list[Block]) -> list[str]:
    """What is not as written, with the line it is written on."""
    return [
        f"{block.label}: {difference}" for block in blocks for difference in reader.follow(block)
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial's shell blocks use curl")
def test_the_tutorial_works_from_beginning_to_end(reader: Reader) -> None:
    blocks = list(blocks_of(ROOT / "docs" / "tutorial.md"))

    assert sum(block.language == "graphql" for block in blocks) >= 14
    assert follow_all(reader, blocks) == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's shell block uses curl")
def test_the_first_payment_of_the_readme_works_twice(reader: Reader) -> None:
    written = [one for one in blocks_of(ROOT / "README.md") if one.language == "sh"]
    (block,) = [one for one in written if "paymentCreate" in one.text]
    told = []

    for _ in range(2):
        output, status = reader.run(block)
        assert status == 0, output
        told.append(output)

    assert '"status":"CAPTURED"' in told[0]
    assert '"replayed":false' in told[0]
    assert '"replayed":true' in told[1]
