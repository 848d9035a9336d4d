"""What commands share: the settings, the tenant, who acts; and one way to run on the database."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from core.database import Database
    from counterfoil.settings import Settings

Result = TypeVar("Result")

out = Console()
err = Console(stderr=True)

TenantName = Annotated[str, typer.Option("--tenant", help="Name of the tenant.")]


def read_settings() -> "Settings":
    from counterfoil.settings import Settings

    return Settings.read()


def encryption_key_of(settings: "Settings") -> bytes:
    """The master key: the operator's, or the one the demo keeps in the data folder."""
    from counterfoil.startup import with_encryption_key

    return with_encryption_key(settings).encryption_key_bytes


def for_tenant(
    name: str, run: Callable[["Database", int, "Settings"], Awaitable[Result]]
) -> Result:
    """Run something on the database for a tenant. Raises: TenantNotFound."""
    from core.database import Database, DatabaseSettings
    from counterfoil.startup import bring_up_to_date, with_database
    from tenants import find_tenant

    async def inside(settings: "Settings") -> Result:
        database = await Database.open(DatabaseSettings(settings.app_database_url, pool_size=2))
        try:
            return await run(database, await find_tenant(database, name), settings)
        finally:
            await database.close()

    with with_database(read_settings()) as settings:
        bring_up_to_date(settings)
        return asyncio.run(inside(settings))


def say(text: str) -> None:
    """Print a text as it is, so that what stands in it can be copied."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def listing(*whole: str, about: str) -> Table:
    """A table for 80 columns; `whole` columns are never cut: commands are given what they show."""
    columns = (Column(name, no_wrap=True) for name in whole)
    return Table(*columns, Column(about, overflow="fold"), show_lines=True)


def operator() -> str:
    """Who the audit log names for what is done here."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"


def fresh_correlation_id() -> str:
    from core.identifiers import new_id

    return f"cli-{new_id()}"
