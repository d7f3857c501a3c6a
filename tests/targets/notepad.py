"""A small platform of somebody else's: users' notes on PostgreSQL, and nothing more.

It shares no code and no table with the reference platform, and says what it lacks.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias

import asyncpg

from labkit.errors import Denied, Rejected
from labkit.services.endpoints import Lease
from labkit.targets.data import Isolation, ThreadView
from labkit.targets.protocols import Capability, Tables

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

POOL_SIZE: Final = 3
_GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
)
"""What the driver raises for a connection that the server has ended, before or while it is used."""

_Level: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]
_LEVELS: Final[Mapping[Isolation, _Level]] = MappingProxyType(
    {
        Isolation.READ_COMMITTED: "read_committed",
        Isolation.REPEATABLE_READ: "repeatable_read",
        Isolation.SERIALIZABLE: "serializable",
    }
)

_SCHEMA: Final = """
    create schema if not exists notepad;
    create table if not exists notepad.people (id text primary key);
    create table if not exists notepad.pads (
        id text primary key, user_id text not null references notepad.people, title text not null,
        position bigint generated always as identity, unique (id, user_id)
    );
    create table if not exists notepad.lines (
        id text primary key, user_id text not null, thread_id text not null, text text not null,
        position bigint generated always as identity,
        foreign key (thread_id, user_id) references notepad.pads (id, user_id) on delete cascade
    );
"""
_KEPT_APART: Final = """
    alter table notepad.{table} enable row level security;
    drop policy if exists mine on notepad.{table};
    create policy mine on notepad.{table} using ({column} = current_setting('notepad.me', true));
    grant select, insert, update, delete on notepad.{table} to {role};
"""


class Page:
    """One transaction of one user."""

    def __init__(self, connection: PoolConnectionProxy[asyncpg.Record], user: str) -> None:
        self._connection = connection
        self._user = user

    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """The rows of one statement."""
        return [tuple(row) for row in await self._connection.fetch(sql, *arguments)]

    async def execute(self, sql: str, *arguments: object) -> int:
        """How many rows one statement touched."""
        return int((await self._connection.execute(sql, *arguments)).split()[-1])

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A block that can be undone alone."""
        async with self._connection.transaction():
            yield

    async def create_user(self, user: str) -> None:
        """Register the user."""
        try:
            async with self._connection.transaction():
                await self.execute("insert into notepad.people values ($1)", user)
        except asyncpg.UniqueViolationError as error:
            raise Rejected(f"user {user} already exists") from error

    async def create_thread(self, title: str) -> str:
        """A new pad."""
        pad = uuid.uuid4().hex
        sql = "insert into notepad.pads (id, user_id, title) values ($1, $2, $3)"
        try:
            await self.execute(sql, pad, self._user, title)
        except asyncpg.ForeignKeyViolationError as error:
            raise Denied(f"nobody is called {self._user}") from error
        return pad

    async def add_message(self, thread: str, text: str) -> str:
        """A new line on a pad."""
        line = uuid.uuid4().hex
        sql = "insert into notepad.lines (id, user_id, thread_id, text) values ($1, $2, $3, $4)"
        try:
            await self.execute(sql, line, self._user, thread, text)
        except asyncpg.ForeignKeyViolationError as error:
            raise Denied(f"there is no pad {thread}") from error
        return line

    async def change(self, sql: str, thread: str, *arguments: object) -> None:
        """Change a pad, which must be there."""
        if not await self.execute(sql, thread, *arguments):
            raise Denied(f"there is no pad {thread}")


class Book:
    """The notes of all users: as much of area 4 as there is."""

    pool_size = POOL_SIZE

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record]

    async def open(self) -> None:
        """Open the pool."""
        self._pool = await asyncpg.create_pool(self._url, min_size=0, max_size=POOL_SIZE)

    async def close(self) -> None:
        """Close it."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(
        self, user: str, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> AsyncIterator[Page]:
        """A transaction of the user's."""
        for left in reversed(range(POOL_SIZE + 1)):
            async with self._pool.acquire() as connection:
                block = connection.transaction(isolation=_LEVELS[isolation])
                try:
                    await block.start()
                    await connection.execute("select set_config('notepad.me', $1, true)", user)
                except _GONE:
                    connection.terminate()
                    if not left:
                        raise
                    continue
                try:
                    yield Page(connection, user)
                except BaseException:
                    await block.rollback()
                    raise
                await block.commit()
                return

    async def create_user(self, user: str) -> None:
        """Register a user."""
        async with self.transaction(user) as page:
            await page.create_user(user)

    async def create_thread(self, user: str, title: str) -> str:
        """A new pad of the user's."""
        async with self.transaction(user) as page:
            return await page.create_thread(title)

    async def threads(self, user: str) -> Sequence[ThreadView]:
        """The user's pads."""
        async with self.transaction(user) as page:
            rows = await page.fetch("select id, title from notepad.pads order by position")
            return [ThreadView(*row) for row in rows]

    async def rename_thread(self, user: str, thread: str, title: str) -> None:
        """Give a pad another title."""
        async with self.transaction(user) as page:
            await page.change("update notepad.pads set title = $2 where id = $1", thread, title)

    async def delete_thread(self, user: str, thread: str) -> None:
        """Throw a pad away."""
        async with self.transaction(user) as page:
            await page.change("delete from notepad.pads where id = $1", thread)

    async def add_message(self, user: str, thread: str, text: str) -> str:
        """A new line on a pad of the user's."""
        async with self.transaction(user) as page:
            return await page.add_message(thread, text)


class Notepad:
    """The platform on one lease."""

    name: ClassVar[str] = "notepad"
    lacks: ClassVar[Mapping[Capability, str]] = {
        Capability.PIPELINE: "nothing but people writes into it",
        Capability.LIFECYCLE: "nothing is executed",
        Capability.NOTIFICATIONS: "nobody is told of anything",
        Capability.SOCKETS: "it has no server",
        Capability.CONTEXTS: "it has no sessions",
        Capability.DATA_SERIALIZABLE: "nothing is tried again",
        Capability.DATA_SESSION: "it has no requests",
        Capability.DATA_OPEN_ACCOUNT: "it keeps notes, not money",
        Capability.DATA_START_EXECUTION: "nothing is executed",
        Capability.CACHE: "the database is fast enough",
        Capability.CONFIGURATION: "there is nothing to set",
        Capability.ROUTING: "lines go where they are written",
    }
    tables: ClassVar[Tables] = Tables(
        users="notepad.people",
        threads="notepad.pads",
        messages="notepad.lines",
        executions="",
        accounts="",
    )

    def __init__(self, lease: Lease) -> None:
        self.data = Book(lease.platform_url.reveal())

    @staticmethod
    async def install(lease: Lease) -> None:
        """Make the tables, each row its user's."""
        owner = await asyncpg.connect(lease.owner_url.reveal())
        try:
            async with owner.transaction():
                await owner.execute(_SCHEMA)
                for table, column in (("people", "id"), ("pads", "user_id"), ("lines", "user_id")):
                    rule = _KEPT_APART.format(table=table, column=column, role=lease.platform_role)
                    await owner.execute(rule)
                await owner.execute(f"grant usage on schema notepad to {lease.platform_role}")
        finally:
            await owner.close()

    async def __aenter__(self) -> Self:
        await self.data.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.data.close()


class Boastful(Notepad):
    """Says that it lacks nothing."""

    lacks: ClassVar[Mapping[Capability, str]] = {}


class Evasive(Notepad):
    """Has users and their data, and would rather not be looked at."""

    lacks: ClassVar[Mapping[Capability, str]] = {
        **Notepad.lacks,
        Capability.DATA: "we trust each other",
    }
