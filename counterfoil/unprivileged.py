"""Runs PostgreSQL without the rights of root, which it refuses to have.

In a container or on a rented machine one is often root, and folders such as /root may be closed to
everybody else. Three ways are tried, the least intrusive first; an ordinary user needs none.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.errors import Unavailable

NOBODY: Final = 65534


class CannotDropRoot(Unavailable):
    """PostgreSQL does not run as root, and this machine lets root become nobody in no way."""

    code = "CANNOT_DROP_ROOT"

    def __str__(self) -> str:
        return (
            f"{self.message} Remedies: run as an ordinary user, or set DATABASE_URL to a running "
            "server, or put COUNTERFOIL_DATA_DIR where everybody may enter, such as /var/tmp."
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """How a program is started so that it is not root, and who then owns its files."""

    prefix: tuple[str, ...] = ()
    owner: int | None = None
    popen_arguments: dict[str, Any] = field(default_factory=dict)

    def own(self, folder: Path) -> None:
        """Give a folder and all in it to the owner."""
        if self.owner is None or folder.stat().st_uid == self.owner:
            return
        for place, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(Path(place, name), self.owner, self.owner, follow_symlinks=False)


def choose_identity(folder: Path, program: Path) -> Identity:
    """The way in which `program` can be run and `folder` written. Raises: CannotDropRoot."""
    if os.geteuid() != 0:
        return Identity()
    for identity in _identities():
        identity.own(folder)
        if _works(identity, folder, program):
            return identity
    raise CannotDropRoot(folder=str(folder))


def _identities() -> Iterator[Identity]:
    # A user namespace in which root is called nobody: files stay root's, so closed folders open.
    if unshare := shutil.which("unshare"):
        arguments = (unshare, "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
        yield Identity(arguments, owner=0)
    yield Identity(
        owner=NOBODY,
        popen_arguments={"user": NOBODY, "group": NOBODY, "extra_groups": []},
    )
    # Containers forbid namespaces but keep this one capability, which opens closed folders.
    if setpriv := shutil.which("setpriv"):
        capability = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
        arguments = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        yield Identity((*arguments, *capability), owner=NOBODY)


def _works(identity: Identity, folder: Path, program: Path) -> bool:
    script = 'test "$(id -u)" != 0 && test -w "$0" && "$1" --version'
    try:
        subprocess.run(  # noqa: S603 - constants and our own paths
            [*identity.prefix, "/bin/sh", "-c", script, str(folder), str(program)],
            capture_output=True,
            timeout=20,
            check=True,
            **identity.popen_arguments,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True
