"""Processes of services start when they are needed, answer, and end with their owner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from labkit.errors import InfrastructureError, Rejected, ServiceUnavailable
from labkit.reference.configuration.fleet import Fleet
from labkit.reference.configuration.worker_config import WorkerConfig
from labkit.services.endpoints import Lease
from tests.reference.configuration.stage import PARTS, SECRET, config, fleet
from tests.reference.processes.test_servers import children
from tests.reference.stage import asynchronous
from tests.services.owners import eventually, is_running, none_runs, owner


@asynccontextmanager
async def running(lease: Lease) -> AsyncIterator[Fleet]:
    """Processes of which none is left."""
    own = fleet(lease)
    try:
        yield own
    finally:
        await own.close()
        assert children() == []


@asynchronous
async def test_processes_start_at_the_first_question_and_once(installed: Lease) -> None:
    """Whoever asks meanwhile is answered by the same ones; other services are left alone."""
    async with running(installed) as own:
        assert children() == []
        first, second = await asyncio.gather(*(own.ask("backend", "seen") for _ in range(2)))
        assert list(first) == list(second)
        assert sorted(children()) == sorted(first)
        assert len(first) == 2
        assert len(await own.ask("auth", "seen")) == 1


@asynchronous
async def test_a_stopped_service_answers_nothing_until_it_is_started(installed: Lease) -> None:
    """Its processes are gone; starting and stopping twice is harmless."""
    async with running(installed) as own:
        [before] = await own.ask("auth", "seen")
        for _ in range(2):
            await own.stop("auth")
        assert not is_running(before)
        assert await own.ask("auth", "seen") == {}
        for _ in range(2):
            await own.start("auth")
        [after] = await own.ask("auth", "seen")
        assert after != before


@asynchronous
async def test_a_death_of_its_own_is_told(installed: Lease) -> None:
    """At the next question, and again when it is closed."""
    own = fleet(installed)
    [pid] = await own.ask("auth", "seen")
    os.kill(pid, signal.SIGKILL)
    dead = r"process 0 of the service auth \(pid \d+\) ended by itself with status -9"
    with pytest.raises(ServiceUnavailable, match=dead):
        await own.ask("auth", "seen")
    with pytest.raises(ServiceUnavailable, match=dead):
        await own.close()
    assert children() == []


@asynchronous
async def test_all_deaths_are_told_at_once_when_it_is_closed(installed: Lease) -> None:
    """Of every service, in one error."""
    own = fleet(installed)
    pids = [pid for service in ("auth", "backend") for pid in await own.ask(service, "seen")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert await asyncio.to_thread(eventually, lambda: none_runs(pids))
    with pytest.raises(ServiceUnavailable) as told:
        await own.close()
    assert [f"(pid {pid}) ended by itself" in str(told.value) for pid in pids] == [True] * 3


@asynchronous
async def test_a_question_that_is_not_understood_kills_nobody(installed: Lease) -> None:
    """Too long, of no kind, or without what it needs: it is refused, and the next is answered."""
    async with running(installed) as own:
        [pid] = await own.ask("auth", "seen")
        long, half = "x" * 2_000_000, "\ud800"
        for question, facts in (
            ("proof", {"key": "api_secret", "challenge": long}),
            ("proof", {"key": "api_secret", "challenge": half}),
            ("proof", {"key": "log_level", "challenge": "x"}),
            ("proof", {}),
            ("nothing", {}),
        ):
            with pytest.raises(Rejected, match="has no answer: "):
                await own.ask("auth", question, **facts)
        assert list(await own.ask("auth", "seen")) == [pid]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (f"{PARTS}s", "TargetError: the parts .* cannot be loaded"),
        ("labkit.reference:Platform.install", "is no ConfigurationParts, but method"),
    ],
)
def test_bad_parts_tell_why_nothing_started(installed: Lease, parts: str, why: str) -> None:
    """All processes of the service are gone."""

    @asynchronous
    async def start() -> None:
        own = fleet(installed, parts=parts)
        with pytest.raises(InfrastructureError, match=why):
            await own.start("backend")
        assert children() == []
        await own.close()

    start()


@asynchronous
async def test_settings_that_are_wrong_tell_why_nothing_started(installed: Lease) -> None:
    """With the faults, and without the secret."""
    bad = replace(
        config(installed),
        variables={"PLATFORM_API_SECRET": SECRET, "PLATFORM_LOG_LEVEL": SECRET},
    )
    own = Fleet({"auth": [bad]})
    words = "InvalidSettings: 2 settings are wrong: database_url: is missing"
    with pytest.raises(InfrastructureError, match=words) as refusal:
        await own.start("auth")
    assert SECRET not in str(refusal.value)
    await own.close()


@asynchronous
async def test_one_that_does_not_start_takes_the_others_along(installed: Lease) -> None:
    """A service runs in whole or not at all."""
    good = config(installed)
    own = Fleet({"auth": [good, replace(good, environment="nowhere", number=1)]})
    with pytest.raises(InfrastructureError, match=r"process 1 of the service auth .*nowhere"):
        await own.start("auth")
    assert children() == []
    await own.close()


OWNER = """
import asyncio, json, sys
from labkit.reference.configuration.fleet import Fleet
from labkit.reference.configuration.worker_config import WorkerConfig

async def own(config):
    fleet = Fleet({"auth": [config]})
    print(json.dumps(list(await fleet.ask("auth", "seen"))), flush=True)
    await asyncio.sleep(60)

asyncio.run(own(WorkerConfig.from_line(sys.argv[1])))
"""


def test_processes_end_with_an_owner_that_is_killed(installed: Lease) -> None:
    """Nobody is left to stop them, and they go all the same."""
    line = config(installed).to_line()
    assert WorkerConfig.from_line(line) == config(installed)
    with owner(OWNER, line) as (_, pids):
        assert len(pids) == 1
        assert all(map(is_running, pids))
    assert eventually(lambda: none_runs(pids))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_to_end_does_so_in_order(
    installed: Lease, number: signal.Signals
) -> None:
    """Its status is that of a program that has done its work."""

    @asynchronous
    async def ask() -> None:
        own = fleet(installed)
        [pid] = await own.ask("auth", "seen")
        os.kill(pid, number)
        assert await asyncio.to_thread(eventually, lambda: not is_running(pid))
        with pytest.raises(ServiceUnavailable, match="ended by itself with status 0:"):
            await own.close()

    ask()


@asynchronous
async def test_it_logs_from_its_level_upwards_and_no_secret(installed: Lease) -> None:
    """A level that a variable sets is the process's own: at INFO it tells of changes."""
    variables = {**config(installed).variables, "PLATFORM_LOG_LEVEL": "INFO"}
    chatty = replace(config(installed), variables=variables)
    own = Fleet({"auth": [chatty]})
    [pid] = await own.ask("auth", "seen")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ServiceUnavailable) as told:
        await own.ask("auth", "seen")
    lines = [json.loads(line) for line in str(told.value).splitlines()[1:]]
    assert all(line["level"] != "debug" for line in lines)
    with pytest.raises(ServiceUnavailable):
        await own.close()
