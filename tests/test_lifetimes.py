"""Keys are followed to their end, by what the server says of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from labkit.lifetimes import follow_lifetimes, monotonic_ms
from labkit.services.connect import RedisConnection, connect_redis
from labkit.services.endpoints import Lease
from labkit.services.urls import RedisUrl
from labkit.witness import Witness


@asynccontextmanager
async def opened(lease: Lease) -> AsyncIterator[tuple[Witness, RedisConnection]]:
    """A witness, and a connection that may write."""
    redis = await connect_redis(RedisUrl.parse(lease.redis_url.reveal()), name="test")
    try:
        async with Witness(lease) as witness:
            yield witness, redis
    finally:
        await redis.close()


def test_keys_are_followed_until_all_are_gone(lease: Lease) -> None:
    """What each has left goes down to nothing, not before its time was over."""

    async def follow() -> None:
        async with opened(lease) as (witness, redis):
            keys = {ttl: f"{lease.redis_prefix}{ttl}" for ttl in ("1000", "2000")}
            began_ms = monotonic_ms()
            for ttl, key in keys.items():
                await redis.command("SET", key, "x", "PX", ttl)
            samples = await follow_lifetimes(witness, keys, deadline_s=10, every_s=0.005)
        for ttl, taken in samples.items():
            left = [one.left_ms for one in taken if one.left_ms is not None]
            assert left == sorted(left, reverse=True)
            assert left[0] <= float(ttl)
            assert taken[-1].left_ms is None
            assert taken[-1].at_ms - began_ms >= float(ttl) - 5  # its clock has a step of its own

    asyncio.run(follow())


def test_a_key_without_an_end_is_given_up_at_the_deadline(lease: Lease) -> None:
    """It is told as infinite, and one that is not there as nothing, in a bounded time."""

    async def follow() -> None:
        async with opened(lease) as (witness, redis):
            kept = f"{lease.redis_prefix}kept"
            await redis.command("SET", kept, "x")
            keys = {"kept": kept, "none": f"{lease.redis_prefix}none"}
            samples = await follow_lifetimes(witness, keys, deadline_s=0.05)
        assert {one.left_ms for one in samples["kept"]} == {math.inf}
        assert {one.left_ms for one in samples["none"]} == {None}

    asyncio.run(follow())
