"""A warm process forks for who asks in order, and leaves nothing of a fork whose lease ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Final

import pytest

from labkit.errors import NotWarm
from tests.services.owners import eventually, is_running, none_runs, owner
from tests.warm.stage import LEAVES_ANOTHER, WAITS, Warm, forked, ran

SHOWS_DESCRIPTORS: Final = """
import os
with os.scandir("/proc/self/fd") as links:
    print(sorted(int(link.name) for link in links if link.name != "3"))
"""
WAITS_FOR_ANY: Final = """
import os, subprocess
subprocess.run(["sh", "-c", "sleep 0.01 & exit 0"])
try:
    print(os.wait())
except ChildProcessError:
    print("none")
"""
SERVES: Final = """
import asyncio, os, resource, socket, sys, threading
from labkit.warm.forks import Forks
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1])
door.listen()
{spoil}
print(1, flush=True)
assert Forks(door, os.dup(0)).serve() is None, "this is a fork"
"""
"""A process that forks without being warm, and what was done in it before."""
ASKS: Final = """
import asyncio, sys
from pathlib import Path
from tests.warm.stage import STAYS_WITH_ANOTHER, forked
async def ask():
    async with forked(Path(sys.argv[1]), STAYS_WITH_ANOTHER) as fork:
        print([fork.process.pid, int(fork.line())], flush=True)
        await fork.process.wait()
asyncio.run(ask())
"""


def asks(door: Path, line: bytes) -> str:
    """What is answered to three descriptors with a line."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60.0)
        asking.connect(str(door))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it read enough
            socket.send_fds(asking, [line[:1]], [0, 1, 2])
            asking.sendall(line[1:])
        said: dict[str, str] = json.loads(asking.makefile().readline())
        return said["error"]


def test_who_asks_for_nonsense_is_told_and_others_are_served(warm: Warm) -> None:
    """The warm process goes on, with what it had open."""
    before = warm.descriptors
    assert "cannot be read" in asks(warm.door, b"nonsense\n")
    assert "RecursionError" in asks(warm.door, b"[" * 100_000 + b"\n")
    assert asyncio.run(ran(warm.door, "print('served')")).text == "served\n"
    assert eventually(lambda: warm.descriptors <= before)


def test_who_asks_without_an_end_is_told_and_others_are_served(warm: Warm) -> None:
    """A little at a time holds up the others for no longer than a request may take."""
    stop = threading.Event()

    def trickle() -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has been told
            while not stop.wait(0.2):
                asking.sendall(b" ")

    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60.0)
        asking.connect(str(warm.door))  # before the other, who is thus held up
        socket.send_fds(asking, [b" "], [0, 1, 2])
        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            assert asyncio.run(ran(warm.door, "print('served')")).text == "served\n"
        finally:
            stop.set()
            trickling.join()
        assert json.loads(asking.recv(1000)) == {"error": "timed out"}


def test_who_has_gone_before_the_fork_costs_nobody_anything(warm: Warm) -> None:
    """A connection without a request is closed again."""
    before = warm.descriptors
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(warm.door))
    assert asyncio.run(ran(warm.door, "print('served')")).text == "served\n"
    assert eventually(lambda: warm.descriptors <= before)


def test_a_fork_inherits_three_descriptors_and_no_other(warm: Warm) -> None:
    """Neither the warm one's own, nor those of a fork that runs beside it."""

    async def beside() -> str:
        async with forked(warm.door, WAITS) as first, forked(warm.door, WAITS) as second:
            assert {first.line(), second.line()} == {"waits"}
            return (await ran(warm.door, SHOWS_DESCRIPTORS)).text

    assert asyncio.run(beside()) == "[0, 1, 2]\n"


def test_many_forks_leave_neither_descriptors_nor_zombies(warm: Warm) -> None:
    """Thirty, five at a time: each ends with its own status, and the warm process is as before."""
    before = warm.descriptors

    async def several() -> list[int]:
        texts = [f"raise SystemExit({number})" for number in range(30)]
        statuses = []
        for first in range(0, 30, 5):
            some = await asyncio.gather(
                *(ran(warm.door, text) for text in texts[first : first + 5])
            )
            statuses += [one.status for one in some]
        return statuses

    assert asyncio.run(several()) == list(range(30))
    assert eventually(lambda: warm.descriptors <= before)
    assert eventually(lambda: warm.children == [])


def test_what_a_fork_leaves_in_its_group_is_killed(warm: Warm) -> None:
    """A process that it started is gone when its own end is told."""
    came = asyncio.run(ran(warm.door, LEAVES_ANOTHER))
    assert came.status == 0
    assert eventually(lambda: not is_running(int(came.text)))


def test_a_fork_has_no_children_but_its_own(warm: Warm) -> None:
    """What its children leave behind is not handed to it, as to no ordinary process."""
    assert asyncio.run(ran(warm.door, WAITS_FOR_ANY)).text == "none\n"


def test_a_fork_ends_with_who_asked_for_it(warm: Warm) -> None:
    """After `kill -9` of that process, the fork and what it started are gone, unasked."""
    with owner(ASKS, str(warm.door)) as (asking, (fork, started)):
        assert is_running(fork)
        assert is_running(started)
        asking.kill()
        assert eventually(lambda: none_runs([fork, started]))
    assert eventually(lambda: warm.children == [])


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "2 threads"),
        ("asyncio.set_event_loop(asyncio.new_event_loop())", "an event loop"),
    ],
)
def test_a_process_that_cannot_be_forked_refuses(spoil: str, why: str, socket_folder: Path) -> None:
    """Who asks is told why, each time, and nothing is forked."""
    door = socket_folder / "door"
    with owner(SERVES.format(spoil=spoil), str(door)) as (serving, _):
        for _ in range(2):
            with pytest.raises(NotWarm, match=why):
                asyncio.run(ran(door, "print('forked')"))
        assert serving.stdin is not None
        serving.stdin.close()
        assert serving.wait(60) == 0


def test_a_system_that_lets_nothing_be_forked_is_told(socket_folder: Path) -> None:
    """The warm process stays, and says what the system says."""
    spoil = (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) + 4,) * 2)"
    )
    door = socket_folder / "door"
    with owner(SERVES.format(spoil=spoil), str(door)) as (serving, _):
        for _ in range(2):
            with pytest.raises(NotWarm, match="Too many open files"):
                asyncio.run(ran(door, "print('forked')"))
        assert serving.poll() is None
