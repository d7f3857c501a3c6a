"""Every goodbye of the server is bounded, and none is said twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from labkit.reference.serving.client_socket import ClientSocket, Left
from tests.reference.publishing import so
from tests.reference.site import close_of
from tests.reference.stage import asynchronous


@asynccontextmanager
async def both_ends(close_s: float = 0.3) -> AsyncIterator[tuple[ClientSocket, ClientConnection]]:
    """A server's and a client's end of one connection."""
    met: asyncio.Future[ClientSocket] = asyncio.get_running_loop().create_future()

    async def handle(connection: ServerConnection) -> None:
        met.set_result(cast(ClientSocket, connection))
        await connection.wait_closed()

    async with serve(
        handle,
        "127.0.0.1",
        0,
        create_connection=ClientSocket,
        close_timeout=close_s,
        compression=None,
    ) as server:
        host, port = server.sockets[0].getsockname()
        client = await connect(f"ws://{host}:{port}", proxy=None, compression=None, close_timeout=1)
        try:
            yield await met, client
        finally:
            if client.state is not State.CLOSED:
                client.transport.abort()


@asynchronous
async def test_a_goodbye_has_its_code_and_as_much_of_the_reason_as_fits() -> None:
    """Cut between characters."""
    async with both_ends(close_s=10) as (server, client):
        closing = asyncio.create_task(server.close(1008, "ü" * 100))
        assert await close_of(client) == (1008, "ü" * 61)
        await closing


@asynchronous
async def test_a_client_that_does_not_read_is_cut() -> None:
    """Although there is no room left for a close frame."""
    async with both_ends() as (server, client):
        client.transport.pause_reading()
        writing = asyncio.create_task(write_on(server))
        await so(lambda: server.paused)
        await server.close(1013, "too slow")
        assert server.state is State.CLOSED
        with pytest.raises((Left, ConnectionClosed)):
            await writing


async def write_on(server: ClientSocket) -> None:
    """Write without an end."""
    while True:
        await server.say("x" * 100_000)


@asynchronous
async def test_a_client_that_answers_no_close_is_cut() -> None:
    """And a second goodbye changes nothing."""
    async with both_ends() as (server, client):
        client.transport.pause_reading()
        await asyncio.gather(server.close(1001, "going away"), server.close(1008, "again"))
        assert server.state is State.CLOSED
        await server.close(1000)


@asynchronous
async def test_nothing_is_said_to_a_client_that_has_left() -> None:
    """Neither a frame nor a goodbye, also when it left with much still to be written to it."""
    async with both_ends() as (server, client):
        client.transport.pause_reading()
        writing = asyncio.create_task(write_on(server))
        await so(lambda: server.paused)
        client.transport.write_eof()  # which the server reads before it has written all
        await so(lambda: server.state is not State.OPEN)
        client.transport.resume_reading()
        with pytest.raises((Left, ConnectionClosed)):
            await writing
        await server.wait_closed()
        with pytest.raises(Left):
            await server.say("more")
        await server.close(1000)
