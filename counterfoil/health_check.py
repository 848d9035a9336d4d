"""Answers a container's health check: `url URL` must answer 2xx, `file PATH` must be young."""

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 4.0
AGE_SECONDS_MAX = 30.0


def answers(url: str) -> bool:
    """Whether a GET of the URL is answered 2xx in time."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", address.path or "/")
        return connection.getresponse().status // 100 == 2
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_young(path: str) -> bool:
    """Whether the file was touched lately: its process's event loop runs."""
    try:
        return time.time() - Path(path).stat().st_mtime < AGE_SECONDS_MAX
    except OSError:
        return False


def main(kind: str, subject: str) -> int:
    healthy = answers(subject) if kind == "url" else is_young(subject)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
