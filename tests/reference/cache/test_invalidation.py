"""Whoever changes a thread withdraws its title before the commit, and lets it in again after it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pytest

from labkit.errors import Denied, ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference import Parts, Platform
from labkit.reference.cache.entries import Look, TitleEntries, TitleTimes
from labkit.reference.cache.invalidation import Invalidation
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.data.pool import Pool, PoolLimits
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.services.endpoints import Lease
from labkit.witness import Witness
from tests.reference.stage import asynchronous, new_user, opened

NOWHERE = Secret("redis://127.0.0.1:1/0")


@dataclass
class Told:
    """The `ThreadChanges` of a store: what it was told, and which title others saw then."""

    data: Store
    heard: list[tuple[str, str, str]]

    async def announce(self, user: str, thread: str) -> str:
        """Note it."""
        [view] = await self.data.threads(user)
        self.heard.append(("announced", thread, view.title))
        return "this one"

    async def prolong(self, _user: str, thread: str, announced: str) -> None:
        """Note it."""
        self.heard.append((f"in doubt: {announced}", thread, ""))

    async def conclude(self, user: str, thread: str, announced: str) -> None:
        """Note it."""
        views = await self.data.threads(user)
        self.heard.append((announced, thread, views[0].title if views else "gone"))


@asynchronous
async def test_the_store_tells_before_its_commit_and_after(installed: Lease) -> None:
    """Of a new title and of a deletion; others see the change at the second time alone."""
    async with opened(installed) as data:
        told = Told(data, [])
        store = Store(data._pool, Random(1), changes=told)
        user = await new_user(data)
        thread = await store.create_thread(user, "old")
        await store.rename_thread(user, thread, "new")
        await store.delete_thread(user, thread)
    assert told.heard == [
        ("announced", thread, "old"),
        ("this one", thread, "new"),
        ("announced", thread, "new"),
        ("this one", thread, "gone"),
    ]


@asynchronous
async def test_the_store_tells_of_a_commit_in_doubt(installed: Lease) -> None:
    """Then it concludes nothing; nor does it tell of one that was never tried."""
    async with opened(installed) as data:
        told = Told(data, [])
        store = Store(data._pool, Random(1), _Lost, changes=told)
        user = await new_user(data)
        thread = await store.create_thread(user, "old")
        with pytest.raises(ServiceUnavailable, match="was lost"):
            await store.rename_thread(user, thread, "lost")
        with pytest.raises(Denied):
            await store.rename_thread(user, "never", "lost")
    assert told.heard == [("announced", thread, "old"), ("in doubt: this one", thread, "")]


@asynchronous
async def test_a_change_that_waits_too_long_is_unavailable(installed: Lease) -> None:
    """Another transaction holds the row: it is not changed, and the words say what may be so."""
    async with opened(installed) as data, AsyncExitStack() as closing:
        pool = Pool(installed.platform_url, PoolLimits(command_s=0.5))
        closing.push_async_callback(pool.close)
        await pool.open()
        store = Store(pool, Random(1))
        user = await new_user(data)
        thread = await data.create_thread(user, "old")
        async with data.transaction(user) as transaction:
            await transaction.execute("update threads set title = 'held' where id = $1", thread)
            with pytest.raises(ServiceUnavailable, match=r"no answer in time.* hold"):
                await store.rename_thread(user, thread, "new")
        assert [view.title for view in await store.threads(user)] == ["held"]


class _Lost(UserTransaction):
    async def commit(self) -> None:
        if await self.fetch("select from threads where title = 'lost'"):
            raise ServiceUnavailable("the connection was lost")
        await super().commit()


class LosesCommits(Platform):
    """A platform whose commits of one title are lost."""

    parts = Parts(transactions=_Lost)


@asynccontextmanager
async def steps(lease: Lease) -> AsyncIterator[TitleEntries]:
    """The steps on the leased Redis."""
    async with aclosing(redis_client(lease.redis_url)) as redis:
        yield TitleEntries(redis, KeySpace(lease.redis_prefix))


@asynchronous
async def test_a_commit_that_fails_leaves_its_intent(installed: Lease) -> None:
    """It may yet be applied, so readers stay at the database for longer than it may stall."""
    async with LosesCommits(installed) as target, steps(installed) as redis:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "kept")
        async with target.cache.session(user) as session:
            await session.title(thread)
            with pytest.raises(ServiceUnavailable, match="was lost"):
                await target.data.rename_thread(user, thread, "lost")
            assert await redis.look(user, thread) == Look()
            key = KeySpace(installed.redis_prefix).named(user, Kind.TITLES, thread)
            times = TitleTimes()
            async with aclosing(redis_client(installed.redis_url)) as client:
                left_ms = await client.pttl(key)
            assert max(times.title_ms, times.intent_ms) < left_ms <= times.doubt_ms
            title = await session.title(thread)
        assert (title.title, title.is_hit) == ("kept", False)


@asynchronous
async def test_a_change_that_is_refused_announces_nothing(installed: Lease) -> None:
    """Who names another's thread leaves no key."""
    async with Platform(installed) as target, Witness(installed) as looking:
        owner, user = await new_user(target.data), await new_user(target.data)
        thread = await target.data.create_thread(owner, "private")
        with pytest.raises(Denied):
            await target.data.rename_thread(user, thread, "stolen")
        with pytest.raises(Denied):
            await target.data.delete_thread(user, thread)
        keys = await looking.keys()
        assert not [key for key in keys if key.startswith(target.cache.prefix(user))]


@asynchronous
async def test_without_redis_nothing_is_changed(installed: Lease) -> None:
    """A title that may be cached and cannot be withdrawn stays as it is."""
    async with Platform(replace(installed, redis_url=NOWHERE)) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "old")
        words = f"cannot withdraw the title of thread '{thread}'"
        with pytest.raises(ServiceUnavailable, match=words):
            await target.data.rename_thread(user, thread, "new")
        with pytest.raises(ServiceUnavailable, match=words):
            await target.data.delete_thread(user, thread)
        assert [view.title for view in await target.data.threads(user)] == ["old"]


@asynchronous
async def test_a_change_that_stands_is_no_error_where_redis_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, since the title stays out of the cache for a while."""
    async with aclosing(redis_client(NOWHERE)) as redis:
        with caplog.at_level(logging.WARNING):
            changes = Invalidation(TitleEntries(redis, KeySpace("x:")))
            await changes.conclude("ann", "t", "token")
            await changes.prolong("ann", "t", "token")
    concluded, prolonged = (record.getMessage() for record in caplog.records)
    assert "stays out of the cache" in concluded
    assert "may come back" in prolonged


@asynchronous
async def test_a_change_that_stands_is_no_error_whatever_redis_objects_to(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """Here to a key of another kind, which somebody put there before the commit."""
    meddled = KeySpace(installed.redis_prefix)

    class Meddled(Invalidation):
        async def announce(self, user: str, thread: str) -> str:
            announced = await super().announce(user, thread)
            async with aclosing(redis_client(installed.redis_url)) as redis:
                await redis.set(meddled.named(user, Kind.TITLES, thread), "no hash", px=60_000)
            return announced

    class Meddles(Platform):
        parts = Parts(invalidation=Meddled)

    async with Meddles(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "old")
        with caplog.at_level(logging.WARNING):
            await target.data.rename_thread(user, thread, "new")
        assert [view.title for view in await target.data.threads(user)] == ["new"]
    [record] = caplog.records
    assert "stays out of the cache" in record.getMessage()
