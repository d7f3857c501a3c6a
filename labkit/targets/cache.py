"""Area 5 of the seam: what a platform caches, for one user, with a time to live.

What Redis itself refuses, since the platform's login may not do it, is `Rejected` or `Denied` here
as well, with the words of the server. The checks of this area make users with `data.create_user`,
and threads whose titles are cached with `data.create_thread`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class CachedTitle:
    """A thread's title as a session was told it."""

    title: str
    is_hit: bool
    """Whether the cache had it, so that the database was not asked."""


class CacheSession(Protocol):
    """What one session of a user reads through the cache; what it has seen never goes back."""

    async def title(self, thread: str) -> CachedTitle:
        """A thread's title; `Denied` when the thread is not the user's, or is gone."""
        ...


class Cache(Protocol):
    """Texts under keys, each user's own; a key is any text."""

    async def read(self, user: str, key: str) -> str | None:
        """The text under the key, or None when there is none or it has expired."""
        ...

    async def write(self, user: str, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a text for a time, in milliseconds; `Rejected` for a time below 1."""
        ...

    async def ttl_ms(self, user: str, key: str) -> int | None:
        """How long the text will be kept, in milliseconds, or None when there is none."""
        ...

    async def extend(self, user: str, key: str, *, ttl_ms: int) -> bool:
        """Keep a text for a new time from now on; False when there is none, which stays so."""
        ...

    async def increment(self, user: str, key: str, *, ttl_ms: int) -> int:
        """Add one to a counter, which begins at 0, exactly once; the new value."""
        ...

    async def invalidate(self, user: str, key: str) -> bool:
        """Forget one key; whether there was something to forget."""
        ...

    async def invalidate_all(self, user: str) -> int:
        """Forget all that is kept for the user, and nothing of another; how many keys it was."""
        ...

    def session(self, user: str) -> AbstractAsyncContextManager[CacheSession]:
        """A session that reads rows of the database through the cache.

        Once `data.rename_thread` has returned, no title from before it is read by anybody. When
        the process that renames dies in between, old titles may be read for a bounded time only.
        """
        ...

    def prefix(self, user: str) -> str:
        """What all of the user's keys in the leased Redis start with, for the witness."""
        ...
