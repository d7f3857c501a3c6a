"""What the tests of the guard share: a part that keeps what it opens, and checks on its target."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from labkit.checks import Check
from labkit.guard import Seam
from labkit.records import CheckRecord
from labkit.targets.protocols import Capability, Tables, Target
from tests.check_pages import Page

PATH = "/nowhere/labkit.sock"


def connect(opened: list[socket.socket]) -> None:
    """A socket of which a connection was asked, as a watch notices it, and that stays open."""
    opened.append(socket.socket(socket.AF_UNIX))
    with pytest.raises(OSError, match="No such file"):
        opened[-1].connect(PATH)


@dataclass(frozen=True)
class Handle:
    """What a block of the part gives: a frozen value with doings."""

    part: Part
    user: str

    async def act(self) -> str:
        """Open."""
        self.part.open()
        return "acted"

    async def missing(self) -> None:
        """What nobody wrote."""
        raise NotImplementedError

    @asynccontextmanager
    async def nested(self) -> AsyncIterator[None]:
        """Open on entering."""
        self.part.open()
        yield


class Part:
    """A part of a target that keeps what it opens."""

    size = 4
    nothing = None

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.closed = 0

    def open(self) -> None:
        """Open a connection and start a task, both for longer."""
        connect(self.sockets)
        self.tasks.append(asyncio.create_task(wait()))

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
    async def block(self) -> AsyncIterator[Handle]:
        """Open on entering and on leaving."""
        self.open()
        try:
            yield Handle(self, "ann")
        finally:
            self.open()

    async def steps(self) -> AsyncIterator[int]:
        """Open in each step and at the end."""
        try:
            for number in range(3):
                self.open()
                yield number
        finally:
            self.open()
            self.closed += 1

    def stubborn(self) -> AsyncIterator[int]:
        """Steps that cannot be closed."""
        return Stubborn()

    def missing(self) -> None:
        """What nobody wrote."""
        raise NotImplementedError

    async def missing_later(self) -> None:
        """The same, once it is awaited."""
        raise NotImplementedError("not yet")

    @asynccontextmanager
    async def missing_block(self) -> AsyncIterator[None]:
        """The same, once it is entered."""
        await self.missing_later()
        yield

    async def missing_steps(self) -> AsyncIterator[int]:
        """The same, at the first step."""
        await self.missing_later()
        yield 0

    async def extend(self) -> str:
        """A method that can be declared as lacking."""
        return "extended"

    async def close(self) -> None:
        """Close everything."""
        for opened in self.sockets:
            opened.close()
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


class Stubborn:
    """An iterator whose end raises."""

    def __aiter__(self) -> Stubborn:
        return self

    async def __anext__(self) -> int:
        return 0

    async def aclose(self) -> None:
        """Refuse."""
        raise LookupError("it does not close")


@dataclass
class Small:
    """A target with one part, its cache, and one table."""

    cache: Part
    name: str = "small"
    lacks: Mapping[Capability, str] = field(default_factory=dict)
    tables: Tables = field(
        default_factory=lambda: Tables("people", "", messages="", executions="", accounts="")
    )

    @property
    def routing(self) -> None:
        """Not written."""
        raise NotImplementedError


async def wait() -> None:
    """For nothing, until it is cancelled."""
    await asyncio.Event().wait()


def unseen(part: Part) -> Any:
    """The part, as it is seen outside of any check."""
    return Seam(cast(Target, Small(part)), lambda: None).part(Capability.CACHE)


Body = Callable[[Check, Seam], Any]


async def checked(target: Small, body: Body, *, isolation: bool = False) -> CheckRecord:
    """The record of a check on the target with this body."""
    check = Page().check(isolation=isolation)
    seam = Seam(cast(Target, target), lambda: check if check.is_open else None)
    async with check:
        await body(check, seam)
    await target.cache.close()
    assert check.record is not None
    return check.record


def record_of(target: Small, body: Body, *, isolation: bool = False) -> CheckRecord:
    """The same, in a loop of its own."""
    return asyncio.run(checked(target, body, isolation=isolation))
