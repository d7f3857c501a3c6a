"""The renaming crowd does what it was asked for, and its history shows what a faulty cache did."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from labkit.errors import ServiceUnavailable
from labkit.ids import UserID
from labkit.judges.registers import RegisterHistory, judge_registers
from labkit.reference import Platform
from labkit.reference.cache.invalidation import Invalidation
from labkit.reference.cache.titles import Reading, Titles
from labkit.reference.parts import Parts
from labkit.reference.sabotage.titles import NeverInvalidates
from labkit.renames import Crowd, rename_and_read
from labkit.services.endpoints import Lease
from labkit.witness import Witness

CROWD = Crowd(readers=3, writers=2, renames=5)
THREADS = 4


def worked(lease: Lease, platform: type[Platform]) -> tuple[RegisterHistory, list[str]]:
    """What the crowd did on a platform, and the titles that the database then holds."""

    async def run() -> tuple[RegisterHistory, list[str]]:
        await platform.install(lease)
        async with platform(lease) as target, Witness(lease) as witness:
            user = UserID.new()
            await target.data.create_user(user)
            history = await rename_and_read(
                target.data,
                target.cache,
                CROWD,
                user=user,
                threads=THREADS,
                chance=random.Random(7),
            )
            sql = "select title from threads where user_id = $1 order by position"
            return history, [title for (title,) in await witness.fetch(sql, user)]

    return asyncio.run(run())


def test_everybody_does_their_share(lease: Lease) -> None:
    """All renames are there, each the next version of its thread, and the database has the last."""
    history, stored = worked(lease, Platform)
    assert Counter(one.writer for one in history.writes) == {"writer 1": 5, "writer 2": 5}
    versions: dict[str, list[int]] = {}
    for write in sorted(history.writes, key=lambda one: one.invoked_s):
        versions.setdefault(write.key, []).append(write.version)
    assert all(each == list(range(1, len(each) + 1)) for each in versions.values())
    names = [f"thread {number}" for number in range(1, THREADS + 1)]
    assert stored == [str(len(versions.get(name, []))) for name in names]


def test_each_session_reads_each_thread_after_the_last_rename(lease: Lease) -> None:
    """What they read last is what the database has, and the cache had some of it."""
    history, stored = worked(lease, Platform)
    assert judge_registers(history).valid
    for session in ("session 1", "session 2", "session 3"):
        reads = [read for read in history.reads if read.session == session]
        last = sorted(reads[-THREADS:], key=lambda read: read.key)
        assert [str(read.version) for read in last] == stored
    assert {read.is_hit for read in history.reads} == {True, False}


def test_a_cache_that_is_never_invalidated_shows(lease: Lease) -> None:
    """Titles from before an acknowledged rename are read, and judged stale."""
    history, _ = worked(lease, NeverInvalidates)
    assert judge_registers(history).reason == "stale-read"


class _Deaf(Titles):
    async def read(self, user: str, thread: str, *, at_least: int = 0) -> Reading:
        try:
            return await super().read(user, thread, at_least=at_least)
        except asyncio.CancelledError:
            return await super().read(user, thread, at_least=at_least)


class _Refusing(Invalidation):
    async def announce(self, user: str, thread: str) -> str:
        raise ServiceUnavailable(f"no rename of {thread} by {user}")


class DeafAndRefusing(Platform):
    """Nothing can be renamed, and readers miss that they are cancelled."""

    parts = Parts(titles=_Deaf, invalidation=_Refusing)


def test_an_error_ends_the_work_of_those_too_who_miss_it(lease: Lease) -> None:
    """The first rename fails, and the readers, deaf to their cancellation, end all the same."""
    with pytest.raises(ExceptionGroup, match="unhandled errors") as raised:
        worked(lease, DeafAndRefusing)
    assert {type(error) for error in raised.value.exceptions} == {ServiceUnavailable}
