"""What to do next, for whoever has just started the server and waits."""

import os
from pathlib import Path

from counterfoil.settings import Settings


def greeting(settings: Settings) -> str:
    """The addresses to open and where the demo key is, ready to be printed."""
    lines = [("API", f"POST {settings.public_url}/graphql")]
    if settings.graphiql:
        lines.append(("GraphiQL", f"{settings.public_url}/graphql  <- open this in a browser"))
    lines.append(("demo key", _as_typed(settings.data_dir / "demo-key")))
    if settings.simulator_url:
        lines.append(("provider", f"{settings.simulator_url}  (simulated: no real money)"))
    lines.append(("stop", "Ctrl-C"))
    told = "\n".join(f"    {name:<9} {what}" for name, what in lines)
    return f"\n  Counterfoil is ready.\n\n{told}\n"


def _as_typed(path: Path) -> str:
    """The path as one would type it here: short where it can be."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
