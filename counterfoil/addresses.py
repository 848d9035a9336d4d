"""Addresses this process listens on."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Unavailable


class AddressTaken(Unavailable):
    """The address is taken by another program."""

    code = "ADDRESS_TAKEN"


@contextmanager
def bound(host: str, port: int, setting: str = "COUNTERFOIL_PORT") -> Iterator[socket.socket]:
    """A socket bound to our address, which is a `setting`. Raises: AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressTaken(
            address=f"{host}:{port}", reason=error.strerror, remedy=f"set {setting}"
        ) from error
    listener.set_inheritable(True)
    with listener:
        yield listener
