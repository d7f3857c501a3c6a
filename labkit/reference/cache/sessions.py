"""A session that reads titles through the cache and never goes back behind what it has seen."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from labkit.reference.cache.titles import Titles
from labkit.targets.cache import CachedTitle

MOST_FLOORS: Final = 1_000
"""Of how many threads a session remembers the version that it has seen, the latest ones."""


class TitleSession:
    """The `CacheSession` of the seam: a user, and the lowest version of each title it accepts.

    A row that was not read while 1,000 others were is forgotten, and may be read from the cache as
    by a new session.
    """

    def __init__(self, titles: Titles, user: str, *, most_floors: int = MOST_FLOORS) -> None:
        self._titles = titles
        self._user = user
        self._most_floors = most_floors
        self._floors: OrderedDict[str, int] = OrderedDict()

    async def title(self, thread: str) -> CachedTitle:
        """A thread's title; `Denied` when the thread is not the user's, or is gone."""
        read = await self._titles.read(self._user, thread, at_least=self._floors.get(thread, 0))
        self._see(thread, read.value.version)
        return CachedTitle(read.value.title, is_hit=read.is_hit)

    def _see(self, thread: str, version: int) -> None:
        self._floors[thread] = max(version, self._floors.pop(thread, 0))
        if len(self._floors) > self._most_floors:
            self._floors.popitem(last=False)
