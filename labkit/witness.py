"""The witness: an independent look at the leased database and Redis, never through the target.

It logs in as the owner of the leased database, whom row-level security does not bind, and knows
nothing of the platform but where its rows and keys lie.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Self

from labkit.errors import LeaseError, UsageError
from labkit.services.connect import (
    POSTGRES_FAMILIES,
    REDIS_FAMILIES,
    PostgresConnection,
    RedisConnection,
    connect_postgres,
    connect_redis,
    translated,
)
from labkit.services.endpoints import Lease
from labkit.services.urls import PostgresUrl, RedisUrl

APPLICATION_NAME: Final = "labkit-witness"
"""The name under which the witness shows itself to both servers."""

_STATEMENT_S: Final = 5.0
_PAUSE_S: Final = 0.005
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?")
_HIDDEN: Final = "<insufficient privilege>"
_KEYS_AT_ONCE: Final = 500
_NO_KEY: Final = -2
_NO_END: Final = -1


@dataclass(frozen=True)
class Backend:
    """One of the server's processes, as `pg_stat_activity` shows it."""

    pid: int
    state: str
    """`active`, `idle`, `idle in transaction`, …"""
    transaction_began_at: datetime | None
    waits_for: str | None
    """The event that it waits for; an idle one waits for `ClientRead`."""
    application_name: str
    """What the client calls itself."""


def table_name(name: str) -> str:
    """The name, once it is certain that it is nothing but a table's, with or without its schema.

    Raises `UsageError` otherwise: names cannot be given to a statement as arguments.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not the name of a table: small letters, digits and '_' only")
    return name


class Witness:
    """Looks at a lease for itself; open while entered.

    Its statements take at most 5 s. A server that does not answer is `ServiceUnavailable`, a
    statement that it refuses `LeaseError`. Several tasks may ask at once; they take turns.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._turn = asyncio.Lock()
        self._postgres: PostgresConnection
        self._redis: RedisConnection
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            url = PostgresUrl.parse(self.lease.owner_url.reveal())
            self._postgres = await connect_postgres(url, name=APPLICATION_NAME)
            stack.callback(self._postgres.terminate)
            redis_url = RedisUrl.parse(self.lease.redis_url.reveal())
            self._redis = await connect_redis(redis_url, name=APPLICATION_NAME)
            stack.push_async_callback(self._redis.close)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._exit.aclose()

    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """The rows of one statement (`$1`, `$2` … stand for the arguments)."""
        with translated(POSTGRES_FAMILIES, f"look at the leased database with {sql!r:.120}"):
            async with self._turn:
                rows = await self._postgres.fetch(sql, *arguments, timeout=_STATEMENT_S)
        return [tuple(row) for row in rows]

    async def value(self, sql: str, *arguments: object) -> Any:
        """The first column of the first row; None where there is no row."""
        rows = await self.fetch(sql, *arguments)
        return rows[0][0] if rows else None

    async def count(self, table: str, where: str = "true", *arguments: object) -> int:
        """How many rows of a table meet a condition, which is SQL of the caller's own."""
        sql = _COUNT.format(table=table_name(table), where=where)
        return int(await self.value(sql, *arguments))

    async def backends(self, role: str) -> Sequence[Backend]:
        """What a role's connections to the leased database are doing, by process id.

        Raises `LeaseError` where the server hides it: the owner must be a member of that role.
        """
        rows = await self.fetch(_BACKENDS, role)
        if any(query == _HIDDEN for *_, query in rows):
            text = (
                f"{self.lease.owner_role} may not see what {role} does: "
                f"grant {role} to {self.lease.owner_role}"
            )
            raise LeaseError(text)
        return [
            Backend(pid, state or "", began, waits, name)
            for pid, state, began, waits, name, _ in rows
        ]

    async def seen(
        self, role: str, doing: Callable[[Backend], bool], *, deadline_s: float = 10.0
    ) -> bool:
        """Whether a role's backend is seen doing something, waiting no longer than the deadline."""
        give_up_at = time.monotonic() + deadline_s
        while not any(map(doing, await self.backends(role))):
            if time.monotonic() >= give_up_at:
                return False
            await asyncio.sleep(_PAUSE_S)
        return True

    async def blocked_by(self, pid: int) -> frozenset[int]:
        """The backends whose locks a backend waits for at this moment."""
        return frozenset(await self.value("select pg_blocking_pids($1)", pid))

    async def gone(self, pid: int, *, deadline_s: float = 10.0) -> bool:
        """Whether a backend has ended, waiting for it no longer than the deadline."""
        # The server tells nobody that a backend has ended, so that it must be asked.
        give_up_at = time.monotonic() + deadline_s
        while await self.fetch("select from pg_stat_activity where pid = $1", pid):
            if time.monotonic() >= give_up_at:
                return False
            await asyncio.sleep(_PAUSE_S)
        return True

    async def keys(self) -> frozenset[str]:
        """All keys under the lease's prefix, found by SCAN."""
        return frozenset([key async for key in self._scan()])

    async def held(self, key: str) -> Sequence[str]:
        """All texts that a key of the lease holds, whatever its kind: names, members and values.

        Nothing where there is no such key. Raises `LeaseError` for a kind that it cannot read.
        """
        with translated(REDIS_FAMILIES, f"look at the key {key!r:.120}"):
            kind = await self._command("TYPE", key)
            if kind == "none":
                return []
            if kind not in _READING:
                raise LeaseError(f"the witness cannot read the key {key!r:.120}: it is a {kind}")
            return list(_texts(await self._command(*_READING[kind](key))))

    async def left_ms(self, key: str) -> float | None:
        """How long a key has left to live, in milliseconds: infinite where it has no end.

        None where there is no such key.
        """
        with translated(REDIS_FAMILIES, f"look at the key {key!r:.120}"):
            left_ms = int(await self._command("PTTL", key))
        if left_ms == _NO_KEY:
            return None
        return math.inf if left_ms == _NO_END else float(left_ms)

    async def _command(self, *parts: str | int) -> Any:
        async with self._turn:
            return await self._redis.command(*parts)

    async def _scan(self) -> AsyncIterator[str]:
        cursor, pattern = "0", f"{self.lease.redis_prefix}*"
        with translated(REDIS_FAMILIES, "scan the lease's keys"):
            while True:
                cursor, keys = await self._command(
                    "SCAN", cursor, "MATCH", pattern, "COUNT", _KEYS_AT_ONCE
                )
                for key in keys:
                    yield key
                if str(cursor) == "0":
                    return


_READING: Final[Mapping[str, Callable[[str], tuple[str, ...]]]] = MappingProxyType(
    {
        "string": lambda key: ("GET", key),
        "hash": lambda key: ("HGETALL", key),
        "list": lambda key: ("LRANGE", key, "0", "-1"),
        "set": lambda key: ("SMEMBERS", key),
        "zset": lambda key: ("ZRANGE", key, "0", "-1", "WITHSCORES"),
        "stream": lambda key: ("XRANGE", key, "-", "+"),
    }
)
"""How all of a key is read, by its kind."""


def _texts(answer: Any) -> Iterator[str]:
    if isinstance(answer, list):
        for part in answer:
            yield from _texts(part)
    elif answer is not None:
        yield str(answer)


_COUNT: Final = "select count(*) from {table} where {where}"

_BACKENDS: Final = """
    select pid, state, xact_start, wait_event, application_name, query from pg_stat_activity
    where datname = current_database() and usename = $1 order by pid
"""
