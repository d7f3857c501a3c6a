"""The platform's connections: few, lent out one at a time, handed on clean."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg

from labkit.errors import LabError, ServiceUnavailable
from labkit.redaction import Secret

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
"""A connection as the pool lends it: useless once it has been given back."""

FAILURES: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # A connection that was told of its end while it was idle, and whose end has not come yet.
    asyncpg.InternalClientError,
)
"""What a statement raises when its connection is lost, or too slow."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolLimits:
    """The bounds of a pool; times in seconds."""

    connections: int = 4
    acquire_s: float = 10.0
    """How long a borrower waits for a connection, a new one's login included."""
    probe_s: float = 2.0
    """How long an idle connection may take to show that it still answers."""
    command_s: float = 10.0
    """How long one statement may take."""
    close_s: float = 2.0
    """How long closing waits for what is still lent out; then it is cut."""


class Pool:
    """At most `limits.connections` connections to the database at `url`.

    No statement is kept prepared, so that `discard all` can clean a connection of everything that
    its last borrower left: settings, role, temporary tables, sequences, advisory locks, statements.
    """

    def __init__(self, url: Secret, limits: PoolLimits | None = None) -> None:
        self.limits = limits or PoolLimits()
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Connect once; raises `ServiceUnavailable` when the server refuses the platform."""
        self._pool = await asyncpg.create_pool(
            self._url.reveal(),
            min_size=0,
            max_size=self.limits.connections,
            timeout=self.limits.acquire_s,
            command_timeout=self.limits.command_s,
            statement_cache_size=0,
            init=_speak_json,
            reset=self._clean,
        )
        try:
            async with self.connection():
                pass
        except BaseException:
            await self.close()
            raise

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for the block.

        Raises `ServiceUnavailable` when none is to be had in time, and when the connection was lost
        within the block; whether its last statement was applied is then unknown. Who is cancelled
        while waiting takes no connection along, and one that has died is replaced when it is lent
        out next.
        """
        if self._pool is None:
            raise ServiceUnavailable("the platform's pool is not open: enter the target first")
        pool = self._pool
        connection = await self._acquire(pool)
        try:
            yield connection
        except FAILURES as error:
            # Not by the error's type: the driver has one for both a loss and a wrong call.
            if isinstance(error, LabError) or not is_gone(connection):
                raise
            raise ServiceUnavailable(f"the connection to PostgreSQL was lost: {error!r}") from error
        finally:
            await self._release(pool, connection)

    async def _acquire(self, pool: asyncpg.Pool[asyncpg.Record]) -> Connection:
        """A connection that answers: one may have died, and this side not know it yet."""
        for _ in range(self.limits.connections):
            connection = await self._borrow(pool)
            try:
                await connection.execute("select 1", timeout=self.limits.probe_s)
            except FAILURES as error:
                _log.info("a connection of the pool has died and is replaced: %r", error)
                if not is_gone(connection):
                    connection.terminate()  # or the release would wait for an answer once more
                await self._release(pool, connection)
            except BaseException:
                await self._release(pool, connection)
                raise
            else:
                return connection
        return await self._borrow(pool)

    async def _borrow(self, pool: asyncpg.Pool[asyncpg.Record]) -> Connection:
        try:
            return await pool.acquire(timeout=self.limits.acquire_s)
        except TimeoutError as error:
            raise ServiceUnavailable(
                f"none of the pool's {self.limits.connections} connections was free within "
                f"{self.limits.acquire_s:g} s: look for one that is held too long"
            ) from error
        except FAILURES as error:
            raise ServiceUnavailable(f"PostgreSQL refuses the platform: {error}") from error

    async def _release(self, pool: asyncpg.Pool[asyncpg.Record], connection: Connection) -> None:
        try:
            await pool.release(connection, timeout=self.limits.command_s)
        except FAILURES as error:
            # asyncpg has cut the connection; what the borrower did with it stands nevertheless.
            _log.warning("a connection could not be cleaned and is replaced: %s", error)

    async def _clean(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.execute("discard all")

    async def close(self) -> None:
        """Close all connections; those still lent out after a grace are cut, with a warning."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(self.limits.close_s):
                await self._pool.close()
        except TimeoutError:
            # asyncpg cuts whatever is left when its `close` is cancelled.
            _log.warning("connections of the pool were still lent out when it closed; they are cut")
        finally:
            self._pool = None


def is_gone(connection: Connection) -> bool:
    """Whether a lent connection has died; asyncpg then takes it back from the borrower."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


async def _speak_json(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )
