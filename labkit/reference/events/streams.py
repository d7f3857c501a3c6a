"""Published events in Redis: one stream for each user, bounded in length and in time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from labkit.events import Event, event_from_json
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import RedisClient, redis_refusals

Entries: TypeAlias = Sequence[tuple[str, Mapping[str, str]]]
"""What Redis gives of a stream: the id and the fields of each entry."""

BEGINNING: Final = "0-0"
"""The place before the first entry of any stream."""

_PAGE: Final = 500

_SIGNAL_MS: Final = 60_000


@dataclass(frozen=True)
class StreamLimits:
    """How much of a user's stream is kept."""

    events: int = 10_000
    """So many of the last ones."""
    keep_ms: int = 3_600_000
    """So long after the last one, in milliseconds."""


@dataclass(frozen=True)
class Published:
    """An event on its way to its user."""

    event: Event
    position: int
    """Its place in the outbox: the same when it is published a second time."""


class Streams:
    """Takes events in, and gives back what it still has of them.

    Every method raises `ServiceUnavailable` when Redis cannot be reached.
    """

    def __init__(
        self, redis: RedisClient, keys: KeySpace, limits: StreamLimits | None = None
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._limits = limits or StreamLimits()

    async def publish(self, batch: Sequence[Published]) -> None:
        """Append the events to their users' streams, in order, and all of them or none."""
        with redis_refusals("publish events"):
            async with self._redis.pipeline(transaction=True) as pipeline:
                for published in batch:
                    key = self.key(published.event.user)
                    pipeline.xadd(
                        key,
                        {
                            "position": published.position,
                            "event": json.dumps(published.event.to_json()),
                        },
                        maxlen=self._limits.events,
                        approximate=False,
                    )
                    pipeline.pexpire(key, self._limits.keep_ms)
                await pipeline.execute()

    async def last(self, user: str) -> str:
        """The place of the last entry that the user's stream has now."""
        with redis_refusals("look at a stream"):
            entries = await self._redis.xrevrange(self.key(user), count=1)
        return str(entries[0][0]) if entries else BEGINNING

    async def events(self, user: str) -> AsyncIterator[Published]:
        """What is kept of the user's events, oldest first."""
        place = "-"
        while True:
            with redis_refusals("read a stream"):
                answer: Any = await self._redis.xrange(self.key(user), min=place, count=_PAGE)
            entries: Entries = answer
            for _, fields in entries:
                yield published_in(fields)
            if len(entries) < _PAGE:
                return
            place = f"({entries[-1][0]}"

    async def signal(self, name: str) -> None:
        """Append an entry without content to a stream of this name, for one process to wait on."""
        with redis_refusals("wake a reader of streams"):
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.xadd(self.signal_key(name), {"": ""}, maxlen=1, approximate=False)
                pipeline.pexpire(self.signal_key(name), _SIGNAL_MS)
                await pipeline.execute()

    def signal_key(self, name: str) -> str:
        """Where that stream lies."""
        return f"{self._keys.prefix}signal:{name}"

    async def ping(self) -> None:
        """Whether Redis answers."""
        with redis_refusals("reach Redis"):
            await self._redis.ping()

    def key(self, user: str) -> str:
        """Where the user's stream lies."""
        return self._keys.key(user, Kind.EVENTS)


def published_in(fields: Mapping[str, str]) -> Published:
    """What an entry of a stream holds."""
    envelope: dict[str, Any] = json.loads(fields["event"])
    return Published(event_from_json(envelope), int(fields["position"]))


def order(place: str) -> tuple[int, int]:
    """A place in a stream as what can be compared."""
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number)
