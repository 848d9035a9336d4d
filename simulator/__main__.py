"""python -m simulator --port 8001 --data DIR"""

import argparse
import os
import sys
from pathlib import Path

from simulator.books import FolderInUse
from simulator.server import serve


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="simulator", description="A payment provider for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("COUNTERFOIL_SIMULATOR_PORT", "8001"),
        help="0 takes a free one (default: $COUNTERFOIL_SIMULATOR_PORT or 8001)",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the books")
    parser.add_argument(
        "--public-url",
        default=os.environ.get("COUNTERFOIL_SIMULATOR_PUBLIC_URL"),
        help="where browsers find it, for the 3-D Secure page",
    )
    arguments = parser.parse_args()
    try:
        serve(arguments.host, arguments.port, arguments.data, arguments.public_url)
    except OSError as error:
        print(f"simulator: {arguments.host}:{arguments.port}: {error.strerror}", file=sys.stderr)  # noqa: T201 - a program's output
        return 1
    except FolderInUse as error:
        print(f"simulator: another one keeps its books in {error}", file=sys.stderr)  # noqa: T201 - a program's output
        return 1
    except KeyboardInterrupt:
        pass  # the usual way to end it
    return 0


if __name__ == "__main__":
    sys.exit(main())
