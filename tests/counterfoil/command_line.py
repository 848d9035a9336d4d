"""Commands in processes of their own, forked from one that has everything imported already."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counterfoil.commands import main
from counterfoil.layout import ROOT

# Imported by the commands when they run; here so that each process finds them there.
from counterfoil import bootstrap, startup  # noqa: F401 # isort: skip

_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it wrote."""

    returncode: int | None
    stdout: str
    stderr: str


def run(*arguments: str, **environment: str) -> Ended:
    """`python -m counterfoil …`, with no setting but those given."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")
    }
    with tempfile.TemporaryDirectory() as folder:
        process = _FORKS.Process(
            target=_command, args=(arguments, {**inherited, **environment}, folder)
        )
        process.start()
        process.join(120)
        out, err = (Path(folder, name).read_text() for name in ("out", "err"))
        return Ended(process.exitcode, out, err)


def _command(arguments: tuple[str, ...], environment: Mapping[str, str], folder: str) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
        written = os.open(Path(folder, name), os.O_CREAT | os.O_WRONLY)
        os.dup2(written, stream.fileno())
    sys.argv = ["python -m counterfoil", *arguments]
    main()
