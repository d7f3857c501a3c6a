"""The textbook's ways to keep a cache in step with a database, on a real one of each.

Each actor is an asynchronous generator that does one step whenever it is asked for the next, and
says which: so whoever asks decides on the order of events.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from labkit.judges.stale_sets import Strategy
from labkit.services.connect import PostgresConnection, RedisConnection

TTL_MS: Final = 60_000
"""How long what is cached may stay, in milliseconds: longer than any of this takes."""

_READ: Final = "select version from {table} where id = $1"
_WRITE: Final = "update {table} set version = version + 1 where id = $1 returning version"

_SET_NEWER: Final = """
    local held = redis.call('get', KEYS[1])
    if not held or tonumber(held) < tonumber(ARGV[1]) then
        redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
    end
"""
_GET_OR_LEASE: Final = """
    local held = redis.call('get', KEYS[1])
    if not held then redis.call('set', KEYS[2], ARGV[1], 'px', ARGV[2]) end
    return held
"""
_SET_WITH_LEASE: Final = """
    if redis.call('get', KEYS[2]) == ARGV[3] then
        redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
        redis.call('del', KEYS[2])
    end
"""


@dataclass(frozen=True)
class CachedRow:
    """A row that is nothing but its version, and its place in the cache."""

    postgres: PostgresConnection
    redis: RedisConnection
    table: str
    number: int
    key: str

    @property
    def lease_key(self) -> str:
        """Where a lease on the row is noted."""
        return f"{self.key}:lease"

    async def read(self) -> str:
        """The version in the database."""
        return str(await self.postgres.fetchval(_READ.format(table=self.table), self.number))

    async def write(self) -> str:
        """Give the row the next version, and return it."""
        return str(await self.postgres.fetchval(_WRITE.format(table=self.table), self.number))

    async def get(self) -> str | None:
        """The version in the cache."""
        cached: str | None = await self.redis.command("GET", self.key)
        return cached

    async def set(self, version: str) -> None:
        """Put a version into the cache, whatever is there."""
        await self.redis.command("SET", self.key, version, "PX", TTL_MS)

    async def set_newer(self, version: str) -> None:
        """Put a version into the cache unless it has one that is not older."""
        await self.redis.command("EVAL", _SET_NEWER, 1, self.key, version, TTL_MS)

    async def get_or_lease(self, token: str) -> str | None:
        """The version in the cache; on a miss, the right to fill it is this token's."""
        cached: str | None = await self._run(_GET_OR_LEASE, token, TTL_MS)
        return cached

    async def set_with_lease(self, version: str, token: str) -> None:
        """Put a version into the cache if the right to do so is still this token's."""
        await self._run(_SET_WITH_LEASE, version, TTL_MS, token)

    async def delete(self) -> None:
        """Take the row out of the cache, and a lease on it with it."""
        await self.redis.command("DEL", self.key, self.lease_key)

    async def _run(self, script: str, *arguments: str | int) -> str | None:
        answer: str | None = await self.redis.command(
            "EVAL", script, 2, self.key, self.lease_key, *arguments
        )
        return answer


Steps: TypeAlias = AsyncGenerator[str, None]
Act: TypeAlias = Callable[[CachedRow], Steps]


async def _read(row: CachedRow, fill: Callable[[CachedRow, str], Awaitable[None]]) -> Steps:
    cached = await row.get()
    yield "R:get"
    if cached is None:
        version = await row.read()
        yield "R:db"
        await fill(row, version)
        yield "R:set"


def _read_and_set(row: CachedRow) -> Steps:
    return _read(row, CachedRow.set)


def _read_and_set_newer(row: CachedRow) -> Steps:
    return _read(row, CachedRow.set_newer)


async def _read_with_lease(row: CachedRow) -> Steps:
    token = f"reader of {row.number}"
    cached = await row.get_or_lease(token)
    yield "R:get"
    if cached is None:
        version = await row.read()
        yield "R:db"
        await row.set_with_lease(version, token)
        yield "R:set"


async def _write(row: CachedRow) -> Steps:
    await row.write()
    yield "W:db"


async def _write_then_delete(row: CachedRow) -> Steps:
    await row.write()
    yield "W:db"
    await row.delete()
    yield "W:del"


async def _delete_then_write(row: CachedRow) -> Steps:
    await row.delete()
    yield "W:del"
    await row.write()
    yield "W:db"


async def _delete_write_delete(row: CachedRow) -> Steps:
    await row.delete()
    yield "W:del"
    await row.write()
    yield "W:db"
    await row.delete()
    yield "W:del"


async def _write_then_set(row: CachedRow) -> Steps:
    version = await row.write()
    yield "W:db"
    await row.set(version)
    yield "W:set"


async def _write_then_set_newer(row: CachedRow) -> Steps:
    version = await row.write()
    yield "W:db"
    await row.set_newer(version)
    yield "W:set"


@dataclass(frozen=True)
class Actors:
    """How a strategy reads and writes, and how many steps each takes at most."""

    reader: Act
    writer: Act
    writer_steps: int = 2
    reader_steps: int = 3


ACTORS: Final[Mapping[Strategy, Actors]] = MappingProxyType(
    {
        Strategy.DELETE_AFTER: Actors(_read_and_set, _write_then_delete),
        Strategy.DELETE_BEFORE: Actors(_read_and_set, _delete_then_write),
        Strategy.DELETE_TWICE: Actors(_read_and_set, _delete_write_delete, writer_steps=3),
        Strategy.WRITE_THROUGH: Actors(_read_and_set, _write_then_set),
        Strategy.CHECKED_READER: Actors(_read_and_set_newer, _write_then_delete),
        Strategy.CHECKED_BOTH: Actors(_read_and_set_newer, _write_then_set_newer),
        Strategy.LEASE: Actors(_read_with_lease, _write_then_delete),
        Strategy.NONE: Actors(_read_and_set, _write, writer_steps=1),
    }
)
"""All strategies, as they are done."""
