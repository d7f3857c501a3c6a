"""Server processes of the platform: started once, ended with their owner, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import InfrastructureError, ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.config import ServiceConfig
from labkit.reference.processes.child_process import ProcessLimits
from labkit.reference.processes.servers import Processes
from labkit.services.endpoints import Lease
from labkit.services.handover import lease_to_json
from tests.reference.stage import asynchronous
from tests.services.owners import eventually, is_running, none_runs

KEY = Secret("a key for tokens that is long enough to sign with")


def configs(lease: Lease, count: int = 2) -> list[ServiceConfig]:
    """The configurations of so many processes."""
    first = ServiceConfig("labkit.reference:Platform", lease, KEY)
    return [replace(first, number=number) for number in range(count)]


@asynccontextmanager
async def processes(
    lease: Lease, count: int = 2, limits: ProcessLimits | None = None
) -> AsyncIterator[Processes]:
    """Processes that are stopped, whatever the test does; none is left."""
    own = Processes(configs(lease, count), limits)
    pids: list[int] = []
    try:
        yield own
        pids = list(own.pids)
    finally:
        await own.close()
        assert none_runs(pids)
        assert children() == []


def children() -> list[int]:
    """The server processes that this process has, zombies included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
            if int(fields[1]) == os.getpid() and (b"labkit.reference" in command or not command):
                found.append(int(stat.parent.name))
    return found


async def takes_connections(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynchronous
async def test_processes_start_at_the_first_need_and_once(installed: Lease) -> None:
    """There is none before; ten needs at the same time get the same two doors."""
    async with processes(installed) as own:
        assert children() == []
        first, *others = await asyncio.gather(*(own.doors() for _ in range(10)))
        assert len({door.port for door in first}) == 2
        assert all(doors == first for doors in others)
        assert sorted(children()) == sorted(own.pids)
        assert all([await takes_connections(door.host, door.port) for door in first])


@asynchronous
async def test_closed_processes_leave_no_door(installed: Lease) -> None:
    """They stop in order, which is no death, and nobody listens any more."""
    own = Processes(configs(installed))
    doors = await own.doors()
    await own.close()
    assert children() == []
    assert not any([await takes_connections(door.host, door.port) for door in doors])


@asynchronous
async def test_processes_that_nobody_needed_are_closed_without_a_start(installed: Lease) -> None:
    """Closing is all that happens."""
    async with processes(installed):
        pass


@asynchronous
async def test_a_killed_process_is_no_longer_among_the_doors(installed: Lease) -> None:
    """The other serves on; one that is started in its place has a door again."""
    async with processes(installed) as own:
        _, second = await own.doors()
        assert await own.kill(0) == -signal.SIGKILL
        assert await own.doors() == [second]
        door = await own.restart(0)
        assert await own.doors() == [door, second]
        assert await takes_connections(door.host, door.port)


@asynchronous
async def test_when_all_are_killed_there_is_no_door(installed: Lease) -> None:
    """Who needs one is told."""
    async with processes(installed, count=1) as own:
        await own.doors()
        await own.kill(0)
        with pytest.raises(ServiceUnavailable, match="all server processes"):
            await own.doors()


@asynchronous
async def test_a_death_of_its_own_is_told_with_the_end_of_the_log(installed: Lease) -> None:
    """A process that somebody else killed is missed at the next need, and again at the end."""
    own = Processes(configs(installed, 1))
    await own.doors()
    os.kill(own.pids[0], signal.SIGKILL)
    assert await asyncio.to_thread(eventually, lambda: not own.pids)
    with pytest.raises(ServiceUnavailable, match=r"process 0 \(pid \d+\) ended by itself .* -9"):
        await own.doors()
    with pytest.raises(ServiceUnavailable, match="ended by itself"):
        await own.close()
    assert children() == []


@asynchronous
async def test_a_bad_target_tells_why_nothing_started(installed: Lease) -> None:
    """The reason of the process's own is in the error, and nothing is left, good ones included."""
    good, bad = configs(installed)
    own = Processes([good, replace(bad, target="labkit.reference:Nothing")])
    with pytest.raises(InfrastructureError, match=r"'labkit\.reference' has no 'Nothing'"):
        await own.doors()
    await own.close()
    assert children() == []


@asynchronous
async def test_a_lease_that_does_not_hold_tells_why_nothing_started(installed: Lease) -> None:
    """A server that refuses the platform's role is named, and its password is not."""
    wrong = installed.platform_url.reveal().replace(installed.platform_role, "nobody_labkit")
    own = Processes(configs(replace(installed, platform_url=Secret(wrong)), 1))
    with pytest.raises(InfrastructureError, match="PostgreSQL refuses the platform") as refusal:
        await own.doors()
    assert wrong not in str(refusal.value)
    await own.close()


@asynchronous
async def test_a_start_that_takes_too_long_is_given_up(installed: Lease) -> None:
    """The process is gone when its owner learns of it."""
    own = Processes(configs(installed, 1), ProcessLimits(ready_s=0.01))
    with pytest.raises(InfrastructureError, match="did not start"):
        await own.doors()
    assert children() == []
    await own.close()


@asynchronous
async def test_who_is_cancelled_while_waiting_takes_no_process_along(installed: Lease) -> None:
    """The start goes on for the others."""
    async with processes(installed, count=1) as own:
        hasty, patient = (asyncio.create_task(own.doors()) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        assert len(await patient) == 1
        assert hasty.cancelled()


@asynchronous
async def test_closing_in_the_middle_of_the_start_leaves_no_process(
    installed: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that was just begun nor one that is about to be; none can be ready before."""
    (tmp_path / "labkit_unready.py").write_text("import sys; sys.stdin.read()")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    unready = [replace(one, target="labkit_unready:Platform") for one in configs(installed)]
    own = Processes(unready)
    start = asyncio.create_task(own.doors())
    assert await asyncio.to_thread(eventually, lambda: bool(children()))
    await own.close()
    assert children() == []
    with pytest.raises(asyncio.CancelledError):
        await start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_to_end_does_so_in_order(
    installed: Lease, number: signal.Signals
) -> None:
    """Its status is that of a program that has done its work."""

    @asynchronous
    async def ask() -> None:
        own = Processes(configs(installed, 1))
        await own.doors()
        os.kill(own.pids[0], number)
        assert await asyncio.to_thread(eventually, lambda: not own.pids)
        with pytest.raises(ServiceUnavailable, match="ended by itself with status 0:"):
            await own.close()

    ask()


@asynchronous
async def test_a_process_that_does_not_stop_is_killed(installed: Lease) -> None:
    """One that is paused cannot stop in order: after a while it is ended all the same."""
    async with processes(installed, count=1, limits=ProcessLimits(stop_s=0.2)) as own:
        await own.doors()
        os.kill(own.pids[0], signal.SIGSTOP)


@asynchronous
async def test_an_interrupt_of_the_owners_group_does_not_stop_them(installed: Lease) -> None:
    """They are in a group of their own: a cell that is interrupted wants its platform back."""
    async with processes(installed, count=1) as own:
        await own.doors()
        [pid] = own.pids
        assert os.getpgid(pid) != os.getpgid(os.getpid())


OWNER = """
import asyncio, json, sys
from labkit.redaction import Secret
from labkit.reference.config import ServiceConfig
from labkit.reference.processes.servers import Processes
from labkit.services.handover import lease_from_json

async def own(lease):
    key = Secret("a key for tokens that is long enough to sign with")
    spec = "labkit.reference:Platform"
    own = Processes([ServiceConfig(spec, lease, key, number) for number in range(2)])
    await own.doors()
    print(json.dumps(own.pids), flush=True)
    await asyncio.sleep(60)

asyncio.run(own(lease_from_json(json.loads(sys.stdin.readline()))))
"""


def owned(lease: Lease) -> Sequence[int]:
    """The processes of an owner that was killed after they were ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{json.dumps(lease_to_json(lease))}\n")
            process.stdin.flush()
            pids: list[int] = json.loads(process.stdout.readline())
            assert len(pids) == 2
            assert all(map(is_running, pids))
        finally:
            process.kill()
    return pids


def test_processes_end_with_an_owner_that_is_killed(installed: Lease) -> None:
    """Nobody is left to stop them, and they go all the same."""
    pids = owned(installed)
    assert eventually(lambda: none_runs(pids))
