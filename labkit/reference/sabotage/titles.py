"""Platforms whose cached titles reach who must not have them, or stay longer than they may."""

from __future__ import annotations

from typing import Final

from labkit.errors import ServiceUnavailable
from labkit.reference.cache.entries import Look, TitleEntries, VersionedTitle
from labkit.reference.cache.invalidation import Invalidation
from labkit.reference.cache.titles import Reading, Titles
from labkit.reference.data.store import Store
from labkit.reference.platform import Parts, Platform
from labkit.sabotage import Sabotage

_AREA: Final = "redis_cache"
_SYNCHRONIZATION: Final = "cache_database_synchronization"
_TIMES: Final = "cache_ttl_and_invalidation_patterns"


class _Idle(Invalidation):
    async def announce(self, _user: str, _thread: str) -> str:
        return ""

    async def conclude(self, user: str, thread: str, announced: str) -> None:
        pass


class NeverInvalidates(Platform):
    """Whoever changes a title leaves the cached one as it is."""

    parts = Parts(invalidation=_Idle)


class _Early(_Idle):
    async def announce(self, user: str, thread: str) -> str:
        await self._entries.clear(user, thread)
        return ""


class InvalidatesBeforeTheCommit(Platform):
    """A title is removed before its change is committed, and not again afterwards."""

    parts = Parts(invalidation=_Early)


class _Late(Invalidation):
    async def announce(self, _user: str, _thread: str) -> str:
        return ""


class InvalidatesAfterTheCommitAlone(Platform):
    """A title is removed after the commit; a writer that dies in between leaves the old one."""

    parts = Parts(invalidation=_Late)


class _Careless(TitleEntries):
    async def look(self, user: str, thread: str) -> Look:
        look = await super().look(user, thread)
        return look if look.value else Look(lease="none")

    async def fill(self, user: str, thread: str, _lease: str, value: VersionedTitle) -> bool:
        await self.clear(user, thread)
        found = await super().look(user, thread)
        return await super().fill(user, thread, found.lease or "", value)


class FillsWithoutALease(Platform):
    """A reader fills what it has read, whatever was changed meanwhile."""

    parts = Parts(title_entries=_Careless)


class _Lasting(TitleEntries):
    async def fill(self, user: str, thread: str, lease: str, value: VersionedTitle) -> bool:
        is_filled = await super().fill(user, thread, lease, value)
        await self._redis.persist(self._key(user, thread))
        return is_filled


class KeepsTitlesForEver(Platform):
    """A cached title has no time to live."""

    parts = Parts(title_entries=_Lasting)


class _Obliging(Titles):
    def __init__(self, store: Store, entries: TitleEntries) -> None:
        super().__init__(store, entries)
        self._owners: dict[str, str] = {}

    async def read(self, user: str, thread: str, *, at_least: int = 0) -> Reading:
        owner = self._owners.setdefault(thread, user)
        return await super().read(owner, thread, at_least=at_least)


class TellsTitlesToAnybody(Platform):
    """Whoever knows a thread's id is told its title as its owner would be."""

    parts = Parts(titles=_Obliging)


class _Silent(Store):
    async def delete_thread(self, user: str, thread: str) -> None:
        async with self.transaction(user) as transaction:
            await transaction.execute("delete from threads where id = $1", thread)


class DeletesWithoutInvalidation(Platform):
    """A deleted thread's title stays in the cache."""

    parts = Parts(store=_Silent)


class _Lenient(Invalidation):
    async def announce(self, user: str, thread: str) -> str:
        try:
            return await super().announce(user, thread)
        except ServiceUnavailable:
            return ""


class RenamesWithoutRedis(Platform):
    """A title is changed although the cached one could not be withdrawn."""

    parts = Parts(invalidation=_Lenient)


class _Patient(TitleEntries):
    async def look(self, user: str, thread: str) -> Look:
        look = await super().look(user, thread)
        if look.lease is not None:
            await self._redis.persist(self._key(user, thread))
        return look


class LeasesForEver(Platform):
    """A reader's lease has no end: one that dies keeps the title out of the cache."""

    parts = Parts(title_entries=_Patient)


SABOTAGES: Final[tuple[Sabotage, ...]] = (
    Sabotage.of(
        NeverInvalidates,
        "no-invalidation",
        area=_AREA,
        promise="Once a rename is acknowledged, nobody reads the old title.",
        stands_for="A write path that knows nothing of the cache.",
        must={_SYNCHRONIZATION: "stale-read"},
    ),
    Sabotage.of(
        InvalidatesBeforeTheCommit,
        "invalidation-before-commit",
        area=_AREA,
        promise="What is read between invalidation and commit does not stay in the cache.",
        stands_for="Cache-aside in the wrong order: 8 of 20 interleavings end stale.",
        must={_SYNCHRONIZATION: "stale-set"},
    ),
    Sabotage.of(
        InvalidatesAfterTheCommitAlone,
        "crash-after-commit-not-healed",
        area=_AREA,
        promise="A writer that dies after its commit leaves no old title behind.",
        stands_for="Two systems written one after the other, and a process that dies in between.",
        must={_SYNCHRONIZATION: "not-healed"},
    ),
    Sabotage.of(
        FillsWithoutALease,
        "fill-without-lease",
        area=_AREA,
        promise="A slow reader never puts an old title back.",
        stands_for="The stale set: Nishtala et al., Scaling Memcache at Facebook, NSDI 2013.",
        must={_SYNCHRONIZATION: "stale-set"},
    ),
    Sabotage.of(
        KeepsTitlesForEver,
        "title-without-ttl",
        area=_AREA,
        promise="Every key has an end.",
        stands_for="A fill that forgets the time to live, until the memory is full.",
        must={_TIMES: "no-expiry"},
    ),
    Sabotage.of(
        TellsTitlesToAnybody,
        "title-of-another",
        area=_AREA,
        promise="A cached title is its user's own.",
        stands_for="A cache that is asked before anybody looks whose the row is.",
        must={_SYNCHRONIZATION: "foreign-title-read"},
    ),
    Sabotage.of(
        DeletesWithoutInvalidation,
        "deleted-title-kept",
        area=_AREA,
        promise="What was deleted is read by nobody.",
        stands_for="An invalidation that was thought of for updates alone.",
        must={_SYNCHRONIZATION: "deleted-title-read"},
    ),
    Sabotage.of(
        RenamesWithoutRedis,
        "renamed-without-redis",
        area=_AREA,
        promise="A title that cannot be withdrawn is not changed.",
        stands_for="An invalidation whose error is swallowed, since a cache is only a cache.",
        must={_SYNCHRONIZATION: "stale-without-cache"},
    ),
    Sabotage.of(
        LeasesForEver,
        "lease-without-ttl",
        area=_AREA,
        promise="Every key has an end.",
        stands_for="A lock without a time to live, whose holder has died.",
        must={_TIMES: "no-expiry"},
    ),
)
