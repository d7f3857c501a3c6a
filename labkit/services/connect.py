"""The lab's own connections to the servers, and the one place where drivers' errors become ours.

A server that cannot be reached or goes away is `ServiceUnavailable`; one that answers, but refuses,
is `LeaseError`. The most specific class wins, and the driver's error stays as the cause.
"""

from __future__ import annotations

import errno
import re
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg import exceptions as postgres_exceptions
from redis import exceptions as redis_exceptions
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from labkit.errors import InfrastructureError, LabError, LeaseError, ServiceUnavailable
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.urls import PostgresUrl, RedisUrl

CONNECT_S: Final = 5.0
"""How long a server may take to let a connection in, in seconds."""
ANSWER_S: Final = 30.0
"""How long one statement or command may take, in seconds; a database on a slow disk takes some."""

# The drivers tell the numbers in texts alone: where several addresses failed, and redis-py always.
_NOBODY_LISTENS: Final = re.compile(rf"\bErr(?:no|or) (?:{errno.ECONNREFUSED}|{errno.ENOENT})\b")

PostgresConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

Families: TypeAlias = Mapping[type[BaseException], type[InfrastructureError]]
"""What drivers raise, and what it becomes."""

POSTGRES_FAMILIES: Final[Families] = types.MappingProxyType(
    {
        OSError: ServiceUnavailable,
        postgres_exceptions.InterfaceError: ServiceUnavailable,
        postgres_exceptions.InternalClientError: ServiceUnavailable,
        postgres_exceptions.PostgresConnectionError: ServiceUnavailable,
        postgres_exceptions.OperatorInterventionError: ServiceUnavailable,
        postgres_exceptions.TooManyConnectionsError: ServiceUnavailable,
        postgres_exceptions.PostgresError: LeaseError,
    }
)
"""What asyncpg raises, by family, and what it becomes."""

REDIS_FAMILIES: Final[Families] = types.MappingProxyType(
    {
        OSError: ServiceUnavailable,
        redis_exceptions.ConnectionError: ServiceUnavailable,
        redis_exceptions.TimeoutError: ServiceUnavailable,
        redis_exceptions.InvalidResponse: ServiceUnavailable,
        redis_exceptions.ClusterDownError: ServiceUnavailable,
        redis_exceptions.AuthenticationError: LeaseError,
        redis_exceptions.AuthorizationError: LeaseError,
        redis_exceptions.ExternalAuthProviderError: LeaseError,
        redis_exceptions.RedisError: LeaseError,
    }
)
"""What redis-py raises, by family, and what it becomes."""


@contextmanager
def translated(families: Families, doing: str) -> Iterator[None]:
    """A block in which a driver's errors become ours: "cannot `doing`: …"."""
    try:
        yield
    except LabError:
        # Ours already, though some are kinds of OSError too.
        raise
    except tuple(families) as error:
        # Over a socket, redis-py wraps a refused login into an error of the connection.
        cause = error.__cause__ if isinstance(error.__cause__, tuple(families)) else error
        made = next(families[kind] for kind in type(cause).__mro__ if kind in families)
        # A timeout says nothing of itself.
        raise made(f"cannot {doing}: {str(error) or 'no answer in time'}") from error


@contextmanager
def _logging_in(families: Families, server: str, setting: str) -> Iterator[None]:
    """A block that logs in to a server, which this setting may have given."""
    try:
        with translated(families, f"log in to {server}"):
            yield
    except ServiceUnavailable as error:
        if not _NOBODY_LISTENS.search(str(error)):
            raise
        raise ServiceUnavailable(
            f"cannot log in to {server}: nobody listens there; if {setting} gives it, start it,"
            f" correct {setting}, or unset it to use a server of the lab's own"
        ) from error.__cause__


async def connect_postgres(url: PostgresUrl, *, name: str) -> PostgresConnection:
    """A connection that shows itself as `name` to the server; its owner calls `terminate()`.

    Raises `ServiceUnavailable` or `LeaseError`.
    """
    with _logging_in(POSTGRES_FAMILIES, f"PostgreSQL at {url.address}", POSTGRES_URL):
        return await asyncpg.connect(
            url.secret.reveal(),
            timeout=CONNECT_S,
            command_timeout=ANSWER_S,
            # The server must not end the connection that marks a lease as alive for being idle.
            server_settings={"application_name": name, "idle_session_timeout": "0"},
        )


@asynccontextmanager
async def postgres_session(
    url: PostgresUrl, *, doing: str, name: str = "labkit"
) -> AsyncIterator[PostgresConnection]:
    """A connection for one piece of work; drivers' errors in it become ours: "cannot `doing`…"."""
    connection = await connect_postgres(url, name=name)
    try:
        with translated(POSTGRES_FAMILIES, f"{doing} at {url.address}"):
            yield connection
    finally:
        connection.terminate()


class RedisConnection:
    """One connection to Redis that sends each command once, as it is, and never again."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def command(self, *parts: str | int) -> Any:
        """The answer to one command, as it travels: texts, numbers, lists and `None`.

        Errors come through as redis-py's own.
        """
        await self._connection.send_command(*parts)
        return await self._connection.read_response()

    async def close(self) -> None:
        """End the connection; harmless twice."""
        await self._connection.disconnect()


async def connect_redis(url: RedisUrl, *, name: str) -> RedisConnection:
    """A connection that shows itself as `name` to the server; its owner calls `close()`.

    Raises `ServiceUnavailable` or `LeaseError`.
    """
    pool = ConnectionPool.from_url(
        url.secret.reveal(),
        protocol=2,
        # The default repeats a command whose reply was lost, and so applies it twice.
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_S,
        socket_timeout=ANSWER_S,
        client_name=name,
        decode_responses=True,
        # Names are bytes, of whatever kind; this way they come back as they were.
        encoding_errors="surrogateescape",
    )
    # redis-py leaves this method untyped.
    connect: Callable[[], Awaitable[AbstractConnection]] = pool.get_connection
    with _logging_in(REDIS_FAMILIES, f"Redis at {url.address}", REDIS_URL):
        return RedisConnection(await connect())


@asynccontextmanager
async def redis_session(
    url: RedisUrl, *, doing: str, name: str = "labkit"
) -> AsyncIterator[RedisConnection]:
    """A connection for one piece of work; drivers' errors in it become ours: "cannot `doing`…"."""
    connection = await connect_redis(url, name=name)
    try:
        with translated(REDIS_FAMILIES, f"{doing} at {url.address}"):
            yield connection
    finally:
        await connection.close()
