"""`make shop`: builds the example shop when something of it changed, and serves it.

Node comes from the wheel that builds GraphiQL. Who has a Node of their own can do without this
file: `npm ci && npm run build && npm start`.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from counterfoil.graphiql_build import BuildFailed, find_node, only_builder, run_npm, source_key

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
SERVER: Final = HERE / "dist" / "server.js"
_SCHEMA: Final = ROOT / "schema.graphql"


def main() -> NoReturn:
    """Build, then become the shop's server."""
    data_dir = Path(os.environ.get("COUNTERFOIL_DATA_DIR") or ROOT / ".data").resolve()
    key_file = data_dir / "demo-key"
    if "SHOP_SERVER_KEY" not in os.environ and not key_file.exists():
        sys.exit(f"There is no {key_file}: run `make serve` first, in another window.")
    try:
        asyncio.run(build(data_dir))
    except BuildFailed as failure:
        sys.exit(f"{failure.reason} {failure.remedy}\n{failure.output}")
    node, _ = find_node()
    environment = server_environment(os.environ, SHOP_SERVER_KEY_FILE=str(key_file))
    os.execve(node, [str(node), "--enable-source-maps", str(SERVER)], environment)  # noqa: S606 - our own server


def server_environment(outer: Mapping[str, str], **settings: str) -> dict[str, str]:
    """What the shop's server is told; what the caller has set already comes first."""
    names = ("PATH", "SHOP_ORIGIN", "SHOP_SERVER_KEY", "SHOP_SERVER_KEY_FILE", "COUNTERFOIL_URL")
    return settings | {name: outer[name] for name in names if name in outer}


async def build(data_dir: Path) -> None:
    """Bring `dist/` up to date: one process at a time, and only if something changed.

    Raises: BuildFailed.
    """
    home = data_dir / "storefront"
    home.mkdir(parents=True, exist_ok=True)
    async with only_builder(home / "lock"):
        if _read(HERE / "dist" / "made-from") == _fingerprint():
            return
        lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
        if _read(HERE / "node_modules" / ".made-from") != lock:
            print("Fetching what the shop is built with …")
            fetch = ("ci", "--prefer-offline", "--no-audit", "--no-fund")
            await _run(home, fetch, remedy="Check the network, then try again.")
            (HERE / "node_modules" / ".made-from").write_text(lock)
        print("Building the shop …")
        await _run(home, ("run", "build"), remedy="Read the output below.")
        (HERE / "dist" / "made-from").write_text(_fingerprint())


async def _run(home: Path, arguments: tuple[str, ...], *, remedy: str) -> None:
    await run_npm(HERE, home / "npm-cache", arguments, remedy=remedy, log=home / "npm.log")


def _fingerprint() -> str:
    """Of everything the build is made from."""
    return f"{source_key(HERE)} {hashlib.sha256(_SCHEMA.read_bytes()).hexdigest()}"


def _read(stamp: Path) -> str:
    return stamp.read_text() if stamp.exists() else ""


if __name__ == "__main__":
    main()
