"""Each sabotage of the cache breaks the promise that it is named for, which the platform keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pytest

from labkit.errors import Denied, ServiceUnavailable
from labkit.faults.detours import redis_detour
from labkit.faults.flow import Direction
from labkit.faults.proxy import TcpProxy
from labkit.reference import Platform
from labkit.reference.cache.user_cache import UserCache
from labkit.reference.sabotage import cache as saboteurs_cache
from labkit.services.endpoints import Lease
from labkit.witness import Witness
from tests.reference.stage import asynchronous, new_user

TTL_MS = 600_000


@dataclass(frozen=True)
class Stage:
    """An open platform, the way to its Redis, a witness, and two users of whom nobody knows."""

    target: Platform
    proxy: TcpProxy
    looking: Witness
    user: str
    other: str

    @property
    def cache(self) -> UserCache:
        """The platform's cache."""
        return self.target.cache


Probe = Callable[[Stage], Awaitable[bool]]


async def texts_are_their_users_own(on: Stage) -> bool:
    """Another user finds nothing under the same key."""
    await on.cache.write(on.user, "profile", "private", ttl_ms=TTL_MS)
    return await on.cache.read(on.other, "profile") is None


async def titles_are_their_users_own(on: Stage) -> bool:
    """Another user is denied a title that its owner has in the cache."""
    thread = await on.target.data.create_thread(on.user, "private")
    async with on.cache.session(on.user) as session, on.cache.session(on.other) as strange:
        await session.title(thread)
        try:
            await strange.title(thread)
        except Denied:
            return True
    return False


async def users_that_look_alike_do_not_meet(on: Stage) -> bool:
    """Where the one's id ends and the key begins makes a difference."""
    await on.cache.write(f"{on.user}:b", "c", "private", ttl_ms=TTL_MS)
    return await on.cache.read(on.user, "b:c") is None


async def rewriting_keeps_a_time(on: Stage) -> bool:
    """A text that is written over has a time to live."""
    for value in ("1", "2"):
        await on.cache.write(on.user, "a", value, ttl_ms=TTL_MS)
    return await on.cache.ttl_ms(on.user, "a") is not None


async def forgetting_leaves_who_begins_alike(on: Stage) -> bool:
    """A user whose id begins with the other's keeps what is cached."""
    longer = f"{on.user}a"
    await on.cache.write(longer, "a", "kept", ttl_ms=TTL_MS)
    await on.cache.invalidate_all(on.user)
    return await on.cache.read(longer, "a") == "kept"


async def forgetting_leaves_others(on: Stage) -> bool:
    """Another user keeps what is cached."""
    await on.cache.write(on.other, "a", "kept", ttl_ms=TTL_MS)
    await on.cache.invalidate_all(on.user)
    return await on.cache.read(on.other, "a") == "kept"


async def extending_revives_nothing(on: Stage) -> bool:
    """What was forgotten, as by its time, stays away."""
    await on.cache.write(on.user, "a", "1", ttl_ms=TTL_MS)
    await on.cache.invalidate(on.user, "a")
    return not await on.cache.extend(on.user, "a", ttl_ms=TTL_MS)


async def counting_loses_nothing(on: Stage) -> bool:
    """Two that count at once get two numbers, also where both are told the old one first."""
    await on.cache.increment(on.user, "hits", ttl_ms=TTL_MS)
    read = on.proxy.hold(Direction.DOWNSTREAM, when=b"$1\r\n1")
    work = (on.cache.increment(on.user, "hits", ttl_ms=TTL_MS) for _ in range(2))
    counting = [asyncio.create_task(one) for one in work]
    while read.affected_connections < 2 and not all(task.done() for task in counting):
        await asyncio.wait(counting, timeout=0.005)
    read.release()
    return sorted(await asyncio.gather(*counting)) == [2, 3]


async def cancelled_replies_reach_nobody(on: Stage) -> bool:
    """Whoever takes the connection of a cancelled request is not told that one's answer."""
    await on.cache.write(on.user, "a", "private", ttl_ms=TTL_MS)
    await on.cache.write(on.other, "a", "own", ttl_ms=TTL_MS)
    # From its first byte on: one that had come would give the connection away.
    reply = on.proxy.hold(Direction.DOWNSTREAM, when=b"$7\r\nprivate")
    reading = asyncio.create_task(on.cache.read(on.user, "a"))
    assert await reply.held(deadline_s=10)
    reading.cancel()
    await asyncio.wait([reading])
    asked = on.proxy.tap(Direction.UPSTREAM, b"GET")
    next_one = asyncio.create_task(on.cache.read(on.other, "a"))
    assert await asked.seen(deadline_s=10)
    reply.release()
    return await next_one == "own"


async def increments_are_applied_once(on: Stage) -> bool:
    """A count whose answer is lost is told as unknown, and is there once at most."""
    await on.cache.increment(on.user, "hits", ttl_ms=TTL_MS)
    reply = on.proxy.hold(Direction.DOWNSTREAM, when=b":2")
    counting = asyncio.create_task(on.cache.increment(on.user, "hits", ttl_ms=TTL_MS))
    assert await reply.held(deadline_s=10)
    await on.proxy.cut()
    reply.release()
    await asyncio.wait([counting])
    error = counting.exception()
    count = await on.cache.read(on.user, "hits")
    return isinstance(error, ServiceUnavailable) and count == "2"


async def forgotten_texts_are_gone(on: Stage) -> bool:
    """Nothing is found under a key that was forgotten."""
    await on.cache.write(on.user, "a", "1", ttl_ms=TTL_MS)
    await on.cache.invalidate(on.user, "a")
    return await on.cache.read(on.user, "a") is None


async def processes_share_texts(on: Stage) -> bool:
    """What another platform on the same lease writes is read here."""
    await on.cache.write(on.user, "a", "1", ttl_ms=TTL_MS)
    await on.cache.read(on.user, "a")
    async with Platform(on.looking.lease) as elsewhere:
        await elsewhere.cache.write(on.user, "a", "2", ttl_ms=TTL_MS)
    return await on.cache.read(on.user, "a") == "2"


async def counters_have_an_end_at_once(on: Stage) -> bool:
    """A new counter whose first answer is lost has a time to live."""
    reply = on.proxy.hold(Direction.DOWNSTREAM, when=b":1")
    counting = asyncio.create_task(on.cache.increment(on.user, "hits", ttl_ms=TTL_MS))
    assert await reply.held(deadline_s=10)
    await on.proxy.cut()
    reply.release()
    await asyncio.wait([counting])
    assert counting.exception() is not None
    return await on.cache.ttl_ms(on.user, "hits") is not None


BROKEN: list[tuple[type[Platform], Probe]] = [
    (saboteurs_cache.ForgetsNothing, forgotten_texts_are_gone),
    (saboteurs_cache.RemembersInTheProcess, processes_share_texts),
    (saboteurs_cache.CountsThenExpires, counters_have_an_end_at_once),
    (saboteurs_cache.KeysWithoutTheUser, texts_are_their_users_own),
    (saboteurs_cache.KeysWithoutTheUser, titles_are_their_users_own),
    (saboteurs_cache.KeysUnescaped, users_that_look_alike_do_not_meet),
    (saboteurs_cache.ForgetsTheTimeOnRewrite, rewriting_keeps_a_time),
    (saboteurs_cache.ForgetsWhoeverBeginsAlike, forgetting_leaves_who_begins_alike),
    (saboteurs_cache.ForgetsEverybody, forgetting_leaves_others),
    (saboteurs_cache.RevivesWhatHasExpired, extending_revives_nothing),
    (saboteurs_cache.CountsByGetThenSet, counting_loses_nothing),
    (saboteurs_cache.HandsOnUnansweredConnections, cancelled_replies_reach_nobody),
    (saboteurs_cache.RepeatsUnansweredCommands, increments_are_applied_once),
]


@asynccontextmanager
async def stage(lease: Lease, platform: type[Platform]) -> AsyncIterator[Stage]:
    """A stage on which a platform's way to Redis can be watched and held up."""
    async with (
        redis_detour(lease.redis_url, random=Random(1)) as detour,
        platform(replace(lease, redis_url=detour.url)) as target,
        Witness(lease) as looking,
    ):
        users = [await new_user(target.data) for _ in range(2)]
        yield Stage(target, detour.proxy, looking, *users)


@pytest.mark.parametrize("probe", dict.fromkeys(probe for _, probe in BROKEN))
@asynchronous
async def test_platform_keeps_the_promise(installed: Lease, probe: Probe) -> None:
    """Every probe holds on the platform as it is."""
    async with stage(installed, Platform) as on:
        assert await probe(on)


@pytest.mark.parametrize(("saboteur", "probe"), BROKEN)
@asynchronous
async def test_replaced_part_breaks_the_promise(
    installed: Lease, saboteur: type[Platform], probe: Probe
) -> None:
    """The probe fails where a part of the platform is replaced."""
    async with stage(installed, saboteur) as on:
        assert not await probe(on)


def test_every_saboteur_is_seen_to_break_something() -> None:
    """None is without a promise that it breaks."""
    named = {
        found
        for found in vars(saboteurs_cache).values()
        if isinstance(found, type) and issubclass(found, Platform) and found is not Platform
    }
    assert named == {saboteur for saboteur, _ in BROKEN}
