"""Brings a database to the newest schema: roles first, as the admin; then tables, as cf_owner.

Alembic decides the order, the bodies are the plain files of migrations/sql. Forward only: a
mistake is mended by the next migration. Several processes may migrate at once; one does the work.
"""

from contextlib import closing
from typing import Final
from urllib.parse import unquote, urlsplit

import alembic.command
import psycopg
from alembic import op
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, create_engine, make_url, pool

from counterfoil.layout import ROOT
from counterfoil.revision import MigrationFailed, head_revision

BODIES: Final = ROOT / "migrations" / "sql"
ONE_AT_A_TIME: Final = 6_279_501_337_205_774  # any number, the same in every process
LOCK_TIMEOUT: Final = "2s"  # a waiting ALTER TABLE blocks everybody behind it
ROLE_NAMES: Final = ("cf_owner", "cf_ledger", "cf_app")


def migrate(admin_url: str, app_url: str) -> str:
    """Create roles and migrate to the newest revision, which is returned.

    The login role of `app_url` is created with its password unless it exists, and may become
    cf_app. Raises: MigrationFailed; what was applied before stays, each file is all or nothing.
    """
    try:
        with closing(psycopg.connect(admin_url, autocommit=True)) as admin:
            admin.execute("SELECT pg_advisory_lock(%s)", [ONE_AT_A_TIME])
            _ensure_roles(admin, app_url)
            _upgrade(admin_url)
            return head_revision()
    except psycopg.Error as error:
        raise MigrationFailed(reason=str(error).strip()) from error


def alembic_config() -> Config:
    """Alembic's settings, independent of the working directory."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return config


def run_body(name: str) -> None:
    """Run one file of migrations/sql inside the unit of work of its revision."""
    connection = op.get_bind()
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    # The driver's own connection: the body is many statements, with % and : of its own.
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute((BODIES / name).read_bytes())


def migration_connection(url: str) -> Connection:
    """A connection on which the statements of migrations run as cf_owner."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), poolclass=pool.NullPool
    )
    connection = engine.connect()
    connection.exec_driver_sql("SET ROLE cf_owner")
    connection.commit()
    return connection


def _upgrade(admin_url: str) -> None:
    config = alembic_config()
    with migration_connection(admin_url) as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
        connection.exec_driver_sql("GRANT SELECT ON alembic_version TO cf_app")
        connection.exec_driver_sql(
            "COMMENT ON TABLE alembic_version IS 'The migration the schema is at.'"
        )
        connection.exec_driver_sql(
            "COMMENT ON COLUMN alembic_version.version_num IS 'Newest applied revision.'"
        )
        connection.commit()


def _ensure_roles(admin: psycopg.Connection, app_url: str) -> None:
    """Create what is missing and grant what is not granted yet; change nothing that exists."""
    for role in ROLE_NAMES:
        _create_role(admin, role)
    _ensure_login(admin, app_url)
    for schema_role in ("cf_owner", "cf_ledger"):
        _grant(
            admin,
            "SELECT has_schema_privilege(%s, 'public', 'CREATE')",
            [schema_role],
            sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(
                sql.Identifier(schema_role)
            ),
        )
    _grant_membership(admin, "cf_ledger", "cf_owner")
    me = admin.info.user
    for role in ("cf_owner", "cf_app"):
        _grant_membership(admin, role, me)


def _ensure_login(admin: psycopg.Connection, app_url: str) -> None:
    address = urlsplit(app_url)
    user = unquote(address.username or "")
    if not user or user == admin.info.user:
        return
    _create_role(admin, user)
    row = admin.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [user]).fetchone()
    if row is not None and not row[0]:
        admin.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(user), sql.Literal(unquote(address.password or ""))
            )
        )
    if user != "cf_app":
        _grant_membership(admin, "cf_app", user)


def _create_role(admin: psycopg.Connection, role: str) -> None:
    # Roles belong to the whole cluster: another database's migration may be creating them too.
    admin.execute(
        sql.SQL(
            "DO $$ BEGIN CREATE ROLE {} NOLOGIN; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ).format(sql.Identifier(role))
    )


def _grant_membership(admin: psycopg.Connection, role: str, member: str) -> None:
    _grant(
        admin,
        "SELECT pg_has_role(%s, %s, 'MEMBER')",
        [member, role],
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(member)),
    )


def _grant(admin: psycopg.Connection, has: str, parameters: list[str], grant: sql.Composed) -> None:
    row = admin.execute(has.encode(), parameters).fetchone()
    if row is None or not row[0]:
        admin.execute(grant)
