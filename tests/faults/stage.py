"""What the tests of the proxy share: real servers behind it, and clients that connect to it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from labkit.faults.proxy import TcpProxy, tcp_proxy

LONG_S = 30.0
"""For what must happen."""
SHORT_S = 0.1
"""For what must not happen."""

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and the end after the end."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


class Server:
    """Serves connections; one that is cut is no error of its own."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._has_ended = False

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task; one that comes too late is cut."""
        if self._has_ended:
            writer.transport.abort()
            return
        self._served[asyncio.create_task(self._bounded(reader, writer))] = writer

    async def _bounded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await self._serve(reader, writer)
        writer.close()

    async def end(self) -> None:
        """Cut what is left; an error of the server's own comes through."""
        self._has_ended = True
        for task, writer in self._served.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._served, return_exceptions=True)
        for task in self._served:
            if not task.cancelled():
                task.result()


@asynccontextmanager
async def served(serve: Serve = echo) -> AsyncIterator[int]:
    """The port of a server for the block."""
    taken = Server(serve)
    async with await asyncio.start_server(taken.take, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            await taken.end()


@asynccontextmanager
async def served_at(path: str) -> AsyncIterator[None]:
    """An echoing server at a unix socket for the block."""
    taken = Server(echo)
    async with await asyncio.start_unix_server(taken.take, path):
        try:
            yield
        finally:
            await taken.end()


@asynccontextmanager
async def proxied(serve: Serve = echo) -> AsyncIterator[TcpProxy]:
    """A proxy before such a server."""
    async with served(serve) as port, tcp_proxy("127.0.0.1", port, random=random.Random(7)) as made:
        yield made


class Client:
    """A client of a proxy that reads exactly what it expects, or an end, or an error."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Give bytes to the proxy."""
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, size_bytes: int) -> bytes:
        """So many bytes from the proxy, or fewer when the stream ends before."""
        try:
            return await asyncio.wait_for(self.reader.readexactly(size_bytes), LONG_S)
        except asyncio.IncompleteReadError as early:
            return early.partial

    async def asks(self, data: bytes) -> bytes:
        """What an echoing server gives back."""
        await self.send(data)
        return await self.receive(len(data))

    async def hears_nothing(self) -> bool:
        """Whether nothing comes for a moment, not even an end."""
        try:
            await asyncio.wait_for(self.reader.read(1), SHORT_S)
        except TimeoutError:
            return True
        return False


async def ended(proxy: TcpProxy) -> None:
    """Wait until no connection is open in the proxy."""
    for _ in range(int(LONG_S / 0.005)):
        if not proxy.connections:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{proxy.connections} connections are still open")


@asynccontextmanager
async def client_of(proxy: TcpProxy) -> AsyncIterator[Client]:
    """A connection through the proxy for the block."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
