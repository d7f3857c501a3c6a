"""A workload: threads that some rename while others read their titles through the cache.

A title is nothing but the number of its version, so that what a reader is told can be judged. The
renames of one thread follow each other, as a history of registers must; those of different threads
overlap freely.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from labkit.judges.registers import INITIAL, RegisterHistory, RegisterRead, RegisterWrite
from labkit.targets.cache import Cache, CacheSession
from labkit.targets.data import DataAccess


@dataclass(frozen=True)
class Crowd:
    """How many work at once."""

    readers: int
    """Each is a session of its own."""
    writers: int
    renames: int
    """By each writer."""


@dataclass
class _Thread:
    """A thread, and what has become of it so far."""

    name: str
    """What the history calls it."""
    id: str
    version: int = INITIAL
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


async def rename_and_read(
    data: DataAccess,
    cache: Cache,
    crowd: Crowd,
    *,
    user: str,
    threads: int,
    chance: random.Random,
) -> RegisterHistory:
    """Let the crowd work on new threads of a registered user, until all renames are done.

    Each session reads every thread once more after the last rename. An error of the target's ends
    the work and comes through.
    """
    workload = _Workload(data, cache, user, await _made(data, user, threads))
    # Each worker draws for itself, so that what it does hangs on no other's speed.
    seeds = [chance.getrandbits(64) for _ in range(crowd.readers + crowd.writers)]
    chances = [random.Random(seed) for seed in seeds]
    async with asyncio.TaskGroup() as group:
        for number in range(crowd.readers):
            group.create_task(workload.read(f"session {number + 1}", chances.pop()))
        writing = [
            group.create_task(workload.rename(f"writer {number + 1}", crowd.renames, chances.pop()))
            for number in range(crowd.writers)
        ]
        try:
            await asyncio.wait(writing)
        finally:
            # Also for who misses being cancelled: drivers lose a cancellation now and then.
            workload.is_over.set()
    return RegisterHistory(workload.writes, workload.reads)


async def _made(data: DataAccess, user: str, threads: int) -> Sequence[_Thread]:
    digits = len(str(threads))
    return [
        _Thread(f"thread {number:0{digits}}", await data.create_thread(user, str(INITIAL)))
        for number in range(1, threads + 1)
    ]


class _Workload:
    """What all of the crowd work on, and what they did."""

    def __init__(
        self, data: DataAccess, cache: Cache, user: str, threads: Sequence[_Thread]
    ) -> None:
        self._data = data
        self._cache = cache
        self._user = user
        self._threads = threads
        self.is_over = asyncio.Event()
        """Set when the last rename is done."""
        self.writes: list[RegisterWrite] = []
        self.reads: list[RegisterRead] = []

    async def rename(self, writer: str, renames: int, chance: random.Random) -> None:
        """Give so many threads, chosen at random, their next version."""
        for _ in range(renames):
            thread = chance.choice(self._threads)
            async with thread.turn:
                thread.version += 1
                invoked_s = time.monotonic()
                await self._data.rename_thread(self._user, thread.id, str(thread.version))
                done = (thread.name, thread.version, invoked_s, time.monotonic())
            self.writes.append(RegisterWrite(writer, *done))

    async def read(self, name: str, chance: random.Random) -> None:
        """Read threads at random until the last rename is done, and then each of them once."""
        async with self._cache.session(self._user) as session:
            while not self.is_over.is_set():
                await self._read(name, session, chance.choice(self._threads))
            # Each in an order of its own: in step, all would miss what only one may fill.
            for thread in chance.sample(self._threads, len(self._threads)):
                await self._read(name, session, thread)

    async def _read(self, name: str, session: CacheSession, thread: _Thread) -> None:
        invoked_s = time.monotonic()
        told = await session.title(thread.id)
        version = int(told.title) if told.title.isdecimal() else None
        times = (invoked_s, time.monotonic())
        self.reads.append(RegisterRead(name, thread.name, version, *times, is_hit=told.is_hit))
