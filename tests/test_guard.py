"""What a platform opens while a check calls it is the platform's; what a check opens is its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.guard import guarded, guarded_block
from labkit.hygiene import Watch, watching

PATH = "/nowhere/labkit.sock"


def connect(opened: list[socket.socket]) -> None:
    """A socket of which a connection was asked, as a watch notices it, and that stays open."""
    opened.append(socket.socket(socket.AF_UNIX))
    with pytest.raises(OSError, match="No such file"):
        opened[-1].connect(PATH)


class Part:
    """A part of a target that keeps what it opens."""

    size = 4

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Open a connection and start a task, both for longer."""
        connect(self.sockets)
        self.tasks.append(asyncio.create_task(_wait()))

    def call(self) -> str:
        """Open at once."""
        self.open()
        return "called"

    async def await_it(self) -> str:
        """Open once it is awaited, before and after a turn of the loop."""
        self.open()
        await asyncio.sleep(0)
        self.open()
        return "awaited"

    async def fail(self) -> None:
        """Raise."""
        raise LookupError("of the part")

    @asynccontextmanager
    async def block(self) -> AsyncIterator[str]:
        """Open on entering and on leaving."""
        self.open()
        try:
            yield "inside"
        finally:
            self.open()

    async def close(self) -> None:
        """Close everything."""
        for opened in self.sockets:
            opened.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


async def _wait() -> None:
    await asyncio.Event().wait()


async def left_by(watch: Watch) -> tuple[int, int]:
    """How many tasks and connections the watch has to end."""
    return len(await watch.end_tasks()), len(await watch.end_connections())


def test_nothing_of_the_platform_counts() -> None:
    """Calls, awaits and both ends of a block open what no watch notices, and give their values."""

    async def main() -> None:
        part, watch = Part(), Watch()
        seen = guarded(part)
        with watching(watch):
            assert seen.size == 4
            assert seen.call() == "called"
            assert await seen.await_it() == "awaited"
            async with seen.block() as inside:
                assert inside == "inside"
            async with guarded_block(part.block()) as inside:
                assert inside == "inside"
            assert len(part.sockets) == len(part.tasks) == 7
            assert await left_by(watch) == (0, 0)
        await part.close()

    asyncio.run(main())


def test_the_checks_own_count() -> None:
    """What the body of a guarded block opens, or a task that a check started, is noticed."""

    async def main() -> None:
        part, watch = Part(), Watch()
        own: list[socket.socket] = []
        with watching(watch):
            async with guarded(part).block():
                connect(own)
            task = asyncio.create_task(guarded(part).await_it())
            lasting = asyncio.create_task(_wait())
            await asyncio.wait([task])
            assert await left_by(watch) == (1, 1)
        assert lasting.cancelled()
        own[0].close()
        await part.close()

    asyncio.run(main())


def test_errors_pass_through() -> None:
    """A guard changes no error, a block sees the error of its body, and gaps stay gaps."""

    async def main() -> None:
        part = Part()
        seen = guarded(part)
        with pytest.raises(LookupError, match="of the part"):
            await seen.fail()
        with pytest.raises(ArithmeticError, match="of the body"):
            async with seen.block():
                raise ArithmeticError("of the body")
        assert len(part.sockets) == 2
        with pytest.raises(AttributeError, match="nothing"):
            _ = getattr(seen, "nothing")  # noqa: B009 - no attribute that mypy knows
        await part.close()

    asyncio.run(main())
