"""A port stays its owner's while nobody may connect to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.errors import InfrastructureError
from labkit.faults.listener import HOST, Listener
from tests.faults.stage import LONG_S
from tests.reference.stage import asynchronous


class Taken(list[socket.socket]):
    """The connections that a listener gave, and a way to wait for them."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def take(self, client: socket.socket) -> None:
        """Keep a connection."""
        self.append(client)
        self.came.set()


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Listener, Taken]]:
    """A listener that is up, and what it takes."""
    taken = Taken()
    listener = Listener(taken.take)
    listener.up()
    try:
        yield listener, taken
    finally:
        await listener.close()
        for client in taken:
            client.close()


async def connect(port: int) -> None:
    """Connect and leave."""
    _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port), LONG_S)
    writer.transport.abort()


@asynchronous
async def test_a_listener_takes_who_comes() -> None:
    """The connection is given to its owner."""
    async with listening() as (listener, taken):
        await connect(listener.port)
        await asyncio.wait_for(taken.came.wait(), LONG_S)
        assert not await listener.refuses()


@asynchronous
async def test_what_is_sent_in_pieces_is_not_joined() -> None:
    """Who comes is sent each piece at once."""
    async with listening() as (listener, taken):
        await connect(listener.port)
        await asyncio.wait_for(taken.came.wait(), LONG_S)
        assert taken[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@asynchronous
async def test_a_listener_that_is_down_refuses_and_keeps_its_port() -> None:
    """Nobody else gets the port meanwhile, and it comes back at the same one, time after time."""
    async with listening() as (listener, _):
        for _ in range(3):
            await listener.down()
            await listener.down()
            assert await listener.refuses()
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((HOST, listener.port))
            listener.up()
            await connect(listener.port)


@asynchronous
async def test_a_closed_listener_lets_its_port_go() -> None:
    """Another may have it then."""
    async with listening() as (listener, _):
        await listener.close()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((HOST, listener.port))
            other.listen()


@asynchronous
async def test_two_listeners_have_two_ports() -> None:
    """That a port may be shared with its keeper does not let others in."""
    async with listening() as (one, _), listening() as (other, _):
        assert one.port != other.port


@asynchronous
async def test_a_port_that_is_taken_is_told() -> None:
    """By a server of somebody's who shares it with nobody."""
    async with listening() as (listener, _):
        await listener.down()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((HOST, listener.port))
            other.listen()
            with pytest.raises(InfrastructureError, match=f"port {listener.port} .EADDRINUSE."):
                listener.up()


@asynchronous
async def test_an_error_of_its_owner_is_not_lost() -> None:
    """It comes out when the listener goes down."""

    def fail(client: socket.socket) -> None:
        client.close()
        failed.set()
        raise LookupError("no room")

    failed = asyncio.Event()
    listener = Listener(fail)
    listener.up()
    await connect(listener.port)
    await asyncio.wait_for(failed.wait(), LONG_S)
    with pytest.raises(LookupError, match="no room"):
        await listener.close()
