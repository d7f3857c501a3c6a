"""The platform's own way to Redis: each command sent once, answers in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from labkit.errors import Rejected, ServiceUnavailable
from labkit.redaction import Secret

RedisClient: TypeAlias = Redis

CONNECTIONS: Final = 8
"""The most connections that one client opens."""
ANSWER_S: Final = 5.0
"""How long a command, or a wait for a free connection, may take, in seconds."""


_KEYS_AT_ONCE: Final = 500

_STATES: Final = (
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
)
_STATE_WORDS: Final = frozenset({"BUSY", "LOADING", "MISCONF", "NOREPLICAS"})
"""How the texts of refusals begin for which redis-py has no class, or one that says less."""


class FairPool(ConnectionPool):
    """Lends connections in the order in which they were asked for.

    redis-py's own blocking pool wakes who has waited longest, but whoever asks just then overtakes
    it: where many ask again at once, some wait for seconds and get nothing.
    """

    def __init__(self, *, wait_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._wait_s = wait_s
        self._turns = asyncio.Semaphore(self.max_connections)

    async def get_connection(self, *_old_ways: Any, **_more: Any) -> AbstractConnection:
        """A connected connection; raises redis-py's `ConnectionError` where none becomes free."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError as error:
            text = f"none of {self.max_connections} connections became free in {self._wait_s:g} s"
            raise exceptions.ConnectionError(text) from error
        try:
            # redis-py types neither what this takes nor what it gives.
            lend: Callable[[], AbstractConnection] = self.get_available_connection
            connection = lend()
        except BaseException:
            self._turns.release()
            raise
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back, for whoever has waited longest."""
        try:
            await super().release(connection)
        finally:
            self._turns.release()


def redis_client(
    url: Secret, *, connections: int = CONNECTIONS, client: type[RedisClient] = Redis
) -> RedisClient:
    """A client for texts, which connects when it is used; its owner calls `aclose()`."""
    pool = FairPool.from_url(
        url.reveal(),
        max_connections=connections,
        wait_s=ANSWER_S,
        protocol=2,
        # The default repeats a command whose reply was lost, and so applies it twice.
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        decode_responses=True,
    )
    return client.from_pool(pool)


async def run_script(redis: RedisClient, script: str, key: str, *arguments: str | int) -> Any:
    """What a Lua script answers that touches this one key; it is applied as a whole or not."""
    # redis-py types one method for both of its clients.
    answer: Awaitable[Any] | Any = redis.eval(script, 1, key, *map(str, arguments))
    return await answer


async def keys_below(redis: RedisClient, prefix: str) -> AsyncIterator[Sequence[str]]:
    """The keys that begin with an escaped prefix, in portions and never with the server held up."""
    cursor = 0
    while True:
        cursor, found = await redis.scan(cursor, f"{prefix}*", _KEYS_AT_ONCE)
        if found:
            yield [str(key) for key in found]
        if cursor == 0:
            return


@contextmanager
def redis_refusals(doing: str) -> Iterator[None]:
    """Turn what Redis refuses in the block into `Rejected`: "cannot `doing`: …".

    So is what is no text, here or there. A server that cannot be reached or gives no answer in time
    is `ServiceUnavailable`; whether the command was applied is then unknown. It is also
    `ServiceUnavailable` where the server's state refuses, not the command: without the replicas or
    the memory that it needs, read-only, loading, busy, or unable to save.
    """
    try:
        yield
    except (OSError, exceptions.ConnectionError, exceptions.TimeoutError) as error:
        raise ServiceUnavailable(f"cannot {doing}: {str(error) or 'no answer in time'}") from error
    except exceptions.InvalidResponse as error:
        raise ServiceUnavailable(f"cannot {doing}: no answer of Redis: {error}") from error
    except exceptions.ResponseError as error:
        refusal = ServiceUnavailable if _is_of_the_state(error) else Rejected
        raise refusal(f"cannot {doing}: {error}") from error
    except (exceptions.DataError, UnicodeError) as error:
        raise Rejected(f"cannot {doing}: {error}") from error


def _is_of_the_state(error: exceptions.ResponseError) -> bool:
    return isinstance(error, _STATES) or str(error).partition(" ")[0] in _STATE_WORDS
