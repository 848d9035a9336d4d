"""The command line of the product, one command a process."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.programs import Program


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, **environment: str) -> Ended:
    """`python -m counterfoil …`, with no setting but those given."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")
    }
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = Program(("counterfoil", *arguments), {**inherited, **environment}, out, err)
        return Ended(process.wait(120), out.read_text(), err.read_text())
