"""Takes committed events out of the outbox and publishes them, at least once and in order.

Every process has a relay, and one of them leads: the one that holds the advisory lock. When its
connection or process is gone, PostgreSQL frees the lock, and another takes over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import asyncpg

from labkit.errors import ServiceUnavailable
from labkit.events import event_from_json
from labkit.redaction import Secret
from labkit.reference.events.streams import Published, Streams
from labkit.reference.tasks import end

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_LEAD: Final = "select pg_try_advisory_lock(hashtext('labkit'), hashtext('relay'))"

_TAKE: Final = """
    select position, user_id, message_id, event from outbox order by position limit $1
"""

_FORGET: Final = "delete from outbox where position = any($1)"

_BIND: Final = "select set_config('labkit.acting_user', $1, true)"

_NOTIFIED: Final = """
    insert into stages (message_id, user_id, stage) values ($1, $2, 'notified')
    on conflict do nothing
"""

_FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ServiceUnavailable)

_GOODBYE_S: Final = 2.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class RelayLimits:
    """How a relay paces itself; times in seconds."""

    batch: int = 200
    """How many events it publishes at once."""
    look_s: float = 1.0
    """How often it looks without having been called: the safety net."""
    follow_s: float = 0.2
    """How often one that does not lead tries to, and how soon one that failed begins again."""
    answer_s: float = 10.0
    """How long the database may take to answer."""


@dataclass(frozen=True)
class Row:
    """An event of the outbox."""

    published: Published
    user: str
    message: str | None
    """The sender's message that this event was the end of."""


class Relay:
    """Works while it is entered, on a database connection of its own."""

    def __init__(self, url: Secret, streams: Streams, limits: RelayLimits | None = None) -> None:
        self._url = url
        self._streams = streams
        self._limits = limits or RelayLimits()
        self._task: asyncio.Task[None] | None = None
        self._called = asyncio.Event()
        self._is_connected = False
        self._leads = False

    @property
    def is_connected(self) -> bool:
        """Whether it works: it leads, or stands ready to."""
        return self._is_connected

    @property
    def leads(self) -> bool:
        """Whether it is the one that publishes."""
        return self._leads

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="relay of the outbox")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task:
            await end(self._task)
            self._task = None

    async def _work(self) -> None:
        while True:
            try:
                async with self._connected() as connection:
                    await self._lead(connection)
            except _FAILURES as error:
                _log.warning("the relay lost a connection: %s", type(error).__name__)
            except Exception:  # noqa: BLE001 -- logged; events must go out again when it is over
                _log.exception("the relay failed, and begins again")
            await asyncio.sleep(self._limits.follow_s)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        connection = await asyncpg.connect(
            self._url.reveal(),
            timeout=self._limits.answer_s,
            command_timeout=self._limits.answer_s,
            statement_cache_size=0,
        )
        try:
            await connection.execute("select set_config('labkit.relay', 'on', false)")
            connection.add_termination_listener(lambda _: self._called.set())
            self._is_connected = True
            yield connection
        finally:
            self._is_connected = self._leads = False
            await _part(connection)

    async def _lead(self, connection: _Connection) -> None:
        while not await connection.fetchval(_LEAD):
            await self._wait(self._limits.follow_s)
        self._leads = True
        _log.info("this relay leads")
        await connection.add_listener("outbox", lambda *_: self._called.set())
        while True:
            while rows := await self.take(connection):
                await self.publish(rows)
                await self.forget(connection, rows)
            await self._wait(self._limits.look_s)

    async def _wait(self, longest_s: float) -> None:
        """Wait until it is called, which may have been before, or the time is over."""
        try:
            async with asyncio.timeout(longest_s):
                await self._called.wait()
        except TimeoutError:
            return
        self._called.clear()

    async def take(self, connection: _Connection) -> Sequence[Row]:
        """The oldest events of the outbox, which stay in it for now."""
        records = await connection.fetch(_TAKE, self._limits.batch)
        return [_row(*record) for record in records]

    async def publish(self, rows: Sequence[Row]) -> None:
        """Let the events go out."""
        await self._streams.publish([row.published for row in rows])

    async def forget(self, connection: _Connection, rows: Sequence[Row]) -> None:
        """Take published events out of the outbox, and note which messages reached their end."""
        async with connection.transaction():
            await connection.execute(_FORGET, [row.published.position for row in rows])
            for row in rows:
                if row.message is not None:
                    await connection.execute(_BIND, row.user)
                    await connection.execute(_NOTIFIED, row.message, row.user)


async def _part(connection: _Connection) -> None:
    """Say goodbye, so that the lock is free at once; a connection that takes too long is cut."""
    try:
        await connection.close(timeout=_GOODBYE_S)
    except (*_FAILURES, TimeoutError) as error:
        _log.info("the relay's connection ended without a goodbye: %s", type(error).__name__)


def _row(position: int, user: str, message: str | None, event: Any) -> Row:
    return Row(Published(event_from_json(json.loads(event)), position), user, message)
