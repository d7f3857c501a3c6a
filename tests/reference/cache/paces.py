"""Readers and writers of titles that go on one step at a time, so that every order can be played.

They are the platform's own, with gates between what they do to its two servers: a reader looks,
reads the database, and fills; a writer changes the row and announces it, commits, and concludes.
An uncommitted change is seen by nobody, hence changing and announcing are one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, cast

from labkit.reference import Platform
from labkit.reference.cache.entries import TitleEntries, TitleTimes, VersionedTitle
from labkit.reference.cache.invalidation import Invalidation
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import RedisClient
from labkit.reference.cache.titles import Titles

NEVER_OVER: Final = TitleTimes(title_ms=600_000, lease_ms=600_000, intent_ms=600_000)
"""Times that no test outlives, so that nothing but the order of steps decides."""


class Actor:
    """Somebody at work, who stands still before each step until it is his turn."""

    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        self._stands = asyncio.Event()
        self._turn = asyncio.Event()
        self.task = asyncio.create_task(self._play(work))
        self.task.add_done_callback(lambda _: self._stands.set())

    async def step(self) -> None:
        """Let him go on to where he stands next, or to his end; nothing where that has come."""
        await self._stands.wait()
        if not self.task.done():
            self._stands.clear()
            self._turn.set()
            await self._stands.wait()

    async def finish(self) -> object:
        """Let him go on to his end; what his work gave."""
        while not self.task.done():
            await self.step()
        return self.task.result()

    async def die(self) -> None:
        """Have him do no further step of his."""
        await self._stands.wait()
        self.task.cancel()
        await asyncio.wait([self.task])

    async def stand(self) -> None:
        """Wait for a turn, called by what he does."""
        self._stands.set()
        await self._turn.wait()
        self._turn.clear()

    async def _play(self, work: Callable[[], Awaitable[object]]) -> object:
        _acting.set(self)
        await self.stand()
        return await work()


_acting: ContextVar[Actor | None] = ContextVar("_acting", default=None)


async def _stand() -> None:
    actor = _acting.get()
    if actor is not None:
        await actor.stand()


class _PacedInvalidation(Invalidation):
    async def announce(self, user: str, thread: str) -> str:
        announced = await super().announce(user, thread)
        await _stand()
        return announced

    async def conclude(self, user: str, thread: str, announced: str) -> None:
        await _stand()
        await super().conclude(user, thread, announced)


class _PacedTitles(Titles):
    async def _stored(self, user: str, thread: str) -> VersionedTitle:
        await _stand()
        return await super()._stored(user, thread)


class _PacedEntries(TitleEntries):
    def __init__(self, redis: RedisClient, keys: KeySpace) -> None:
        super().__init__(redis, keys, NEVER_OVER)

    async def fill(self, user: str, thread: str, lease: str, value: VersionedTitle) -> bool:
        await _stand()
        return await super().fill(user, thread, lease, value)


def _over(top: type[Any], base: type[Any]) -> Any:
    """The first class's steps, with those of the second below them."""
    return type(top.__name__, (top, base), {})


def paced(platform: type[Platform]) -> type[Platform]:
    """The platform, whose actors stand still before their steps."""
    of = platform.parts
    parts = replace(
        of,
        invalidation=_over(_PacedInvalidation, of.invalidation),
        titles=_over(_PacedTitles, of.titles),
        title_entries=_over(_PacedEntries, of.title_entries),
    )
    return cast("type[Platform]", type("Paced", (platform,), {"parts": parts}))


def orders(steps: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Every order in which actors can do so many steps each."""
    if not any(steps.values()):
        yield ()
    for name, count in steps.items():
        if count:
            for rest in orders({**steps, name: count - 1}):
                yield (name, *rest)


def is_possible(order: Sequence[str], writers: Sequence[str]) -> bool:
    """Whether no writer changes the row while another one has it locked: he would have to wait."""
    done = dict.fromkeys(writers, 0)
    for name in order:
        if name in done:
            done[name] += 1
            if sum(count == 1 for count in done.values()) > 1:
                return False
    return True
