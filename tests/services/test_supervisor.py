"""Shared services: up once, found by others, gone by `down`, when unused, or when killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from labkit.errors import ServiceUnavailable
from labkit.services import supervisor
from labkit.services.connect import PostgresConnection
from labkit.services.endpoints import Origin, Services
from labkit.services.supervisor import Holding, down, shared_services, status, up
from tests.services.owners import eventually, folder_of, is_running, kill


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache of its own, in which nothing is up after the test."""
    yield tmp_path
    down(tmp_path)


async def query(services: Services) -> int:
    """What PostgreSQL answers."""
    connection = await asyncpg.connect(services.postgres.url.reveal())
    try:
        return int(await connection.fetchval("SELECT 6 * 7"))
    finally:
        await connection.close()


def test_up_shares_and_down_ends(cache: Path) -> None:
    """What is up is found with its versions and answers; `down` leaves nothing, and says so."""
    assert shared_services(cache) is None
    assert down(cache) is False
    raised = up(cache, environment=os.environ)
    assert raised.started
    assert not up(cache, environment=os.environ).started
    services = shared_services(cache)
    assert services == raised.holding.services
    assert services.postgres.version.origin == Origin.SHARED
    assert asyncio.run(query(services)) == 42
    assert down(cache) is True
    assert not folder_of(services).exists()
    assert eventually(lambda: not is_running(raised.holding.pid))
    assert status(cache) is None
    assert down(cache) is False


def test_the_state_is_private(cache: Path) -> None:
    """The file with the passwords, and its folder, are for their user alone."""
    up(cache, environment=os.environ)
    assert (cache / "shared/state.json").stat().st_mode & 0o777 == 0o600
    assert (cache / "shared").stat().st_mode & 0o777 == 0o700


def test_of_several_ups_one_wins(cache: Path) -> None:
    """Of several calls at once one starts the services, and all report the same ones."""
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(up, cache, environment=os.environ) for _ in range(3)]
        answers = [call.result() for call in calls]
    assert sorted(answer.started for answer in answers) == [False, False, True]
    assert len({answer.holding.pid for answer in answers}) == 1


def test_the_state_of_a_killed_supervisor_is_not_believed(cache: Path) -> None:
    """A supervisor that is killed takes its servers along; its state is removed, and up works."""
    first = up(cache, environment=os.environ).holding
    kill(first.pid)
    assert eventually(lambda: not folder_of(first.services).exists())
    assert shared_services(cache) is None
    assert not (cache / "shared/state.json").exists()
    second = up(cache, environment=os.environ)
    assert second.started
    assert asyncio.run(query(second.holding.services)) == 42


def test_unused_services_end(cache: Path) -> None:
    """Services that nobody uses end by themselves after the idle time."""
    holding = up(cache, environment=os.environ, idle_s=0.2).holding
    assert eventually(lambda: not is_running(holding.pid))
    assert not folder_of(holding.services).exists()
    assert status(cache) is None


async def in_use(cache: Path, *, idle_s: float) -> tuple[Holding, PostgresConnection]:
    """Services, and a client of theirs, which comes again where they ended before it came."""
    for _ in range(10):
        holding = up(cache, environment=os.environ, idle_s=idle_s).holding
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            return holding, await asyncpg.connect(holding.services.postgres.url.reveal())
    raise AssertionError("they have ended each time before a client came")


def test_services_in_use_stay(cache: Path) -> None:
    """As long as a client is connected, the idle time does not pass."""

    async def scenario() -> None:
        holding, connection = await in_use(cache, idle_s=0.4)
        first_use = holding.used_at

        def used_later() -> bool:
            now = status(cache)
            return now is not None and now.used_at > first_use + 2 * now.idle_s

        assert eventually(used_later)
        await connection.close()
        assert eventually(lambda: not is_running(holding.pid))

    asyncio.run(scenario())


def test_services_that_take_too_long_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where to look; whoever starts too late ends, since nobody hears it."""
    monkeypatch.setattr(supervisor, "_UP_DEADLINE_S", 0.01)
    with pytest.raises(ServiceUnavailable, match=r"did not start within 0 s; see .*log"):
        up(cache, environment=os.environ)


def test_services_that_another_starts_too_late_are_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same words, to who only waited for them."""
    monkeypatch.setattr(supervisor, "_UP_DEADLINE_S", 3.0)
    lock = supervisor._paths(cache)[1]
    lock.parent.mkdir(mode=0o700)
    with supervisor._locked(lock, patience_s=0) as is_starting:
        assert is_starting
        with pytest.raises(ServiceUnavailable, match=r"did not start within 3 s; see .*log"):
            up(cache, environment=os.environ)


def test_services_that_cannot_start_say_why(tmp_path: Path) -> None:
    """The reason that the supervisor met is the reason that `up` gives."""
    (tmp_path / "clusters").touch()
    with pytest.raises(ServiceUnavailable, match=r"did not start; see .*LABKIT_CACHE_DIR"):
        up(tmp_path, environment=os.environ)
