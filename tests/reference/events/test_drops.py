"""Dropped connections are remembered for their own user."""

from __future__ import annotations

from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.events.drops import Drops
from labkit.services.endpoints import Lease
from tests.reference.publishing import until
from tests.reference.stage import asynchronous


@asynchronous
async def test_a_drop_is_known_to_its_user_alone(lease: Lease) -> None:
    """By any process, and for no other connection; ids are any text."""
    redis, other = redis_client(lease.redis_url), redis_client(lease.redis_url)
    keys = KeySpace(lease.redis_prefix)
    await Drops(redis, keys).remember("u:1", "*")
    seen = Drops(other, keys)
    assert await seen.was_dropped("u:1", "*")
    for user, connection in (("u:1", "c"), ("u", "1:*"), ("*", "*"), ("u:2", "*")):
        assert not await seen.was_dropped(user, connection)
    await redis.aclose()
    await other.aclose()


@asynchronous
async def test_a_drop_is_forgotten_after_its_time(lease: Lease) -> None:
    """In milliseconds."""
    redis = redis_client(lease.redis_url)
    drops = Drops(redis, KeySpace(lease.redis_prefix), kept_ms=50)
    await drops.remember("u", "c")

    async def is_forgotten() -> bool:
        return not await drops.was_dropped("u", "c")

    await until(is_forgotten)
    await redis.aclose()
