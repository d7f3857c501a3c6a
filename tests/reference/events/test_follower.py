"""What is published reaches those who follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

import pytest

from labkit.errors import ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.events.follower import Follower
from labkit.reference.events.streams import Published, Streams
from labkit.services.endpoints import Lease
from tests.reference.publishing import Taken, event, follower_on, streams_on
from tests.reference.stage import asynchronous


def batch(user: str, numbers: Iterable[int]) -> list[Published]:
    """Events of a user with these numbers."""
    return [Published(event(user, number), number) for number in numbers]


@asynchronous
async def test_a_follower_gives_on_what_is_published_from_now_on(lease: Lease) -> None:
    """In order, without a gap, and nothing of what was before."""
    async with streams_on(lease) as streams, follower_on(lease, streams) as follower:
        await streams.publish(batch("u", range(3)))
        taken = Taken()
        async with follower.following("u", taken.take):
            for number in range(3, 60):
                await streams.publish(batch("u", [number]))
            assert await taken.number(57) == list(range(3, 60))


@asynchronous
async def test_each_taker_of_each_process_gets_its_own_users_events(lease: Lease) -> None:
    """Two followers, as in two processes, with two takers of each of two users."""
    async with (
        streams_on(lease) as streams,
        follower_on(lease, streams) as one,
        follower_on(lease, streams) as other,
    ):
        takers = {(user, number): Taken() for user in ("a", "b") for number in range(4)}
        async with AsyncExitStack() as stack:
            for (user, number), taken in takers.items():
                follower = (one, other)[number % 2]
                await stack.enter_async_context(follower.following(user, taken.take))
            await streams.publish([*batch("a", range(5)), *batch("b", range(5, 9))])
            for (user, _), taken in takers.items():
                expected = list(range(5)) if user == "a" else list(range(5, 9))
                assert await taken.number(len(expected)) == expected
                assert {published.event.user for published in taken.published} == {user}


@asynchronous
async def test_a_user_who_is_added_gets_events_at_once(lease: Lease) -> None:
    """Although the read that is under way does not ask for his stream."""
    async with streams_on(lease) as streams, follower_on(lease, streams) as follower:
        for number in range(20):
            taken = Taken()
            async with follower.following(f"u{number}", taken.take):
                await streams.publish(batch(f"u{number}", [number]))
                async with asyncio.timeout(15):
                    assert await taken.number(1) == [number]


@asynchronous
async def test_who_has_left_is_given_nothing(lease: Lease) -> None:
    """While another goes on, and one who comes again begins anew."""
    async with streams_on(lease) as streams, follower_on(lease, streams) as follower:
        first, second, again = Taken(), Taken(), Taken()
        async with follower.following("u", second.take):
            async with follower.following("u", first.take):
                await streams.publish(batch("u", [0]))
                await first.number(1)
            await streams.publish(batch("u", [1]))
            assert await second.number(2) == [0, 1]
            async with follower.following("u", again.take):
                await streams.publish(batch("u", [2]))
                assert await again.number(1) == [2]
        assert [published.event.seq for published in first.published] == [0]
        assert list(follower.takers(*batch("u", [3]))) == []


@asynchronous
async def test_a_follower_goes_on_after_its_connection_was_cut(lease: Lease) -> None:
    """From where it was, so that nothing is missed and nothing given twice."""
    async with streams_on(lease) as streams:
        reader = redis_client(lease.redis_url, connections=1)
        async with Follower(streams, reader) as follower:
            taken = Taken()
            async with follower.following("u", taken.take):
                await streams.publish(batch("u", range(3)))
                await taken.number(3)
                await reader.connection_pool.disconnect(inuse_connections=True)
                await streams.publish(batch("u", range(3, 6)))
                assert await taken.number(6) == list(range(6))
        await reader.aclose()


@asynchronous
async def test_to_follow_without_redis_is_refused(lease: Lease) -> None:
    """And nothing is kept of the try."""
    redis = redis_client(Secret("redis://127.0.0.1:1/0"))
    follower = Follower(Streams(redis, KeySpace(lease.redis_prefix)), redis)
    with pytest.raises(ServiceUnavailable):
        async with follower.following("u", Taken().take):
            raise AssertionError("it was not refused")
    assert list(follower.takers(*batch("u", [0]))) == []
    await redis.aclose()
