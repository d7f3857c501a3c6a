"""A session is never told an older title than it has been told before."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.reference import Platform
from labkit.reference.cache.entries import VersionedTitle
from labkit.reference.cache.sessions import TitleSession
from labkit.services.endpoints import Lease
from labkit.targets.cache import CachedTitle
from tests.reference.stage import asynchronous, new_user


@dataclass(frozen=True)
class Shelf:
    """An open platform with a user."""

    target: Platform
    user: str

    async def put_back(self, thread: str, title: str) -> None:
        """Have an old title in the cache, as a Redis that was restored from a snapshot would."""
        entries = self.target.cache._titles._entries
        await entries.clear(self.user, thread)
        lease = (await entries.look(self.user, thread)).lease
        assert lease is not None
        assert await entries.fill(self.user, thread, lease, VersionedTitle(title, 1))


@asynchronous
async def test_a_session_does_not_go_back(installed: Lease) -> None:
    """An older title in the cache is read by a new session, and not by one that saw a newer."""
    async with Platform(installed) as target:
        on = Shelf(target, await new_user(target.data))
        thread = await target.data.create_thread(on.user, "old")
        async with target.cache.session(on.user) as session:
            assert await session.title(thread) == CachedTitle("old", is_hit=False)
            await target.data.rename_thread(on.user, thread, "new")
            assert await session.title(thread) == CachedTitle("new", is_hit=False)
            assert await session.title(thread) == CachedTitle("new", is_hit=True)
            await on.put_back(thread, "old")
            async with target.cache.session(on.user) as other:
                assert await other.title(thread) == CachedTitle("old", is_hit=True)
            assert await session.title(thread) == CachedTitle("new", is_hit=False)
            assert await session.title(thread) == CachedTitle("new", is_hit=False)
            assert await session.title(thread) == CachedTitle("new", is_hit=True)


@asynchronous
async def test_what_a_session_remembers_is_bounded(installed: Lease) -> None:
    """It forgets the row that it has not read for the longest time."""
    async with Platform(installed) as target:
        on = Shelf(target, await new_user(target.data))
        first, second, third = [await target.data.create_thread(on.user, "x") for _ in range(3)]
        session = TitleSession(target.cache._titles, on.user, most_floors=2)
        for thread in (first, second):
            await target.data.rename_thread(on.user, thread, "new")
            await session.title(thread)
        await session.title(first)
        await session.title(third)
        for thread in (first, second):
            await on.put_back(thread, "old")
        assert (await session.title(first)).title == "new"
        assert (await session.title(second)).title == "old"
        assert len(session._floors) == 2
