"""What the tests of delivery share: streams on a lease, and events put into the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from labkit.events import Event, EventType
from labkit.ids import ExecutionID
from labkit.json_values import JsonValue
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.data.outbox import Outbox
from labkit.reference.data.store import Store
from labkit.reference.events.follower import Follower
from labkit.reference.events.streams import Published, StreamLimits, Streams
from labkit.services.endpoints import Lease


def event(
    user: str,
    seq: int | None = 0,
    run: str | None = "run",
    kind: EventType = EventType.AGENT_THINKING,
    data: Mapping[str, JsonValue] | None = None,
) -> Event:
    """An event with what a test cares about."""
    return Event(type=kind, user=user, ts=0, seq=seq, run=run, data=data or {})


@asynccontextmanager
async def streams_on(lease: Lease, limits: StreamLimits | None = None) -> AsyncIterator[Streams]:
    """Streams on a Redis client of their own."""
    redis = redis_client(lease.redis_url)
    try:
        yield Streams(redis, KeySpace(lease.redis_prefix), limits)
    finally:
        await redis.aclose()


@asynccontextmanager
async def follower_on(lease: Lease, streams: Streams) -> AsyncIterator[Follower]:
    """A follower at work."""
    reader = redis_client(lease.redis_url, connections=1)
    try:
        async with Follower(streams, reader) as follower:
            yield follower
    finally:
        await reader.aclose()


@dataclass
class Taken:
    """What one taker was given."""

    published: list[Published] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, published: Published) -> None:
        """Be given an event."""
        async with self._changed:
            self.published.append(published)
            self._changed.notify_all()

    async def number(self, count: int) -> list[int | None]:
        """Wait for so many; their `seq`."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.published) >= count)
        return [published.event.seq for published in self.published]


async def new_run(data: Store, user: str) -> str:
    """An execution of the user, in the state created, without any event."""
    thread = await data.create_thread(user, "a thread")
    run = ExecutionID.new()
    async with data.transaction(user) as transaction:
        await transaction.execute(
            "insert into executions (id, user_id, thread_id) values ($1, $2, $3)",
            run,
            user,
            thread,
        )
    return run


async def commit_events(
    data: Store, user: str, run: str, count: int, *, message: str | None = None
) -> None:
    """Let a run have so many more events, in one transaction."""
    async with data.transaction(user) as transaction:
        for _ in range(count):
            ((seq,),) = await transaction.fetch(
                "update executions set next_seq = next_seq + 1 where id = $1"
                " returning next_seq - 1",
                run,
            )
            await Outbox().append(transaction, event(user, seq, run), message=message)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it holds; the test's own deadline bounds it."""
    while not await condition():  # noqa: ASYNC110 -- it is a server that changes
        await asyncio.sleep(0.01)


async def so(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds; the test's own deadline bounds it."""
    while not condition():  # noqa: ASYNC110 -- what changes is the library's
        await asyncio.sleep(0)
