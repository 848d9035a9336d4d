"""The command line. Each command imports what it needs when it runs, so that `--help` is quick."""

import asyncio
import logging
import sys
from typing import Annotated

import structlog
import typer

from core.errors import CounterfoilError
from counterfoil.commands.keys import keys
from counterfoil.commands.origins import origins
from counterfoil.commands.providers import providers
from counterfoil.commands.session import err, out, read_settings

app = typer.Typer(
    help="Counterfoil: a GraphQL commerce-ledger gateway with pluggable payment providers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(keys, name="keys")
app.add_typer(origins, name="origins")
app.add_typer(providers, name="providers")


def main() -> None:
    """Run a command; an expected error is one message and status 1, never a traceback."""
    # Standard output belongs to what a command was asked for. What serves sets up its own log.
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    try:
        app()
    except CounterfoilError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def serve(
    *,
    worker: Annotated[
        bool, typer.Option(help="Also do background work; else run `work` beside.")
    ] = True,
) -> None:
    """Serve the API until Ctrl-C. Starts a PostgreSQL of its own unless DATABASE_URL is set."""
    from counterfoil import serving

    serving.serve(read_settings(), with_worker=worker)


@app.command()
def work() -> None:
    """Do background work until Ctrl-C. Finishes operations and processes webhooks."""
    from counterfoil import serving

    serving.work(read_settings())


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema. Creates the roles too, and with COUNTERFOIL_DEMO=on
    and a simulator in COUNTERFOIL_SIMULATOR_URL the demo tenant.
    """
    from counterfoil import migrate as migration
    from counterfoil.startup import with_database, with_encryption_key

    with with_database(read_settings()) as settings:
        with out.status("Migrating …"):
            revision = migration.migrate(settings.admin_database_url, settings.app_database_url)
        out.print(f"The database is at revision {revision}.")
        if settings.demo == "on" and settings.simulator_url:
            from counterfoil.bootstrap import set_up

            asyncio.run(set_up(with_encryption_key(settings)))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def simulator(context: typer.Context) -> None:
    """Run the provider simulator alone. `simulator --help` lists its options."""
    import runpy

    sys.argv = ["simulator", *context.args]
    runpy.run_module("simulator", run_name="__main__", alter_sys=True)


@app.command()
def demo() -> None:
    """Tell the story of a few payments. Starts a gateway of its own for it, and fails unless the
    books agree at the end.
    """
    from counterfoil import demo as story

    story.run(out)


@app.command()
def verify(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Name of one tenant; else every tenant.")
    ] = None,
) -> None:
    """Check the books and every payment. Recomputes them from entries and evidence, and fails on
    any difference.
    """
    from counterfoil.verification import run

    if not run(read_settings(), tenant, out):
        sys.exit(1)


@app.command("export-schema")
def export_schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from schema.build import export_sdl

    sys.stdout.write(export_sdl())
