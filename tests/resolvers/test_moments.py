"""All that one query reads is as of one moment, and lost with it."""

import asyncpg
import pytest
from sqlalchemy import text

from core.database import DatabaseUnavailable
from resolvers.context import Context
from resolvers.reading import fetch
from tests.resolvers.asking import Api

NUMBER = text("SELECT 1 AS number")
TOO_SLOW = text("SELECT pg_sleep(5)")


async def test_a_read_that_takes_too_long_makes_its_moment_unavailable(api: Api) -> None:
    context = Context(api.caller, api.services, "req-test")

    async with context.at_one_moment():
        await fetch(context, text("SELECT set_config('statement_timeout', '20', TRUE)"))
        for statement in (TOO_SLOW, NUMBER):
            with pytest.raises(DatabaseUnavailable):
                await fetch(context, statement)
    async with context.at_one_moment():
        assert await fetch(context, NUMBER) == [(1,)]


async def test_a_connection_that_is_lost_makes_its_moment_unavailable(
    api: Api, admin_url: str
) -> None:
    context = Context(api.caller, api.services, "req-test")
    admin = await asyncpg.connect(admin_url)

    async with context.at_one_moment():
        (mine,) = await fetch(context, text("SELECT pg_backend_pid() AS backend"))
        await admin.execute("SELECT pg_terminate_backend($1, 5000)", mine["backend"])
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await fetch(context, NUMBER)
    async with context.at_one_moment():
        assert await fetch(context, NUMBER) == [(1,)]
    await admin.close()
