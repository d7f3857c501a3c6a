"""Reads titles through the cache: from Redis where it has them, and from the database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from labkit.errors import Denied, Rejected, ServiceUnavailable
from labkit.reference.cache.entries import Look, TitleEntries, VersionedTitle
from labkit.reference.data.refusals import no_such, refusals
from labkit.reference.data.store import Store

_READ: Final = "select title, version from threads where id = $1"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """A title as it was read."""

    value: VersionedTitle
    is_hit: bool
    """Whether the cache had it."""


class Titles:
    """Cached titles over the store's own; without Redis all come from the database.

    That Redis is gone is logged once, and once that it is back. A Redis that is there and does not
    answer makes each read wait for as long as its client does.
    """

    def __init__(self, store: Store, entries: TitleEntries) -> None:
        self._store = store
        self._entries = entries
        self._is_out = False

    async def read(self, user: str, thread: str, *, at_least: int = 0) -> Reading:
        """A thread's title, of this version or a later one where it comes from the cache.

        Raises `Denied` when the thread is not the user's.
        """
        look = Look()
        with self._optional():
            look = await self._entries.look(user, thread)
        if look.value is not None and look.value.version >= at_least:
            return Reading(look.value, is_hit=True)
        value = await self._stored(user, thread)
        await self._keep(user, thread, look, value)
        return Reading(value, is_hit=False)

    async def forget_all(self, user: str) -> int:
        """Forget the titles of all of the user's threads; how many keys it was."""
        return await self._entries.clear_all(user)

    async def _stored(self, user: str, thread: str) -> VersionedTitle:
        async with self._store.transaction(user) as transaction:
            with refusals(denied=no_such(user, "thread", thread)):
                rows = await transaction.fetch(_READ, thread)
            if not rows:
                raise Denied(no_such(user, "thread", thread))
        [(title, version)] = rows
        return VersionedTitle(title, version)

    async def _keep(self, user: str, thread: str, look: Look, value: VersionedTitle) -> None:
        if look.lease is not None:
            with self._optional():
                await self._entries.fill(user, thread, look.lease, value)
        elif look.value is not None:
            # It was refused as older than what was seen before: nobody is served by it.
            with self._optional():
                await self._entries.clear(user, thread)

    @contextmanager
    def _optional(self) -> Iterator[None]:
        """Do without the cache in the block when it does not work."""
        try:
            yield
        except (ServiceUnavailable, Rejected) as error:
            if not self._is_out:
                text = "titles are read from the database alone, since the cache does not work"
                _log.warning(text, exc_info=error)
            self._is_out = True
        else:
            if self._is_out:
                _log.info("titles are read through the cache again")
            self._is_out = False
