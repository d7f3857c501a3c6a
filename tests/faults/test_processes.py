"""Real processes, killed for real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from labkit.errors import InfrastructureError
from labkit.faults.processes import victim

ECHO = "import sys; print(sys.stdin.readline().strip(), flush=True); sys.stdin.read()"


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket that a process can connect to; its end shows on the other side."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def test_a_victim_answers_and_is_killed() -> None:
    """It gets a line, says one, and its status is that of a process that SIGKILL ended."""

    async def run() -> None:
        async with victim([sys.executable, "-c", ECHO]) as child:
            await child.tell("ready for it")
            assert await child.line(deadline_s=60) == "ready for it"
            assert await child.kill() == -signal.SIGKILL

    asyncio.run(run())


def test_a_victim_that_ends_by_itself_was_not_killed() -> None:
    """Its own exit status shows that the kill came too late."""

    async def run() -> None:
        async with victim([sys.executable, "-c", "print('done'); raise SystemExit(3)"]) as child:
            assert await child.line(deadline_s=60) == "done"
            with pytest.raises(InfrastructureError):
                await child.line(deadline_s=60)
            assert await child.kill() in {3, -signal.SIGKILL}

    asyncio.run(run())


def test_a_victim_that_ends_early_tells_why() -> None:
    """What it wrote to standard error is in the message."""

    async def run() -> None:
        async with victim([sys.executable, "-c", "raise SystemExit('no such target')"]) as child:
            with pytest.raises(InfrastructureError, match="no such target"):
                await child.line(deadline_s=60)

    asyncio.run(run())


def test_a_silent_victim_is_given_up() -> None:
    """The wait for its line has a bound."""

    async def run() -> None:
        async with victim([sys.executable, "-c", ECHO]) as child:
            with pytest.raises(InfrastructureError, match=r"is ready within 0\.1 s"):
                await child.line(deadline_s=0.1)

    asyncio.run(run())


def test_a_victim_does_not_outlive_its_block() -> None:
    """Leaving the block, by an error too, ends the process."""

    async def run(pids: list[int]) -> None:
        async with victim([sys.executable, "-c", ECHO]) as child:
            pids.append(child.pid)
            raise LookupError("somewhere else")

    pids: list[int] = []
    with pytest.raises(LookupError):
        asyncio.run(run(pids))
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


OWNER = """
import asyncio, sys
from labkit.faults.processes import victim

async def own(child):
    async with victim([sys.executable, "-c", child]) as held:
        await held.line(deadline_s=60)
        print("owning", flush=True)
        await asyncio.sleep(60)

asyncio.run(own(sys.argv[1]))
"""

CONNECTED = """
import socket, sys
with socket.create_connection(("127.0.0.1", {port})):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_victim_ends_with_its_owner() -> None:
    """When the owner is killed, the end of standard input tells the victim."""

    async def run(child: str) -> None:
        async with victim([sys.executable, "-c", OWNER, child]) as owner:
            assert await owner.line(deadline_s=60) == "owning"
            await owner.kill()

    with listening() as server:
        asyncio.run(run(CONNECTED.format(port=server.getsockname()[1])))
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(1) == b""
