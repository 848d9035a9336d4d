"""Named places where a test may have the process die, as `kill -9` would.

`KILL_AT=name` in the environment, read once at import, kills at that place; `KILL_AT=name:3` at
the third passage. Unset, a kill point is one comparison.
"""

import itertools
import os
from typing import Final

EXIT_STATUS: Final = 137
"""What a shell reports for a process that died of SIGKILL."""

_NAME, _, _PASSAGE = os.environ.get("KILL_AT", "").partition(":")
_passages = itertools.count(1)


def kill_point(name: str) -> None:
    """Die here, if the environment says so: no cleanup, no rollback, no goodbye."""
    if name == _NAME and next(_passages) >= int(_PASSAGE or 1):
        os._exit(EXIT_STATUS)
