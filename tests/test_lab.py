"""A lab opens whole or not at all, gives back what it took, and ends with an honest verdict."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from labkit.errors import (
    LeaseError,
    NotGreen,
    Rejected,
    ServiceUnavailable,
    TargetError,
    UsageError,
)
from labkit.ids import UserID
from labkit.lab import Lab
from labkit.redaction import Secret
from labkit.reference import Platform
from labkit.services.connect import postgres_session
from labkit.services.endpoints import Lease, Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.handover import VARIABLE, Handover, write_handover
from labkit.services.urls import PostgresUrl
from tests.lab_stage import connections, hand_over, passing, spec


class FailsToOpen(Platform):
    """A platform that fails when it is open."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await super().__aexit__()
        raise Rejected("it does not open")


class ReturnsNothing(Platform):
    """A platform that forgets to say what it has opened."""

    async def __aenter__(self) -> None:  # type: ignore[override]
        await super().__aenter__()


@pytest.fixture
def handed_over(lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """A lease that this process is given as a kernel is."""
    return hand_over(lease, tmp_path, monkeypatch)


@pytest.fixture
def given(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services that this process is given, without a lease."""
    give(services, tmp_path / "cache", monkeypatch)
    return services


def give(services: Services, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process find these services, and no lease."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(POSTGRES_URL, services.postgres.url.reveal())
    monkeypatch.setenv(REDIS_URL, services.redis.url.reveal())
    monkeypatch.setenv("LABKIT_CACHE_DIR", str(cache))


async def databases(services: Services) -> set[str]:
    """The databases of the server."""
    url = PostgresUrl.parse(services.postgres.url.reveal())
    async with postgres_session(url, doing="look for databases") as session:
        return {row[0] for row in await session.fetch("select datname from pg_database")}


def test_opens_on_the_lease_it_is_handed(
    handed_over: Lease, capsys: pytest.CaptureFixture[str]
) -> None:
    """Target and witness stand on the run's lease, and the lab says what it stands on."""

    async def run() -> None:
        lab = await Lab.open("area", seed=7)
        assert lab.lease == handed_over
        user = UserID.new()
        async with lab.check("rows", "The witness sees what the target writes") as check:
            await lab.data.create_user(user)
            found = await lab.witness.count(lab.tables.users, "id = $1", user)
            check.equal(found, 1, "users", reason="lost-row")
        assert lab.random.random() == random.Random(7).random()
        await lab.close()

    asyncio.run(run())
    told = capsys.readouterr().out
    assert f"lab open: area, target reference, seed 7, lease {handed_over.id}" in told
    assert "✓ passed: rows" in told
    assert "lab closed: ✓ passed" in told


def test_production_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lab opens in production, before anything is looked for."""
    monkeypatch.setenv(VARIABLE, "/nowhere/handover.json")
    with pytest.raises(UsageError, match="never opens in production"):
        asyncio.run(Lab.open("area", environment="production"))


def test_without_its_lease_nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's kernel never falls back to services of its own when its lease is gone."""
    monkeypatch.setenv(VARIABLE, "/nowhere/handover.json")
    with pytest.raises(LeaseError, match="start the run again"):
        asyncio.run(Lab.open("area"))


def test_takes_a_lease_and_gives_it_back(given: Services) -> None:
    """Without a run the lab takes a lease of its own, of which the server knows none after it."""

    async def run() -> None:
        lab = await Lab.open("area")
        assert lab.lease.database in await databases(given)
        await passing(lab)
        await lab.close()
        assert lab.lease.database not in await databases(given)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (spec(FailsToOpen), Rejected),
        (spec(ReturnsNothing), TargetError),
        ("tests.test_lab:nothing", TargetError),
        ("tests.nowhere:Platform", TargetError),
    ],
)
def test_what_was_opened_is_closed_after_a_failure(
    own_services: Services,
    target: str,
    error: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A target that cannot be loaded or opened leaves no lease behind."""
    give(own_services, tmp_path / "cache", monkeypatch)

    async def run() -> None:
        before = await databases(own_services)
        with pytest.raises(error):
            await Lab.open("area", target=target)
        assert await databases(own_services) == before

    asyncio.run(run())


def test_an_open_target_is_closed_after_a_failure(
    lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the witness cannot look, the target that is open already is closed again."""

    async def run() -> None:
        half = replace(lease, redis_url=Secret("unix:///nowhere/redis.sock"))
        write_handover(tmp_path / "handover.json", Handover(half, ()))
        monkeypatch.setenv(VARIABLE, str(tmp_path / "handover.json"))
        with pytest.raises(ServiceUnavailable, match="/nowhere"):
            await Lab.open("area")
        assert await connections(lease) == 0

    asyncio.run(run())


def test_a_red_check_fails_the_notebook(
    handed_over: Lease, capsys: pytest.CaptureFixture[str]
) -> None:
    """Closing names each check that is not green, closes everything, and says it again."""

    async def run() -> None:
        lab = await Lab.open("area")
        await passing(lab)
        async with lab.check("it_fails", "One is two") as check:
            check.equal(1, 2, "one", reason="not-two")
        async with lab.check("it_breaks", "Nothing") as check:
            raise ArithmeticError("of the body")
        lab.check("never_entered", "Nobody knows")
        expected = "area: it_fails is failed, it_breaks is broken, never_entered is unknown"
        for _ in range(2):
            with pytest.raises(NotGreen) as raised:
                await lab.close()
            assert str(raised.value) == expected
        assert await connections(handed_over) == 0

    asyncio.run(run())
    assert capsys.readouterr().out.count("lab closed: ✗✗ broken") == 1


def test_closing_twice_is_harmless(handed_over: Lease) -> None:
    """A green lab can be closed again."""

    async def run() -> None:
        lab = await Lab.open("area")
        await passing(lab)
        await lab.close()
        await lab.close()
        assert await connections(handed_over) == 0

    asyncio.run(run())
