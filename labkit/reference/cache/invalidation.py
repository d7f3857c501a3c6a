"""What writers of threads do for the cache: their steps before and after the commit."""

from __future__ import annotations

import logging
from typing import Final

from labkit.errors import Rejected, ServiceUnavailable
from labkit.reference.cache.entries import TitleEntries

_log: Final = logging.getLogger(__name__)


class Invalidation:
    """Withdraws the titles of threads that are changed; the `ThreadChanges` of the store."""

    def __init__(self, entries: TitleEntries) -> None:
        self._entries = entries

    async def announce(self, user: str, thread: str) -> str:
        """Withdraw the title before the change is committed; what `conclude` is to be given.

        Raises `ServiceUnavailable` without Redis. The change must not be committed then.
        """
        return await self._entries.mark(user, thread)

    async def prolong(self, user: str, thread: str, announced: str) -> None:
        """Keep readers at the database for as long as a commit in doubt may stall.

        Whatever Redis says, the commit's own error is the one that counts: this one is logged.
        """
        try:
            await self._entries.prolong(user, thread, announced)
        except (ServiceUnavailable, Rejected) as error:
            text = "an old title may come back to the cache, if its change stalls longer than that"
            _log.warning(text, exc_info=error)

    async def conclude(self, user: str, thread: str, announced: str) -> None:
        """Let readers fill the new title, once it is committed.

        Whatever Redis says, the change stands: the intent keeps readers at the database until it
        expires. That is logged.
        """
        try:
            await self._entries.clear(user, thread, announced)
        except (ServiceUnavailable, Rejected) as error:
            text = "a changed title stays out of the cache until its writer's intent expires"
            _log.warning(text, exc_info=error)
