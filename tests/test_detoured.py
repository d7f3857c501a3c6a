"""A target on ways of its own is the same platform, and what it sends can be held apart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from labkit.detoured import detours
from labkit.errors import NotDeclared, NotGreen
from labkit.faults.flow import Direction
from labkit.faults.turnstile import ServerName
from labkit.ids import UserID
from labkit.lab import Lab
from labkit.reference import Platform
from labkit.services.endpoints import Lease, secrets_of
from labkit.skips import SkipCheck
from tests.faults.stage import LONG_S
from tests.lab_stage import SilentlyWithoutData, WithoutData, hand_over, spec
from tests.reference.stage import asynchronous, new_user


@pytest.fixture
def handed_over(lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """A lease that this process is given as a kernel is."""
    return hand_over(lease, tmp_path, monkeypatch)


async def closed(lab: Lab) -> None:
    """A lab in which nothing passed is closed."""
    with pytest.raises(NotGreen):
        await lab.close()


@asynchronous
async def test_the_platform_works_on_detours(lease: Lease) -> None:
    """The same rows and keys, by other addresses; schema and witness keep theirs."""
    await Platform.install(lease)
    async with detours(lease, random=Random(1)) as ways:
        assert ways.lease.owner_url == lease.owner_url
        assert {ways.lease.platform_url, ways.lease.redis_url}.isdisjoint(secrets_of(lease))
        async with Platform(ways.lease) as led, Platform(lease) as direct:
            user = await new_user(led.data)
            thread = await led.data.create_thread(user, "one")
            assert [one.id for one in await direct.data.threads(user)] == [thread]
            await led.cache.write(user, "key", "value", ttl_ms=10_000)
            assert await direct.cache.read(user, "key") == "value"
        assert min(ways.postgres.opened, ways.redis.opened) > 0


@asynchronous
async def test_its_turns_can_be_told_apart(lease: Lease) -> None:
    """What has been warmed up by another operation is no turn, and each server is its own."""
    await Platform.install(lease)
    async with detours(lease, random=Random(1)) as ways, Platform(ways.lease) as led:
        user = await new_user(led.data)

        async def work() -> None:
            await led.cache.read(user, "key")
            await led.data.create_thread(user, "one")

        with ways.turnstile() as turns:
            working, seen = asyncio.create_task(work()), list[ServerName]()
            while (server := await turns.held(working, deadline_s=LONG_S)) is not None:
                seen.append(server)
                turns.let_pass()
            await working
        assert seen == [ServerName.REDIS, ServerName.POSTGRES]


@pytest.mark.usefixtures("handed_over")
def test_a_lab_opens_the_target_once_more() -> None:
    """A check uses it beside the first one, notes what it needs, and is not charged with it."""

    async def run() -> None:
        lab = await Lab.open("area")
        async with lab.check("detoured", "The database is silent") as check:
            user = UserID.new()
            async with lab.detoured() as other:
                await other.target.data.create_user(user)
                gate = other.postgres.hold(Direction.UPSTREAM)
                slow = asyncio.create_task(other.target.data.create_thread(user, "held"))
                assert await gate.held(deadline_s=LONG_S)
                check.equal(await lab.data.threads(user), [], "threads", reason="not-held")
                gate.release()
                await slow
            found = await lab.witness.count(other.target.tables.threads, "user_id = $1", user)
            check.equal(found, 1, "threads", reason="lost-row")
        assert check.record is not None
        assert (check.record.outcome, check.record.reason) == ("passed", "")
        assert {"data.create_user", "tables.threads"} <= set(check.record.needs)
        await lab.close()

    asyncio.run(run())


@pytest.mark.usefixtures("handed_over")
def test_its_urls_are_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """What is told in a check does not show where the proxies lead, nor by which login."""
    told = []

    async def run() -> None:
        lab = await Lab.open("area")
        async with lab.check("telling", "It tells too much") as check, lab.detoured() as other:
            told.extend([other.lease.platform_url.reveal(), other.lease.redis_url.reveal()])
            check.equal(told, [], "urls", reason="not-equal")
        assert check.record is not None
        assert check.record.outcome == "failed"
        await closed(lab)

    asyncio.run(run())
    shown = capsys.readouterr().out
    assert "telling" in shown
    assert [url for url in told if url in shown] == []


@pytest.mark.usefixtures("handed_over")
def test_gaps_are_those_of_the_lab() -> None:
    """A gap that is declared skips, and one that is not is an error, also by a detour."""

    async def run() -> None:
        lab = await Lab.open("area", target=spec(WithoutData))
        async with lab.detoured() as other:
            assert other.target.name == "reference"
            with pytest.raises(SkipCheck, match="keeps nothing"):
                await other.target.data.create_user("user")
        await closed(lab)
        lab = await Lab.open("area", target=spec(SilentlyWithoutData))
        async with lab.detoured() as other:
            with pytest.raises(NotDeclared):
                await other.target.data.create_user("user")
        await closed(lab)

    asyncio.run(run())
