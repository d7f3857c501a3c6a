"""Tells the connections of this process what is published for their users, as it comes.

One blocking read waits on the streams of all users who are connected here, and on a stream of the
process's own, by which it is woken when a user is to be added to the read.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

from labkit.errors import ServiceUnavailable
from labkit.reference.cache.redis_client import RedisClient, redis_refusals
from labkit.reference.events.streams import (
    BEGINNING,
    Entries,
    Published,
    Streams,
    order,
    published_in,
)
from labkit.reference.tasks import end

Take: TypeAlias = Callable[[Published], Awaitable[None]]
"""How a connection is given an event; it must not keep its caller waiting."""

_BLOCK_MS: Final = 2_000
"""How long one read waits: less than the client's patience with an answer."""

_COUNT: Final = 200
"""How many entries of each stream one read gives."""

_PAUSE_S: Final = 0.2
"""How long it waits before it tries again, when Redis could not be reached."""

_log: Final = logging.getLogger(__name__)


@dataclass
class _Feed:
    """One user's stream, as this process follows it."""

    place: str
    """The last entry that was given on."""
    takers: list[Take] = field(default_factory=list)


class Follower:
    """Follows streams while it is entered; nobody else may wait for its `reader`."""

    def __init__(self, streams: Streams, reader: RedisClient) -> None:
        self._streams = streams
        self._reader = reader
        self._name = uuid.uuid4().hex
        self._woken = BEGINNING
        self._feeds: dict[str, _Feed] = {}
        """By the streams' keys."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="follower of streams")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task:
            await end(self._task)
            self._task = None

    @asynccontextmanager
    async def following(self, user: str, take: Take) -> AsyncIterator[None]:
        """Within the block, `take` is given all that is published for the user from now on.

        Raises `ServiceUnavailable` when Redis cannot be reached.
        """
        key = self._streams.key(user)
        if key not in self._feeds:
            place = await self._streams.last(user)
            self._feeds.setdefault(key, _Feed(place))
        feed = self._feeds[key]
        feed.takers.append(take)
        try:
            await self._streams.signal(self._name)
            yield
        finally:
            feed.takers.remove(take)
            if not feed.takers:
                del self._feeds[key]

    def takers(self, published: Published) -> Iterable[Take]:
        """Who is given an event: the connections of the user whose it is."""
        feed = self._feeds.get(self._streams.key(published.event.user))
        return tuple(feed.takers) if feed else ()

    async def _follow(self) -> None:
        while True:
            try:
                for key, entries in await self._read():
                    await self._give_on(key, entries)
            except ServiceUnavailable as error:
                _log.warning("the streams cannot be followed: %s", type(error.__cause__).__name__)
                await asyncio.sleep(_PAUSE_S)
            except Exception:  # noqa: BLE001 -- logged; the connections still want their events
                _log.exception("following the streams failed, and goes on")
                await asyncio.sleep(_PAUSE_S)

    async def _read(self) -> Sequence[tuple[str, Entries]]:
        places: dict[Any, Any] = {key: feed.place for key, feed in self._feeds.items()}
        places[self._streams.signal_key(self._name)] = self._woken
        with redis_refusals("read the streams"):
            found: Any = await self._reader.xread(places, count=_COUNT, block=_BLOCK_MS)
        return found or ()

    async def _give_on(self, key: str, entries: Entries) -> None:
        for place, fields in entries:
            feed = self._feeds.get(key)
            if feed and order(place) > order(feed.place):  # it may have been followed anew
                feed.place = place
                published = published_in(fields)
                for take in self.takers(published):
                    await take(published)
        if key == self._streams.signal_key(self._name):
            self._woken = entries[-1][0]
