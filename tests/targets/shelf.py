"""The notepad with a shelf beside it: pads' titles are kept in Redis, one way or another."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from labkit.errors import Denied
from labkit.services.endpoints import Lease
from labkit.targets.cache import CachedTitle
from labkit.targets.protocols import Capability
from tests.targets.notepad import Book, Notepad

_KEPT_MS: Final = 60_000
_TITLE: Final = "select title from notepad.pads where id = $1"
_GET_OR_LEASE: Final = """
    local held = redis.call('get', KEYS[1])
    if not held then redis.call('set', KEYS[2], ARGV[1], 'px', 60000) end
    return held
"""
_SET_WITH_LEASE: Final = """
    if redis.call('get', KEYS[2]) == ARGV[2] then
        redis.call('set', KEYS[1], ARGV[1], 'px', 60000)
        redis.call('del', KEYS[2])
    end
"""


class Shelf:
    """Titles by pad: read through, and taken away when a pad has been renamed."""

    def __init__(self, lease: Lease, book: Book) -> None:
        self.book = book
        self._prefix = f"{lease.redis_prefix}shelf:"
        self.redis = Redis.from_url(
            lease.redis_url.reveal(), decode_responses=True, retry=Retry(NoBackoff(), 0)
        )

    @asynccontextmanager
    async def session(self, user: str) -> AsyncIterator[Reader]:
        """Somebody who reads."""
        yield Reader(self, user)

    def key(self, thread: str) -> str:
        """Where a title is kept."""
        return f"{self._prefix}{thread}"

    async def title(self, user: str, thread: str) -> CachedTitle:
        """The title from the shelf, or from the database, which puts it there."""
        kept = await self.redis.get(self.key(thread))
        if kept is not None:
            return CachedTitle(str(kept), is_hit=True)
        title = await self.written(user, thread)
        await self.redis.set(self.key(thread), title, px=_KEPT_MS)
        return CachedTitle(title, is_hit=False)

    async def written(self, user: str, thread: str) -> str:
        """The title in the database."""
        async with self.book.transaction(user) as page:
            rows = await page.fetch(_TITLE, thread)
        if not rows:
            raise Denied(f"there is no pad {thread}")
        return str(rows[0][0])

    async def forget(self, thread: str) -> None:
        """Take a title away."""
        await self.redis.delete(self.key(thread), f"{self.key(thread)}:lease")


class Reader:
    """What one session reads."""

    def __init__(self, shelf: Shelf, user: str) -> None:
        self._shelf = shelf
        self._user = user

    async def title(self, thread: str) -> CachedTitle:
        """The title of a pad."""
        return await self._shelf.title(self._user, thread)


class LeasedShelf(Shelf):
    """Only who was given the lease on a miss may fill, and forgetting takes the lease back."""

    async def title(self, user: str, thread: str) -> CachedTitle:
        """The title from the shelf, or from the database, with a lease."""
        token = uuid.uuid4().hex
        kept = await self._run(_GET_OR_LEASE, thread, token)
        if kept is not None:
            return CachedTitle(str(kept), is_hit=True)
        title = await self.written(user, thread)
        await self._run(_SET_WITH_LEASE, thread, title, token)
        return CachedTitle(title, is_hit=False)

    async def _run(self, script: str, thread: str, *arguments: str) -> Any:
        key = self.key(thread)
        answer: Awaitable[Any] | Any = self.redis.eval(script, 2, key, f"{key}:lease", *arguments)
        return await answer


class LockingShelf(Shelf):
    """Fills while the database keeps the row as it was read."""

    async def title(self, user: str, thread: str) -> CachedTitle:
        """The title from the shelf, or from the database under a lock."""
        kept = await self.redis.get(self.key(thread))
        if kept is not None:
            return CachedTitle(str(kept), is_hit=True)
        async with self.book.transaction(user) as page:
            title = str((await page.fetch(f"{_TITLE} for share", thread))[0][0])
            await self.redis.set(self.key(thread), title, px=_KEPT_MS)
        return CachedTitle(title, is_hit=False)


class ShelvedBook(Book):
    """Notes whose titles lie on a shelf."""

    shelf: Shelf

    async def rename_thread(self, user: str, thread: str, title: str) -> None:
        """Rename, and then forget the old title."""
        await super().rename_thread(user, thread, title)
        await self.shelf.forget(thread)


class Shelved(Notepad):
    """The platform with the plainest of shelves, which a slow reader makes stale."""

    name: ClassVar[str] = "shelved notepad"
    lacks: ClassVar[Mapping[Capability, str]] = {
        capability: why
        for capability, why in Notepad.lacks.items()
        if capability is not Capability.CACHE
    }
    shelf_type: ClassVar[type[Shelf]] = Shelf

    def __init__(self, lease: Lease) -> None:
        book = ShelvedBook(lease.platform_url.reveal())
        self.data = book
        self.cache = book.shelf = self.shelf_type(lease, book)

    async def __aenter__(self) -> Self:
        return await super().__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        await self.cache.redis.aclose()
        await super().__aexit__(*exception)


class ShelvedWithLeases(Shelved):
    """The platform with leases."""

    shelf_type = LeasedShelf


class ShelvedUnderLock(Shelved):
    """The platform that fills under a lock."""

    shelf_type = LockingShelf


class ForgetfulBook(ShelvedBook):
    """Renames and leaves the old title where it is."""

    async def rename_thread(self, user: str, thread: str, title: str) -> None:
        """Rename, and no more."""
        await Book.rename_thread(self, user, thread, title)


class ShelvedForGood(Shelved):
    """The platform that never takes a title away."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease)
        book = ForgetfulBook(lease.platform_url.reveal())
        self.data = self.cache.book = book
        book.shelf = self.cache
