"""A process that dies between its commit and the invalidation leaves an old title behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from labkit.doomed import DoomedRename, doomed_rename
from labkit.errors import InfrastructureError, NotGreen
from labkit.ids import UserID
from labkit.lab import Lab
from labkit.reference import Platform
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.handover import VARIABLE, Handover, write_handover
from labkit.skips import SkipCheck
from labkit.witness import Witness
from tests.reference.publishing import until
from tests.reference.stage import asynchronous
from tests.targets.shelf import Shelved, ShelvedForGood


@asynccontextmanager
async def doomed(
    lease: Lease, target: Shelved, witness: Witness, platform: type[Shelved] = Shelved
) -> AsyncIterator[DoomedRename]:
    """A thread that is called "before", also in the cache, and a process that renames it."""
    user = UserID.new()
    await target.data.create_user(user)
    thread = await target.data.create_thread(user, "before")
    assert (await target.cache.title(user, thread)).title == "before"
    async with doomed_rename(
        lease,
        f"{platform.__module__}:{platform.__name__}",
        user=user,
        thread=thread,
        title="after",
        witness=witness,
        table=platform.tables.threads,
        random=Random(1),
    ) as held:
        yield held


@asynchronous
async def test_a_rename_is_killed_between_commit_and_invalidation(lease: Lease) -> None:
    """The row is the new one, and what was held never takes the old title out of the cache."""
    await Shelved.install(lease)
    async with Witness(lease) as witness, Shelved(lease) as target:

        async def only_one_is_connected() -> bool:
            return len(await witness.backends(lease.platform_role)) == 1

        async with doomed(lease, target, witness) as held:
            verdict = await held.kill()
            assert verdict.valid is True, verdict.detail
            assert "ended with -9; its commit was there" in verdict.detail
        assert await target.cache.written(held.user, held.thread) == "after"
        cached = await target.cache.title(held.user, held.thread)
        assert (cached.title, cached.is_hit) == ("before", True)
        await until(only_one_is_connected)


@asynchronous
async def test_a_process_that_is_not_killed_invalidates_nothing_either(lease: Lease) -> None:
    """It goes with the block, and what is held with it."""
    await Shelved.install(lease)
    async with Witness(lease) as witness, Shelved(lease) as target:
        async with doomed(lease, target, witness) as held:
            assert held.is_due
        assert (await target.cache.title(held.user, held.thread)).title == "before"
        assert await held.process.kill() == -9


@asynchronous
async def test_a_rename_that_asks_the_cache_for_nothing_is_unknown(lease: Lease) -> None:
    """There is no moment between the two at which it could die."""
    await Shelved.install(lease)
    async with (
        Witness(lease) as witness,
        Shelved(lease) as target,
        doomed(lease, target, witness, ShelvedForGood) as held,
    ):
        verdict = await held.kill()
    assert (verdict.valid, verdict.reason) == (None, "fault-not-applied")


@asynchronous
async def test_a_process_that_cannot_rename_says_why(lease: Lease) -> None:
    """What it wrote to standard error is told."""
    await Shelved.install(lease)
    async with Witness(lease) as witness:
        with pytest.raises(InfrastructureError, match="there is no pad nowhere"):
            async with doomed_rename(
                lease,
                "tests.targets.shelf:Shelved",
                user=UserID.new(),
                thread="nowhere",
                title="after",
                witness=witness,
                table=Shelved.tables.threads,
                random=Random(1),
            ):
                pytest.fail("there is nothing to rename")


@asynchronous
async def test_the_platform_reads_no_old_title_afterwards(lease: Lease) -> None:
    """Its process dies in the same place, and has withdrawn the cached title before."""
    await Platform.install(lease)
    async with Witness(lease) as witness, Platform(lease) as target:
        user = UserID.new()
        await target.data.create_user(user)
        thread = await target.data.create_thread(user, "before")
        async with target.cache.session(user) as session:
            assert [(await session.title(thread)).is_hit for _ in range(2)] == [False, True]
        async with doomed_rename(
            lease,
            "labkit.reference:Platform",
            user=user,
            thread=thread,
            title="after",
            witness=witness,
            table=Platform.tables.threads,
            random=Random(1),
        ) as held:
            verdict = await held.kill()
        assert verdict.valid is True, verdict.detail
        async with target.cache.session(user) as session:
            assert (await session.title(thread)).title == "after"


def test_a_lab_dooms_a_rename_or_skips(
    lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a target that caches titles it is killed; one that caches nothing lacks what it needs."""
    write_handover(tmp_path / "handover.json", Handover(lease, secrets_of(lease)))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "handover.json"))

    async def run() -> None:
        lab = await Lab.open("area", target="tests.targets.shelf:Shelved")
        async with lab.check("doomed", "It dies") as check:
            user = UserID.new()
            await lab.data.create_user(user)
            thread = await lab.data.create_thread(user, "before")
            async with lab.doomed_rename(user, thread, "after") as held:
                check.judged(await held.kill(), "it was killed in between")
        assert check.record is not None
        assert (check.record.outcome, check.record.reason) == ("passed", "")
        await lab.close()
        lab = await Lab.open("area", target="tests.targets.notepad:Notepad")
        with pytest.raises(SkipCheck, match="fast enough"):
            lab.doomed_rename(user, thread, "after")
        with pytest.raises(NotGreen):
            await lab.close()

    asyncio.run(run())
