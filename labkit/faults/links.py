"""How bytes get from one socket to another: read, shown to the faults, sent.

A link reads no more than it may keep, so a slow reader on one side slows the sender on the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from typing import Final

from labkit.faults.flow import Chunk, Direction, Ending, Fault, Onward
from labkit.faults.gates import Tap

CHUNK_BYTES: Final = 65_536
"""The most that is read at once."""
WAITING_BYTES: Final = 1_048_576
"""When this much waits in a link, it reads no more."""

_CHUNK_COST_BYTES: Final = 128

_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Link:
    """One direction of one connection."""

    def __init__(self, connection: int, end: Callable[[Ending], bool]) -> None:
        self._connection = connection
        self._end = end
        self._faults: list[Fault] = []
        self.taps: list[Tap] = []
        """Who is told of what has been sent."""
        self._arrived: asyncio.Queue[Chunk] = asyncio.Queue()
        self.waiting_bytes = 0
        """What waits here, with what it takes to keep it."""
        self._has_room = asyncio.Event()
        self._reader_is_gone = False

    @property
    def connection(self) -> int:
        """The number of the connection in its proxy."""
        return self._connection

    def end(self, ending: Ending) -> bool:
        """End the whole connection, on both sides; False when it had ended already."""
        return self._end(ending)

    def add(self, fault: Fault) -> None:
        """Let the fault act on what comes from now on, after the faults that were there before."""
        self._faults.append(fault)
        fault.begin(self)

    def remove(self, fault: Fault) -> None:
        """Show the fault no further chunk; harmless when it is not there."""
        if fault in self._faults:
            self._faults.remove(fault)

    async def run(self, source: socket.socket, target: socket.socket) -> None:
        """Move everything from one socket to the other, until its end or until nobody reads it."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(source))
            await self._write(target)
            reading.cancel()

    async def _read(self, source: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ending: Ending | None = None
        while ending is None:
            try:
                data = await loop.sock_recv(source, CHUNK_BYTES)
                ending = None if data else Ending.CLOSE
            except OSError:
                data, ending = b"", Ending.RESET
            self._arrived.put_nowait(Chunk(data, loop.time(), ending))
            self.waiting_bytes += _cost_bytes(data)
            if self.waiting_bytes >= WAITING_BYTES:
                self._has_room.clear()
                await self._has_room.wait()

    async def _write(self, target: socket.socket) -> None:
        ending: Ending | None = None
        while ending is None and not self._reader_is_gone:
            chunk = await self._arrived.get()
            self.waiting_bytes -= _cost_bytes(chunk.data)
            if self.waiting_bytes < WAITING_BYTES:
                self._has_room.set()
            await self._pass_on(chunk, 0, target)
            ending = chunk.ending

    async def _pass_on(self, chunk: Chunk, after: int, target: socket.socket) -> None:
        """Show the chunk to the next fault, looked up now: it may be newer than the chunk."""
        fault = next((fault for fault in self._faults if fault.number > after), None)
        if fault is None:
            await self._send(chunk, target)
        else:
            await fault.pass_on(chunk, self, self._onward(fault.number, target))

    def _onward(self, after: int, target: socket.socket) -> Onward:
        async def onward(chunk: Chunk) -> None:
            await self._pass_on(chunk, after, target)

        return onward

    async def _send(self, chunk: Chunk, target: socket.socket) -> None:
        try:
            if chunk.data:
                await asyncio.get_running_loop().sock_sendall(target, chunk.data)
                for tap in self.taps:
                    tap.look(chunk.data, self)
            elif chunk.ending is Ending.CLOSE:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            # Its peer is gone; the link that reads from the same socket tells the other side.
            self._reader_is_gone = True
        if chunk.ending is Ending.RESET:
            self._end(Ending.RESET)


class Connection:
    """A client and its server, joined until both directions have ended."""

    def __init__(self, number: int, client: socket.socket) -> None:
        self._sockets = [client]
        self._ending = Ending.CLOSE
        self._task: asyncio.Task[None]
        self.links: Mapping[Direction, Link] = {
            direction: Link(number, self.end) for direction in Direction
        }

    def start(
        self, connect: Callable[[], Awaitable[socket.socket]], context: Context
    ) -> asyncio.Task[None]:
        """Connect to the server and move bytes, in a task; the sockets are closed at its end."""
        self._task = asyncio.create_task(self._run(connect), context=context)
        # No `finally` in the task: one that is cancelled before its first step never runs.
        self._task.add_done_callback(self._close)
        return self._task

    def end(self, ending: Ending) -> bool:
        """End it on both sides in this way, soon; False when it has ended, or is ending."""
        if self._task.done() or self._task.cancelling():
            return False
        self._ending = ending
        return self._task.cancel()

    async def _run(self, connect: Callable[[], Awaitable[socket.socket]]) -> None:
        client = self._sockets[0]
        try:
            server = await connect()
        except OSError:
            # A client that came through learns of a server that is not there by a reset.
            self._ending = Ending.RESET
            return
        self._sockets.append(server)
        _send_at_once(self._sockets)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.links[Direction.UPSTREAM].run(client, server))
            group.create_task(self.links[Direction.DOWNSTREAM].run(server, client))

    def _close(self, _: asyncio.Task[None]) -> None:
        for opened in self._sockets:
            if self._ending is Ending.RESET:
                # macOS takes no options of a socket whose peer has reset it.
                with contextlib.suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            opened.close()


def _cost_bytes(data: bytes) -> int:
    """What a chunk takes in memory; so small ones do not pile up either."""
    return len(data) + _CHUNK_COST_BYTES


def _send_at_once(sockets: Iterable[socket.socket]) -> None:
    """Let pieces be sent as they come, instead of joined by the system."""
    for opened in sockets:
        if opened.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # macOS, as at the close
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
