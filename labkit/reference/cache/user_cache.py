"""Area 5 of the platform: texts and titles of users, in one `Cache` of the seam."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import RedisClient
from labkit.reference.cache.sessions import TitleSession
from labkit.reference.cache.texts import UserTexts
from labkit.reference.cache.titles import Titles
from labkit.reference.data.contexts import UserContext


class UserCache(UserTexts):
    """The texts of users, and beside them the titles of their threads."""

    def __init__(self, redis: RedisClient, keys: KeySpace, titles: Titles) -> None:
        super().__init__(redis, keys)
        self._titles = titles

    async def invalidate_all(self, user: str) -> int:
        """Forget all that is kept for the user, and nothing of another; how many keys it was.

        What a writer put there before its commit stays until that is done: it keeps nothing.
        """
        return await super().invalidate_all(user) + await self._titles.forget_all(user)

    @asynccontextmanager
    async def session(self, user: str) -> AsyncIterator[TitleSession]:
        """A session of the user that reads titles through the cache; `Rejected` for no user's id.

        Once the store has changed a thread, no title from before it is read by anybody, nor when
        its process died after the commit, nor when it never learnt whether it had committed and
        that goes through within 10 minutes; `labkit.reference.cache.entries` tells why, and what is
        not promised: an older title may then be read for a minute.
        """
        yield TitleSession(self._titles, UserContext(user).user)
