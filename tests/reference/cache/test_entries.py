"""Each step touches one key, leaves nothing without a time to live, and fills by a lease alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from labkit.errors import ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.cache.entries import Look, TitleEntries, TitleTimes, VersionedTitle
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import ANSWER_S, RedisClient, redis_client
from labkit.reference.data.pool import PoolLimits
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous

OLD, NEW = VersionedTitle("old", 1), VersionedTitle("", 2)
TIMES = TitleTimes(title_ms=300_000, lease_ms=100_000, intent_ms=200_000, doubt_ms=400_000)


@asynccontextmanager
async def entries(
    lease: Lease, times: TitleTimes = TIMES
) -> AsyncIterator[tuple[TitleEntries, RedisClient]]:
    """The steps on the leased Redis, and a client beside them."""
    async with aclosing(redis_client(lease.redis_url)) as redis:
        yield TitleEntries(redis, KeySpace(lease.redis_prefix), times), redis


async def leased(steps: TitleEntries, thread: str = "t") -> str:
    """A reader's lease on a thread of `ann`, of which nothing is there."""
    look = await steps.look("ann", thread)
    assert look.value is None
    assert look.lease is not None
    return look.lease


@asynchronous
async def test_one_of_two_readers_gets_the_lease_and_fills(lease: Lease) -> None:
    """The other gets nothing; whoever comes later gets the value, the empty title too."""
    async with entries(lease) as (steps, _):
        token = await leased(steps)
        assert await steps.look("ann", "t") == Look()
        assert await steps.fill("ann", "t", token, NEW)
        assert await steps.look("ann", "t") == Look(value=NEW)


@asynchronous
async def test_nothing_is_filled_without_the_lease(lease: Lease) -> None:
    """Not by another token, not twice, and not once it was withdrawn or forgotten."""
    async with entries(lease) as (steps, _):
        token = await leased(steps)
        assert not await steps.fill("ann", "t", "other", OLD)
        assert await steps.fill("ann", "t", token, NEW)
        assert not await steps.fill("ann", "t", token, OLD)
        await steps.clear("ann", "t")
        token = await leased(steps)
        intent = await steps.mark("ann", "t")
        assert not await steps.fill("ann", "t", token, OLD)
        assert await steps.clear("ann", "t", intent)
        assert not await steps.fill("ann", "t", token, OLD)
        token = await leased(steps)
        assert await steps.clear_all("ann") == 1
        assert not await steps.fill("ann", "t", token, OLD)
        assert (await steps.look("ann", "t")).value is None


@asynchronous
async def test_readers_pass_an_intent_by(lease: Lease) -> None:
    """They find neither the value that it withdrew nor a lease, until its writer removes it."""
    async with entries(lease) as (steps, _):
        await steps.fill("ann", "t", await leased(steps), OLD)
        intent = await steps.mark("ann", "t")
        assert await steps.look("ann", "t") == Look()
        assert await steps.clear("ann", "t", intent)
        await leased(steps)


@asynchronous
async def test_an_intent_is_removed_by_its_own_writer_alone(lease: Lease) -> None:
    """The later of two takes the earlier one's place, and stays when that one is done."""
    async with entries(lease) as (steps, _):
        first, second = await steps.mark("ann", "t"), await steps.mark("ann", "t")
        assert not await steps.clear("ann", "t", first)
        assert not await steps.clear("ann", "t")
        assert await steps.clear_all("ann") == 0
        assert await steps.look("ann", "t") == Look()
        assert await steps.clear("ann", "t", second)
        assert not await steps.clear("ann", "t", second)


@asynchronous
async def test_an_intent_is_prolonged_by_its_own_writer_alone(lease: Lease) -> None:
    """Not where another's stands, nor where it is gone: then the row was free in between."""
    async with entries(lease) as (steps, redis):
        key = KeySpace(lease.redis_prefix).named("ann", Kind.TITLES, "t")
        first = await steps.mark("ann", "t")
        assert await steps.prolong("ann", "t", first)
        assert TIMES.title_ms < await redis.pttl(key) <= TIMES.doubt_ms
        second = await steps.mark("ann", "t")
        assert not await steps.prolong("ann", "t", first)
        assert await redis.pttl(key) <= TIMES.intent_ms
        assert await steps.clear("ann", "t", second)
        assert not await steps.prolong("ann", "t", second)
        await steps.fill("ann", "t", await leased(steps), NEW)
        assert not await steps.prolong("ann", "t", second)
        assert await steps.look("ann", "t") == Look(value=NEW)


def test_an_intent_outlives_the_longest_change() -> None:
    """Its waits: for Redis' answer, a commit, a rollback, a release, and to reach Redis again."""
    answer_s, reach_s = ANSWER_S, 3 * ANSWER_S  # a free connection, connecting, an answer
    assert TitleTimes().intent_ms > 1_000 * (answer_s + 3 * PoolLimits().command_s + reach_s)


@asynchronous
async def test_everything_has_its_time_to_live(lease: Lease) -> None:
    """A lease, a value in its place, an intent in that one's, and all of it once more."""
    async with entries(lease) as (steps, redis):
        key = KeySpace(lease.redis_prefix).named("ann", Kind.TITLES, "t")
        for _ in range(2):
            token = await leased(steps)
            assert 60_000 < await redis.pttl(key) <= TIMES.lease_ms
            await steps.fill("ann", "t", token, OLD)
            assert TIMES.intent_ms < await redis.pttl(key) <= TIMES.title_ms
            intent = await steps.mark("ann", "t")
            assert TIMES.lease_ms < await redis.pttl(key) <= TIMES.intent_ms
            await steps.clear("ann", "t", intent)
            assert await redis.pttl(key) == -2


@pytest.mark.parametrize("left", ["lease", "title", "intent"])
@asynchronous
async def test_what_is_left_behind_expires(lease: Lease, left: str) -> None:
    """A reader or a writer that died is in nobody's way after its time."""
    short = TitleTimes(**{**vars(TIMES), f"{left}_ms": 1_000})
    async with entries(lease, short) as (steps, _):
        begun = time.monotonic()
        match left:
            case "lease":
                await leased(steps)
            case "title":
                await steps.fill("ann", "t", await leased(steps), OLD)
            case "intent":
                await steps.mark("ann", "t")
        give_up_at = time.monotonic() + 10
        while (await steps.look("ann", "t")).lease is None:
            assert time.monotonic() < give_up_at
            await asyncio.sleep(0.005)
        assert time.monotonic() - begun >= 0.99  # of the second that it has


@asynchronous
async def test_titles_are_each_users_own(lease: Lease) -> None:
    """Users and threads that look alike do not meet; all of one are removed, and no other's."""
    pairs = [("a", "b:c"), ("a:b", "c"), ("*", "c"), ("a", "*"), ("ab", "c"), ("a:titles", "c")]
    async with entries(lease) as (steps, _):
        for version, (user, thread) in enumerate(pairs):
            token = (await steps.look(user, thread)).lease
            assert token is not None
            await steps.fill(user, thread, token, VersionedTitle(user, version))
        for version, (user, thread) in enumerate(pairs):
            found = (await steps.look(user, thread)).value
            assert found == VersionedTitle(user, version)
        assert await steps.clear_all("a") == 2
        assert await steps.clear_all("*") == 1
        left = [(await steps.look(*pair)).value is not None for pair in pairs]
        assert left == [False, True, False, False, True, True]


@asynchronous
async def test_steps_without_redis_say_so() -> None:
    """Each of them tells what cannot be done."""
    async with aclosing(redis_client(Secret("redis://127.0.0.1:1/0"))) as redis:
        steps = TitleEntries(redis, KeySpace("none:"))
        for work, words in (
            (steps.look("ann", "t"), "cannot look for the title of thread 't' of user 'ann'"),
            (steps.fill("ann", "t", "token", OLD), "cannot keep the title"),
            (steps.mark("ann", "t"), "cannot withdraw the title"),
            (steps.prolong("ann", "t", "token"), "cannot keep out the title"),
            (steps.clear("ann", "t"), "cannot forget the title"),
            (steps.clear_all("ann"), "cannot forget all titles of user 'ann'"),
        ):
            with pytest.raises(ServiceUnavailable, match=words):
                await work
