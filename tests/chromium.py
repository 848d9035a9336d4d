"""The browser of the tests: Debian's, which CI installs."""

from pathlib import Path
from typing import Final

import pytest

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
needs_chromium: Final = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}")
