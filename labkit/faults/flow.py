"""What flows through a proxy, and what a fault is to it: the words that toxics and gates share."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import enum
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from labkit.errors import UsageError
from labkit.judges.verdict import Verdict

NOT_APPLIED: Final = "fault-not-applied"
"""The reason code of a fault that met nothing that it could act on."""


class Direction(enum.StrEnum):
    """Which way bytes flow."""

    UPSTREAM = "upstream"
    """From the client to the server."""
    DOWNSTREAM = "downstream"
    """From the server to the client."""


class Ending(enum.StrEnum):
    """How a connection ends."""

    CLOSE = "close"
    """In order: the peer reads the end of the stream (FIN)."""
    RESET = "reset"
    """Abruptly: the peer gets an error (RST). A unix socket knows no reset: it reads the end."""


@dataclass(frozen=True)
class Chunk:
    """Bytes that were read at once, or the end that was read after the last of them."""

    data: bytes
    at_s: float
    """When it came here, on the loop's clock, in seconds."""
    ending: Ending | None = None
    """How the sender's side ended; no data then."""


class Stream(Protocol):
    """One direction of one connection, as a fault sees it."""

    @property
    def connection(self) -> int:
        """The number of the connection in its proxy."""

    def end(self, ending: Ending) -> bool:
        """End the whole connection, on both sides; False when it had ended already."""


Onward: TypeAlias = Callable[[Chunk], Awaitable[None]]
"""Passes a chunk to the next fault, or to the other side after the last; waits for slow readers."""


async def is_set_in_time(event: asyncio.Event, deadline_s: float) -> bool:
    """Wait for an event; False when it does not come within `deadline_s` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline_s):
            await event.wait()
    return event.is_set()


class Fault(abc.ABC):
    """Something done to what flows in a proxy, which counts what it did.

    One object is added to one proxy once. The proxy shows it each chunk in the order of arrival;
    the next chunk of a stream comes when it is through with the last.
    """

    name = "fault"

    def __init__(self) -> None:
        self.number = 0
        """Its place in the order in which faults were added to the proxy, from 1 on."""
        self.affected_bytes = 0
        """How many bytes it acted on."""
        self._where = "nowhere"
        self._connections: set[int] = set()
        self._acted = asyncio.Event()
        self._lifted = asyncio.Event()
        self._random: random.Random

    @property
    def affected_connections(self) -> int:
        """How many connections it acted on."""
        return len(self._connections)

    async def applied(self, *, deadline_s: float) -> bool:
        """Wait until it has acted on something.

        False when it has not within `deadline_s` seconds, which is no exception: its verdict then
        says `fault-not-applied`. It stays True after the fault is removed.
        """
        return await is_set_in_time(self._acted, deadline_s)

    def install(self, where: str, number: int, chance: random.Random) -> None:
        """Make it part of a proxy; raises `UsageError` when it already is part of one."""
        if self.number:
            raise UsageError(f"this {self.name} was added {self._where} already: make another one")
        self._where, self.number, self._random = where, number, chance

    @abc.abstractmethod
    def begin(self, stream: Stream) -> None:
        """A stream comes under the fault: when it is added, or the connection is opened."""

    @abc.abstractmethod
    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Act on a chunk; what is to go on, goes `onward`."""

    def lift(self) -> None:
        """Stop acting, at once; what waits in it goes on."""
        self._lifted.set()

    def verdict(self) -> Verdict:
        """Sound with what it did; unknown, `fault-not-applied`, when it did nothing until now."""
        if not self._connections:
            text = f"{self.name} {self._where}: nothing came that it could act on"
            return Verdict.unknown(NOT_APPLIED, text)
        connections = "connection" if self.affected_connections == 1 else "connections"
        size, on = f"{self.affected_bytes:,} bytes", f"{self.affected_connections:,} {connections}"
        return Verdict.sound(self._done(size, on))

    def _done(self, size: str, connections: str) -> str:
        """What it did, in words."""
        return f"{self.name} {self._where}: {size} on {connections}"

    def _count(self, stream: Stream, size_bytes: int) -> None:
        self._acted.set()
        self._connections.add(stream.connection)
        self.affected_bytes += size_bytes

    async def _pause_until(self, due_s: float) -> None:
        """Wait until that time on the loop's clock, or until the fault is lifted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                await self._lifted.wait()


def checked_pattern(pattern: bytes) -> bytes:
    """The pattern; raises `UsageError` for an empty one, which would be everywhere."""
    if not pattern:
        raise UsageError("a pattern needs at least one byte, and this one is empty")
    return pattern


class Finder:
    """Looks for a byte pattern in one stream, also where it is split over several chunks."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern
        self._tail = b""

    def find(self, data: bytes) -> int | None:
        """Where in `data` the pattern begins; 0 when it began in an earlier chunk; else None."""
        text = self._tail + data
        found = text.find(self._pattern)
        before = len(self._tail)
        keep = len(self._pattern) - 1
        self._tail = text[-keep:] if keep else b""
        return None if found < 0 else max(0, found - before)
