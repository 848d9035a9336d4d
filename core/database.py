"""Units of work on PostgreSQL: asyncpg for all that writes, SQLModel for varied reads.

Every unit of work belongs to one tenant. Row-level security compares `app.tenant`, which is set
LOCAL to it, with the tenant of each row; without it no row is visible.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import ClauseElement

from core.errors import Unavailable
from core.statements import as_sql
from core.tracing import span

Tx: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""The handle of an open unit of work."""

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection that is nobody else's."""

Result = TypeVar("Result")

CONFLICT_RETRIES_MAX: Final = 5
"""How often a unit of work that lost to a concurrent one (40001, 40P01) is run again."""

_TIMEOUTS: Final = {
    "statement_timeout": "5000",
    "idle_in_transaction_session_timeout": "10000",
}
"""Milliseconds. No statement or idle unit of work may hold others up for longer."""

_PATIENT_ACQUIRE_SECONDS: Final = 30.0
_PATIENT_LOCK: Final = "; SET LOCAL lock_timeout = '3s'"
"""What was done already must be written down: it waits longer than what can still be refused."""

_NOTICE_THE_DEAD: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
"""Seconds, seconds, probes: the server notices within 11 s that nobody is there any more."""

_CONFLICTS: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_TIMED_OUT: Final = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
_SERVER_GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    # What the driver says when the server hung up between two statements.
    asyncpg.InternalClientError,
)
_ROLL_BACK_FAILED: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
)
_CONNECTION_LOST: Final = (*_SERVER_GONE, asyncpg.InterfaceError, OSError)


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached or is too busy; nothing was written."""

    code = "DATABASE_UNAVAILABLE"


class CommitOutcomeUnknown(Unavailable):
    """The connection was lost while committing; ask again with the same idempotency key."""

    code = "COMMIT_OUTCOME_UNKNOWN"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the database is and how many connections one process may hold.

    `role` is assumed at connection start, so that a URL of an owner or superuser still runs with
    the product's few rights. `stranger_timeout_seconds` is for what is asked without a tenant: with
    that a request begins, and who is refused there has cost nothing yet. `opened_at_once` are the
    connections that are there before the first request; the rest comes as it is needed.
    """

    url: str
    role: str | None = "cf_app"
    pool_size: int = 16
    opened_at_once: int = 1
    acquire_timeout_seconds: float = 5.0
    stranger_timeout_seconds: float = 5.0
    lock_timeout_seconds: float = 3.0


class Database:
    """The pools of one process; `readers` cannot write. Opened once, closed at shutdown."""

    def __init__(
        self, pool: asyncpg.Pool, readers: asyncpg.Pool, settings: DatabaseSettings
    ) -> None:
        self.pool = pool
        self.readers = readers
        self._settings = settings

    @classmethod
    async def open(cls, settings: DatabaseSettings) -> "Database":
        """Connect. Raises: DatabaseUnavailable."""
        return cls(
            await _open_pool(
                settings, "counterfoil", settings.pool_size, at_once=settings.opened_at_once
            ),
            await _open_pool(
                settings,
                "counterfoil-read",
                max(2, settings.pool_size // 2),
                {"default_transaction_read_only": "on"},
            ),
            settings,
        )

    def connections(self) -> dict[str, tuple[int, int]]:
        """How many connections of each pool are lent, and how many there may be."""
        pools = {"writing": self.pool, "reading": self.readers}
        return {
            name: (pool.get_size() - pool.get_idle_size(), pool.get_max_size())
            for name, pool in pools.items()
        }

    async def close(self) -> None:
        """Give every connection back; a connection still in use is cut after five seconds."""
        try:
            async with asyncio.timeout(5):
                await asyncio.gather(self.readers.close(), self.pool.close())
        except TimeoutError:
            self.readers.terminate()
            self.pool.terminate()

    @asynccontextmanager
    async def unit_of_work(
        self, tenant_id: int | None, *, patient: bool = False
    ) -> AsyncIterator[Tx]:
        """Open a unit of work of one tenant; commit at the end, roll back on any exception.

        `None` is for the definer functions, which find out who the tenant is; with it no row of
        any table is visible. `patient` is for what follows from something done already: it waits
        longer for a connection and for locks. Raises: DatabaseUnavailable (nothing written),
        CommitOutcomeUnknown.
        """
        with span("unit_of_work") as traced:
            try:
                patience = self._patience(tenant_id, patient=patient)
                connection = await _lend(self.pool, patience)
            except _CONNECTION_LOST as error:
                raise DatabaseUnavailable from error
            try:
                async with _transaction(connection, tenant_id, patient=patient):
                    yield connection
                traced.note(committed=True)
            finally:
                await self.pool.release(connection)

    def _patience(self, tenant_id: int | None, *, patient: bool) -> float:
        if patient:
            return _PATIENT_ACQUIRE_SECONDS
        if tenant_id is None:
            return self._settings.stranger_timeout_seconds
        return self._settings.acquire_timeout_seconds

    async def run(
        self, tenant_id: int, work: Callable[[Tx], Awaitable[Result]], *, patient: bool = False
    ) -> Result:
        """Run `work` in a unit of work, again (at most 5 times, with jitter) if it lost a conflict.

        `work` must do nothing but database work, since it may run more than once.
        Raises: DatabaseUnavailable, also when it always lost; CommitOutcomeUnknown.
        """
        for attempt in range(CONFLICT_RETRIES_MAX):
            try:
                async with self.unit_of_work(tenant_id, patient=patient) as tx:
                    return await work(tx)
            except _CONFLICTS:
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter
        try:
            async with self.unit_of_work(tenant_id, patient=patient) as tx:
                return await work(tx)
        except _CONFLICTS as error:
            raise DatabaseUnavailable from error

    async def find(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of a look-up before the tenant is known. Raises: DatabaseUnavailable."""
        rows = await self.find_all(query, *arguments)
        return rows[0] if rows else None

    async def find_all(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a function that looks up before the tenant is known, or over all tenants.

        One statement, so one round trip. No row of any table is visible to it but through the
        function. Raises: DatabaseUnavailable.
        """
        try:
            connection = await _lend(self.pool, self._settings.stranger_timeout_seconds)
            try:
                return await connection.fetch(query, *arguments)
            finally:
                await self.pool.release(connection)
        except (*_CONNECTION_LOST, *_TIMED_OUT) as error:
            raise DatabaseUnavailable from error

    @asynccontextmanager
    async def reading(self, tenant_id: int) -> AsyncIterator["Reader"]:
        """What sees one tenant as of the first statement, and cannot write.

        Raises: DatabaseUnavailable.
        """
        try:
            connection = await _lend(self.readers, self._settings.acquire_timeout_seconds)
        except _CONNECTION_LOST as error:
            raise DatabaseUnavailable from error
        try:
            await _begin_reading(connection, tenant_id)
            yield Reader(connection)
        finally:
            # What was read was read, whatever becomes of the connection.
            await _roll_back(connection)
            await self.readers.release(connection)

    @asynccontextmanager
    async def session(self, name: str, *, silent_seconds: int) -> AsyncIterator[Session]:
        """A connection of its own beside the pools: for a lock that lasts as long as the session.

        The server ends it when it hears nothing for `silent_seconds`, so that a process that hangs,
        or a machine that is gone, gives up its locks. Raises: DatabaseUnavailable.
        """
        try:
            connection = await asyncpg.connect(
                self._settings.url,
                timeout=self._settings.acquire_timeout_seconds,
                command_timeout=float(silent_seconds),
                server_settings={
                    "application_name": f"counterfoil-{name}",
                    "idle_session_timeout": f"{silent_seconds * 1000}",
                    **_NOTICE_THE_DEAD,
                    **_session_settings(self._settings),
                },
            )
        except _CONNECTION_LOST as error:
            raise DatabaseUnavailable from error
        try:
            yield connection
        finally:
            connection.terminate()


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what SQLModel's statements say, as of one moment."""

    _connection: Tx

    async def fetch(self, statement: ClauseElement, **given: object) -> list[asyncpg.Record]:
        """The rows; `given` are the values of the statement's `bindparam`s.

        Raises: DatabaseUnavailable.
        """
        text, arguments = as_sql(statement, given)
        try:
            return await self._connection.fetch(text, *arguments)
        except (*_TIMED_OUT, *_CONNECTION_LOST) as error:
            if isinstance(error, _TIMED_OUT) or _is_connection_loss(self._connection, error):
                raise DatabaseUnavailable from error
            raise


async def _open_pool(
    settings: DatabaseSettings,
    name: str,
    size: int,
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    at_once: int = 0,
) -> asyncpg.Pool:
    session_settings = {"application_name": name, **_session_settings(settings), **more}
    try:
        return await asyncpg.create_pool(
            settings.url,
            min_size=at_once,
            max_size=size,
            timeout=settings.acquire_timeout_seconds,
            server_settings=session_settings,
            init=_speak_json,
            # Units of work only ever SET LOCAL, so there is nothing to reset.
            reset=_nothing_to_reset,
        )
    except _CONNECTION_LOST as error:
        raise DatabaseUnavailable from error


async def _lend(pool: asyncpg.Pool, patience_seconds: float) -> Tx:
    """A connection; one that is free at once needs no timer. Raises: TimeoutError."""
    if pool.get_idle_size():
        return await pool.acquire()
    return await pool.acquire(timeout=patience_seconds)


def _session_settings(settings: DatabaseSettings) -> dict[str, str]:
    lock_timeout_ms = str(round(settings.lock_timeout_seconds * 1000))
    role = {"role": settings.role} if settings.role else {}
    return {**_TIMEOUTS, "lock_timeout": lock_timeout_ms, **role}


async def _begin_reading(connection: Tx, tenant_id: int) -> None:
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL app.tenant"
    try:
        await connection.execute(f"{begin} = '{int(tenant_id)}'")
    except _CONNECTION_LOST as error:
        raise DatabaseUnavailable from error


@asynccontextmanager
async def _transaction(
    connection: Tx, tenant_id: int | None, *, patient: bool
) -> AsyncIterator[None]:
    tenant = "" if tenant_id is None else str(int(tenant_id))
    patience = _PATIENT_LOCK if patient else ""
    try:
        await connection.execute(f"BEGIN; SET LOCAL app.tenant = '{tenant}'{patience}")
        yield
    except BaseException as error:
        await _roll_back(connection)
        if isinstance(error, _TIMED_OUT) or _is_connection_loss(connection, error):
            raise DatabaseUnavailable from error
        raise
    try:
        await connection.execute("COMMIT")
    except _CONNECTION_LOST as error:
        raise CommitOutcomeUnknown from error
    except asyncio.CancelledError:
        # Whether COMMIT took effect is not known; the connection must not be used again.
        _terminate(connection)
        raise


def _is_connection_loss(connection: Tx, error: BaseException) -> bool:
    """Whether the server is gone; our own misuse and time-outs of others look alike otherwise."""
    if isinstance(error, _SERVER_GONE):
        return True
    return isinstance(error, _CONNECTION_LOST) and _is_closed(connection)


def _is_closed(connection: Tx) -> bool:
    """Whether it cannot be used any more; the pool takes a lost one away from its handle."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


async def _roll_back(connection: Tx) -> None:
    if _is_closed(connection):
        return
    ended = False
    try:
        await connection.execute("ROLLBACK", timeout=2)
        ended = True
    except _ROLL_BACK_FAILED:
        pass
    finally:
        if not ended:  # it may still be busy, or show this tenant's rows: nobody may have it
            _terminate(connection)


def _terminate(connection: Tx) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _speak_json(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind,
            encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
            schema="pg_catalog",
        )


async def _nothing_to_reset(_connection: asyncpg.Connection) -> None:
    return
