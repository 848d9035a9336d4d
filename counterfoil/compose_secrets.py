"""Makes the secrets of docker-compose.yml: `compose_secrets ADMIN_FOLDER APP_FOLDER`.

What only PostgreSQL and the migration may know lies apart from what the product needs. Existing
secrets are kept, so it may run at every start.
"""

import base64
import os
import secrets
import sys
from pathlib import Path


def keep(path: Path, fresh: str, mode: int) -> str:
    """The secret in a file, made from `fresh` if there is none."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(fresh)
        unfinished.chmod(mode)
        unfinished.rename(path)
    return path.read_text(encoding="ascii")


def main(admin: Path, app: Path, host: str = "postgres:5432") -> None:
    # Readable by all in a volume that only PostgreSQL, which runs as a user of its own, and the
    # migration have.
    superuser = keep(admin / "superuser-password", secrets.token_urlsafe(32), 0o444)
    keep(admin / "database-url", f"postgresql://postgres:{superuser}@{host}/counterfoil", 0o400)
    password = secrets.token_urlsafe(32)
    keep(app / "database-url", f"postgresql://cf_app:{password}@{host}/counterfoil", 0o400)
    keep(app / "encryption-key", base64.b64encode(secrets.token_bytes(32)).decode("ascii"), 0o400)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
