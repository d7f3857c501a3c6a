"""What is cached is its user's alone, and nothing is kept without a time to live."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import ResponseError

from labkit.errors import Rejected
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import redis_client, run_script
from labkit.reference.cache.texts import _INCREMENT, UserTexts
from labkit.services.endpoints import Lease
from labkit.witness import Witness
from tests.reference.stage import asynchronous

LONG_MS = 600_000


@asynccontextmanager
async def caching(lease: Lease) -> AsyncIterator[UserTexts]:
    """A cache in the leased Redis."""
    async with aclosing(redis_client(lease.redis_url)) as redis:
        yield UserTexts(redis, KeySpace(lease.redis_prefix))


async def expired(cache: UserTexts, user: str, key: str) -> bool:
    """Whether the text goes away, waiting no longer than the deadline."""
    give_up_at = time.monotonic() + 15
    while await cache.read(user, key) is not None:
        if time.monotonic() >= give_up_at:
            return False
        await asyncio.sleep(0.005)
    return True


@asynchronous
async def test_a_text_is_read_back_as_it_was_written(lease: Lease) -> None:
    """Whatever characters it or its key has, the empty text among them."""
    async with caching(lease) as cache:
        for key, text in (("profile", "Ann"), ("", ""), ("a:b*\n", "å\0\n\U0001f600")):
            assert await cache.read("ann", key) is None
            await cache.write("ann", key, text, ttl_ms=LONG_MS)
            assert await cache.read("ann", key) == text


@asynchronous
async def test_a_text_that_no_server_can_take_is_rejected(lease: Lease) -> None:
    """Half a surrogate pair is not text; nothing is kept of it."""
    async with caching(lease) as cache:
        with pytest.raises(Rejected, match="cannot write 'profile' of user 'ann'"):
            await cache.write("ann", "profile", "\ud83d", ttl_ms=LONG_MS)
        assert await cache.read("ann", "profile") is None


@asynchronous
async def test_what_is_kept_and_is_no_text_is_rejected(lease: Lease) -> None:
    """Somebody else put bytes there; it can be told, forgotten, and written over."""
    async with caching(lease) as cache, aclosing(redis_client(lease.redis_url)) as redis:
        key = KeySpace(lease.redis_prefix).named("ann", Kind.CACHE, "a")
        await redis.set(key, b"\xff\xfe", px=LONG_MS)
        with pytest.raises(Rejected, match=r"cannot read 'a' of user 'ann': .*utf-8"):
            await cache.read("ann", "a")
        await cache.write("ann", "a", "text", ttl_ms=LONG_MS)
        assert await cache.read("ann", "a") == "text"


@asynchronous
async def test_users_and_keys_that_look_alike_do_not_meet(lease: Lease) -> None:
    """Each pair keeps its own text, and the witness finds each key under its user's prefix."""
    pairs = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "b%3Ac"),
        ("*", "c"),
        ("a", "*"),
        ("a\n", ""),
        ("%", ""),
    ]
    async with caching(lease) as cache, Witness(lease) as witness:
        for number, (user, key) in enumerate(pairs):
            await cache.write(user, key, str(number), ttl_ms=LONG_MS)
        assert [await cache.read(*pair) for pair in pairs] == list(map(str, range(len(pairs))))
        keys = await witness.keys()
        assert len(keys) == len(pairs)
        for user in {user for user, _ in pairs}:
            own = [key for key in keys if key.startswith(cache.prefix(user))]
            assert len(own) == sum(other == user for other, _ in pairs)


@pytest.mark.parametrize("user", ["", "nul\0", "half \ud800", "x" * 201, None, 7, b"ann"])
@asynchronous
async def test_an_id_that_no_user_can_have_is_rejected(lease: Lease, user: Any) -> None:
    """The same ids as everywhere in the platform, by every method."""
    async with caching(lease) as cache, Witness(lease) as witness:
        for work in (
            cache.read(user, "a"),
            cache.write(user, "a", "1", ttl_ms=LONG_MS),
            cache.ttl_ms(user, "a"),
            cache.extend(user, "a", ttl_ms=LONG_MS),
            cache.increment(user, "a", ttl_ms=LONG_MS),
            cache.invalidate(user, "a"),
            cache.invalidate_all(user),
        ):
            with pytest.raises(Rejected, match="a user's id must be a text"):
                await work
        assert await witness.keys() == frozenset()


@asynchronous
async def test_a_text_goes_when_its_time_is_over(lease: Lease) -> None:
    """The server keeps it for the time that was given, and then there is none."""
    async with caching(lease) as cache:
        await cache.write("ann", "short", "x", ttl_ms=30)
        await cache.write("ann", "long", "y", ttl_ms=LONG_MS)
        assert LONG_MS - 60_000 < (await cache.ttl_ms("ann", "long") or 0) <= LONG_MS
        assert await expired(cache, "ann", "short")
        assert await cache.ttl_ms("ann", "short") is None
        assert await cache.read("ann", "long") == "y"


@asynchronous
async def test_writing_again_gives_a_new_time(lease: Lease) -> None:
    """No text loses its time to live by being written over, by a count or by being extended."""
    async with caching(lease) as cache:
        await cache.write("ann", "a", "1", ttl_ms=LONG_MS)
        await cache.write("ann", "a", "2", ttl_ms=60_000)
        assert 0 < (await cache.ttl_ms("ann", "a") or 0) <= 60_000
        assert await cache.increment("ann", "a", ttl_ms=LONG_MS) == 3
        assert 60_000 < (await cache.ttl_ms("ann", "a") or 0) <= LONG_MS
        assert await cache.extend("ann", "a", ttl_ms=60_000)
        assert 0 < (await cache.ttl_ms("ann", "a") or 0) <= 60_000


@asynchronous
async def test_extending_revives_nothing(lease: Lease) -> None:
    """What has expired or never was stays away."""
    async with caching(lease) as cache:
        await cache.write("ann", "short", "x", ttl_ms=1)
        assert await expired(cache, "ann", "short")
        for key in ("short", "never"):
            assert not await cache.extend("ann", key, ttl_ms=LONG_MS)
            assert await cache.read("ann", key) is None


@asynchronous
async def test_a_time_that_makes_no_sense_is_rejected(lease: Lease) -> None:
    """It would forget what is there, or not be taken by Redis; the text stays as it was."""
    async with caching(lease) as cache:
        await cache.write("ann", "a", "7", ttl_ms=LONG_MS)
        for ttl_ms in (0, -1, 2**63 - 1):
            with pytest.raises(Rejected, match=f"cannot be kept for {ttl_ms} ms"):
                await cache.write("ann", "a", "8", ttl_ms=ttl_ms)
            with pytest.raises(Rejected, match=f"cannot be kept for {ttl_ms} ms"):
                await cache.extend("ann", "a", ttl_ms=ttl_ms)
            with pytest.raises(Rejected, match=f"cannot be kept for {ttl_ms} ms"):
                await cache.increment("ann", "a", ttl_ms=ttl_ms)
            with pytest.raises(Rejected, match=f"cannot be kept for {ttl_ms} ms"):
                await cache.increment("ann", "new", ttl_ms=ttl_ms)
        assert await cache.read("ann", "a") == "7"
        assert await cache.read("ann", "new") is None


@pytest.mark.parametrize("ttl_ms", [1.5, 1000.0, float("nan"), True, None, "1000"])
@asynchronous
async def test_a_time_that_is_no_whole_number_is_rejected(lease: Lease, ttl_ms: Any) -> None:
    """Nothing is sent then: neither written, nor counted, nor extended."""
    async with caching(lease) as cache, Witness(lease) as witness:
        for work in (
            cache.write("ann", "a", "1", ttl_ms=ttl_ms),
            cache.increment("ann", "a", ttl_ms=ttl_ms),
            cache.extend("ann", "a", ttl_ms=ttl_ms),
        ):
            with pytest.raises(Rejected, match=f"cannot be kept for {ttl_ms!r} ms"):
                await work
        assert await witness.keys() == frozenset()


@pytest.mark.parametrize("ttl_ms", ["1.5", "0", "later"])
@asynchronous
async def test_no_counter_is_made_without_an_end(lease: Lease, ttl_ms: str) -> None:
    """Nor is one counted that is there, by the script itself, when the end is refused."""
    key = f"{lease.redis_prefix}counter"
    async with aclosing(redis_client(lease.redis_url)) as redis:
        with pytest.raises(ResponseError, match=r"not an integer|invalid expire"):
            await run_script(redis, _INCREMENT, key, ttl_ms)
        assert await redis.get(key) is None
        await run_script(redis, _INCREMENT, key, LONG_MS)
        with pytest.raises(ResponseError, match=r"not an integer|invalid expire"):
            await run_script(redis, _INCREMENT, key, ttl_ms)
        assert await redis.get(key) == "1"


@asynchronous
async def test_counting_at_once_loses_nothing(lease: Lease) -> None:
    """Each of many increments gets a number of its own."""
    async with caching(lease) as cache:
        counting = (cache.increment("ann", "hits", ttl_ms=LONG_MS) for _ in range(100))
        assert sorted(await asyncio.gather(*counting)) == list(range(1, 101))
        assert await cache.read("ann", "hits") == "100"


@asynchronous
async def test_what_is_no_counter_cannot_be_counted(lease: Lease) -> None:
    """It is rejected, and both text and time stay."""
    async with caching(lease) as cache:
        await cache.write("ann", "name", "Ann", ttl_ms=60_000)
        with pytest.raises(Rejected, match="cannot count 'name' of user 'ann'"):
            await cache.increment("ann", "name", ttl_ms=LONG_MS)
        assert await cache.read("ann", "name") == "Ann"
        assert (await cache.ttl_ms("ann", "name") or 0) <= 60_000


@asynchronous
async def test_forgetting_a_key_says_whether_it_was_there(lease: Lease) -> None:
    """The first time there was something, the second time nothing."""
    async with caching(lease) as cache:
        await cache.write("ann", "a", "1", ttl_ms=LONG_MS)
        assert await cache.invalidate("ann", "a")
        assert not await cache.invalidate("ann", "a")
        assert await cache.read("ann", "a") is None


@asynchronous
async def test_forgetting_all_of_a_user_leaves_the_others(lease: Lease) -> None:
    """Users whose ids are patterns or prefixes of one another, and what is not cached, stay."""
    users = ("*", "a", "a*", "a:cache", "ab", "[a]")
    async with caching(lease) as cache, aclosing(redis_client(lease.redis_url)) as redis:
        events = KeySpace(lease.redis_prefix).key("*", Kind.EVENTS)
        await redis.set(events, "kept")
        for user in users:
            await asyncio.gather(
                *(cache.write(user, str(n), user, ttl_ms=LONG_MS) for n in range(20))
            )
        for gone, user in enumerate(users, start=1):
            assert await cache.invalidate_all(user) == 20
            left = [await cache.read(other, "0") for other in users]
            assert left == [None] * gone + list(users[gone:])
        assert await cache.invalidate_all("a") == 0
        assert await redis.get(events) == "kept"
