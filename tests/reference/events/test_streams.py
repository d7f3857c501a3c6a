"""Published events in Redis."""

from __future__ import annotations

import asyncio

import pytest

from labkit.errors import ServiceUnavailable
from labkit.ids import UserID
from labkit.redaction import Secret
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.events.streams import BEGINNING, Published, StreamLimits, Streams, order
from labkit.services.endpoints import Lease
from tests.reference.publishing import event, streams_on
from tests.reference.stage import asynchronous


async def kept(streams: Streams, user: str) -> list[int | None]:
    """The `seq` of what is kept for a user."""
    return [published.event.seq async for published in streams.events(user)]


@asynchronous
async def test_events_come_back_as_they_were_published(lease: Lease) -> None:
    """In order, with all that they hold, and their place in the outbox."""
    async with streams_on(lease) as streams:
        batch = [
            Published(event("u", seq, data={"text": "ü\n\0 {}", "n": [1, None]}), position=seq)
            for seq in range(1_234)
        ]
        await streams.publish(batch)
        assert [published async for published in streams.events("u")] == batch


@asynchronous
async def test_each_user_has_a_stream_of_his_own(lease: Lease) -> None:
    """Also users whose ids are made to collide."""
    users = ["a", "a:b", "a*", "a%3Ab", "", UserID.new()]
    async with streams_on(lease) as streams:
        await streams.publish([Published(event(user), 0) for user in users])
        assert len({streams.key(user) for user in users}) == len(users)
        for user in users:
            (published,) = [published async for published in streams.events(user)]
            assert published.event.user == user


@asynchronous
async def test_a_stream_is_bounded_in_length(lease: Lease) -> None:
    """The last events are kept, and exactly as many as the limit says."""
    async with streams_on(lease, StreamLimits(events=10)) as streams:
        await streams.publish([Published(event("u", seq), seq) for seq in range(25)])
        assert await kept(streams, "u") == list(range(15, 25))


@asynchronous
async def test_a_stream_is_bounded_in_time(lease: Lease) -> None:
    """It expires so long after the last event was added, and none before that."""
    async with streams_on(lease, StreamLimits(keep_ms=90_000)) as streams:
        await streams.publish([Published(event("u"), 0)])
        redis = redis_client(lease.redis_url)
        assert 60_000 < await redis.pttl(streams.key("u")) <= 90_000
        await redis.pexpire(streams.key("u"), 50)
        await streams.publish([Published(event("u", 1), 1)])
        assert await redis.pttl(streams.key("u")) > 60_000
        await redis.aclose()


@asynchronous
async def test_the_last_place_of_a_stream_tells_what_comes_later(lease: Lease) -> None:
    """It moves with each event, and begins before the first."""
    async with streams_on(lease) as streams:
        places = [await streams.last("u")]
        for seq in range(3):
            await streams.publish([Published(event("u", seq), seq)])
            places.append(await streams.last("u"))
        assert places[0] == BEGINNING
        assert sorted(places, key=order) == places
        assert len(set(places)) == 4


def test_places_are_in_the_order_of_numbers() -> None:
    """Not in that of texts."""
    assert order("9-10") < order("10-2") < order("10-10")


@asynchronous
async def test_a_redis_that_cannot_be_reached_is_told(lease: Lease) -> None:
    """By every method, as one kind of error."""
    redis = redis_client(Secret("redis://127.0.0.1:1/0"))
    streams = Streams(redis, KeySpace(lease.redis_prefix))
    for doing in (
        streams.publish([Published(event("u"), 0)]),
        streams.last("u"),
        streams.signal("x"),
        streams.ping(),
        asyncio.create_task(kept(streams, "u")),
    ):
        with pytest.raises(ServiceUnavailable):
            await doing
    await redis.aclose()
