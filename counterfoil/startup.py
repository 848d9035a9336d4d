"""What must be there before anything is built: a database, its schema, the encryption key.

`prepared` yields settings in which nothing is open any more, and takes down what it put up.
"""

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog
from pydantic import SecretStr

from core.errors import Unavailable
from counterfoil.embedded_postgres import EmbeddedPostgres
from counterfoil.layout import check_layout
from counterfoil.postgres_binaries import find_binaries
from counterfoil.revision import is_current
from counterfoil.settings import InvalidSettings, Settings

log = structlog.get_logger("counterfoil.startup")


class SchemaIsOld(Unavailable):
    """The database is not at the newest schema; run `python -m counterfoil migrate` first."""

    code = "SCHEMA_IS_OLD"


@contextmanager
def prepared(settings: Settings) -> Iterator[Settings]:
    """Settings complete with a migrated database and a key.

    Raises: PostgresNotFound, PostgresFailed, MigrationFailed, SchemaIsOld, InvalidSettings.
    """
    check_layout()
    with ExitStack() as stack:
        completed = with_encryption_key(stack.enter_context(with_database(settings)))
        bring_up_to_date(completed)
        yield completed


@contextmanager
def with_database(settings: Settings) -> Iterator[Settings]:
    """The operator's database if there is one, else the embedded one, running meanwhile."""
    if settings.database_url is not None:
        yield settings
        return
    binaries = find_binaries(settings.pg_bin)
    with EmbeddedPostgres(settings.data_dir / "postgres", binaries) as server:
        server.create_database()
        log.info("postgres_ready", port=server.port, binaries=str(binaries))
        yield settings.model_copy(
            update={
                "database_url": SecretStr(server.app_url()),
                "migration_database_url": SecretStr(server.admin_url()),
                "demo": "on" if settings.demo == "auto" else settings.demo,
            }
        )


def with_encryption_key(settings: Settings) -> Settings:
    """The operator's key; for the demo one that is made once and kept in the data folder."""
    if settings.encryption_key is not None:
        return settings
    if settings.demo != "on":
        raise InvalidSettings(
            "COUNTERFOIL_ENCRYPTION_KEY: is required with a database of your own; make one with "
            "`openssl rand -base64 32` and keep it safe: without it stored secrets are lost"
        )
    path = settings.data_dir / "encryption-key"
    key = keep_secret(path, base64.b64encode(secrets.token_bytes(32)).decode("ascii"))
    return settings.model_copy(update={"encryption_key": SecretStr(key)})


def bring_up_to_date(settings: Settings) -> None:
    """Migrate unless the schema is the newest. Raises: MigrationFailed, SchemaIsOld."""
    # Asked as the admin: the login of the product may not exist yet.
    if is_current(settings.admin_database_url):
        return
    if settings.demo != "on" and settings.migration_database_url is None:
        raise SchemaIsOld
    from counterfoil.migrate import migrate  # noqa: PLC0415 - Alembic only when there is work for it

    revision = migrate(settings.admin_database_url, settings.app_database_url)
    log.info("migrated", revision=revision)


def keep_secret(path: Path, fresh: str) -> str:
    """The secret kept in a file only its owner may read; `fresh` if there is none yet.

    Two processes that start at once agree: the first complete file wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{fresh}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
    return path.read_text(encoding="ascii").strip()
