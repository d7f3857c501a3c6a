"""What forks leave behind in sessions of their own ends in order, with the warm process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from labkit.warm.forks import MOST_WATCHED
from tests.services.owners import eventually, is_running, kill, none_runs, owner, same_imports
from tests.warm.stage import LEAVES_A_DAEMON, WAITS, forked, ran, warmed

ENDS: Final = """
import subprocess, sys
from labkit.warm.orphans import adopt_orphans, children, end_children
adopt_orphans()
subprocess.run([sys.executable, "-c", sys.argv[1]], start_new_session=True)
print(len(children()), flush=True)
end_children(asked_s=float(sys.argv[2]), killed_s=60.0)
print(len(children()), flush=True)
"""
"""A process that runs a program, and ends what this leaves behind."""
LEAVES: Final = """
import subprocess, sys
argv = [sys.executable, "-c", {daemon!r}]
daemon = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE)
daemon.stdout.readline()
"""
CLEARS_UP: Final = """
import pathlib, signal
def end(*_):
    pathlib.Path("cleared").touch()
    raise SystemExit
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
while True:
    signal.pause()
"""
RESISTS: Final = CLEARS_UP.replace("raise SystemExit", "pass")
OWNS: Final = """
import asyncio
from tests.warm.stage import LEAVES_A_DAEMON, WAITS, forked, warmed
async def own():
    async with warmed() as warm, forked(warm.door, LEAVES_A_DAEMON + WAITS) as fork:
        print(fork.line(), flush=True)
        await fork.process.wait()
asyncio.run(own())
"""
"""An owner of a warm process that says the number of its fork's daemon."""


@pytest.mark.parametrize(("daemon", "asked_s"), [(CLEARS_UP, 60.0), (RESISTS, 0.5)])
def test_orphans_are_asked_to_end_and_killed_where_they_do_not(
    daemon: str, asked_s: float, tmp_path: Path
) -> None:
    """A server in a session of its own can clear up; one that resists is gone all the same."""
    argv = [sys.executable, "-c", ENDS, LEAVES.format(daemon=daemon), str(asked_s)]
    told = subprocess.run(
        argv, cwd=tmp_path, env=same_imports(), stdout=subprocess.PIPE, check=True
    )
    assert told.stdout.split() == [b"1", b"0"]
    # One that resists may be killed before it has run at all.
    assert daemon == RESISTS or (tmp_path / "cleared").exists()


def test_what_outlived_its_fork_is_reaped_when_it_ends() -> None:
    """The warm process is told, and does not wait for another fork to come or go."""

    async def run() -> None:
        async with warmed() as warm:
            daemon = int((await ran(warm.door, LEAVES_A_DAEMON)).text)
            assert warm.children == [daemon]
            os.kill(daemon, signal.SIGKILL)
            assert await asyncio.to_thread(eventually, lambda: warm.children == [])

    asyncio.run(run())


MANY: Final = f"""
import subprocess
daemon = "echo; exec sleep 300 >/dev/null"
argv = ["sh", "-c", f"for _ in $(seq {2 * MOST_WATCHED}); do setsid -f sh -c '{{daemon}}'; done"]
with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as starting:
    assert len(starting.stdout.readlines()) == {2 * MOST_WATCHED}
"""
"""A program that ends when each of its daemons has a session of its own."""


def test_many_daemons_cost_few_descriptors() -> None:
    """More than there may be would cost the warm process its life; all are gone with it."""

    async def run() -> list[int]:
        async with warmed() as warm:
            before = warm.descriptors
            assert (await ran(warm.door, MANY)).status == 0
            assert (await ran(warm.door, "pass")).status == 0  # it has looked by then
            assert len(warm.children) == 2 * MOST_WATCHED
            watching = before + MOST_WATCHED
            assert await asyncio.to_thread(eventually, lambda: warm.descriptors == watching)
            for daemon in warm.children:
                os.kill(daemon, signal.SIGKILL)
            assert await asyncio.to_thread(eventually, lambda: warm.children == [])
            assert await asyncio.to_thread(eventually, lambda: warm.descriptors <= before)
            assert (await ran(warm.door, MANY)).status == 0
            return warm.children

    assert none_runs(asyncio.run(run()))


def test_a_daemon_outlives_its_fork_and_ends_with_the_warm_process() -> None:
    """By then its fork may have ended long ago, and nobody knows whose it was."""

    async def run() -> int:
        async with warmed() as warm:
            daemon = int((await ran(warm.door, LEAVES_A_DAEMON)).text)
            async with forked(warm.door, WAITS) as fork:
                fork.line()
            assert is_running(daemon)
        return daemon

    assert not is_running(asyncio.run(run()))


def test_an_orphan_that_ended_by_itself_is_let_go_of() -> None:
    """At the next end of a fork it is no zombie any more."""

    async def run() -> None:
        async with warmed() as warm:
            daemon = int((await ran(warm.door, LEAVES_A_DAEMON)).text)
            os.kill(daemon, signal.SIGKILL)
            assert eventually(lambda: not is_running(daemon))
            await ran(warm.door, "pass")
            assert eventually(lambda: daemon not in warm.children)

    asyncio.run(run())


def test_daemons_end_after_the_owner_of_the_warm_process_was_killed() -> None:
    """`kill -9` leaves none of them."""
    with owner(OWNS) as (process, daemon):
        assert is_running(daemon)
        kill(process.pid)
        assert eventually(lambda: not is_running(daemon))
