"""A link moves bytes from one socket to another, and keeps few of them."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labkit.faults.flow import Ending
from labkit.faults.gates import Gate, Tap
from labkit.faults.links import CHUNK_BYTES, WAITING_BYTES, Connection, Link
from tests.faults.stage import LONG_S, SHORT_S
from tests.reference.stage import asynchronous


class Ends(list[Ending]):
    """How a link wanted its connection to end."""

    def note(self, ending: Ending) -> bool:
        """Remember it."""
        self.append(ending)
        return True


@contextmanager
def pairs() -> Iterator[list[socket.socket]]:
    """A sender and the link's source, the link's target and a reader."""
    sockets = [*socket.socketpair(), *socket.socketpair()]
    for opened in sockets:
        opened.settimeout(0)
    try:
        yield sockets
    finally:
        for opened in sockets:
            opened.close()


@asynchronous
async def test_a_link_moves_bytes_and_then_the_end() -> None:
    """It is over when the end has passed; its tap saw the bytes."""
    loop, link, tap = asyncio.get_running_loop(), Link(1, Ends().note), Tap(b"lo wo")
    link.taps.append(tap)
    with pairs() as (sender, source, target, reader):
        async with asyncio.timeout(LONG_S), asyncio.TaskGroup() as group:
            group.create_task(link.run(source, target))
            await loop.sock_sendall(sender, b"hello world")
            sender.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(reader, 100) == b"hello world"
        assert await loop.sock_recv(reader, 100) == b""
        assert await tap.seen(deadline_s=SHORT_S)


@asynchronous
async def test_a_link_keeps_few_bytes() -> None:
    """Behind a gate it takes about a megabyte, and the sender waits with the rest."""
    loop, link = asyncio.get_running_loop(), Link(1, Ends().note)
    gate = Gate()
    gate.number = 1
    link.add(gate)
    with pairs() as (sender, source, target, reader):
        moving = asyncio.create_task(link.run(source, target))
        data = bytes(4 * WAITING_BYTES)
        sending = asyncio.create_task(loop.sock_sendall(sender, data))
        assert await gate.held(deadline_s=LONG_S)
        await asyncio.wait([sending], timeout=SHORT_S)
        assert not sending.done()
        assert link.waiting_bytes <= WAITING_BYTES + 2 * CHUNK_BYTES
        gate.release()
        received = 0
        async with asyncio.timeout(LONG_S):
            while received < len(data):
                received += len(await loop.sock_recv(reader, WAITING_BYTES))
            await sending
            sender.close()
            await moving


@asynchronous
async def test_a_link_keeps_many_small_chunks() -> None:
    """What it may keep is counted in bytes, so that a delay does not limit the rate."""
    loop, link = asyncio.get_running_loop(), Link(1, Ends().note)
    gate = Gate()
    gate.number = 1
    link.add(gate)
    with pairs() as (sender, source, target, reader):
        moving = asyncio.create_task(link.run(source, target))
        await loop.sock_sendall(sender, b"0")
        assert await gate.held(deadline_s=LONG_S)
        async with asyncio.timeout(LONG_S):
            for number in range(1, 200):
                before = link.waiting_bytes
                await loop.sock_sendall(sender, b"%d" % (number % 10))
                while link.waiting_bytes == before:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            gate.release()
            sender.close()
            await moving
        assert await loop.sock_recv(reader, 1_000) == b"0123456789" * 20


@asynchronous
async def test_a_link_whose_reader_is_gone_is_over() -> None:
    """What comes later has nobody to go to."""
    loop, link, ends = asyncio.get_running_loop(), Link(1, Ends().note), Ends()
    with pairs() as (sender, source, target, reader):
        reader.close()
        async with asyncio.timeout(LONG_S), asyncio.TaskGroup() as group:
            group.create_task(link.run(source, target))
            await loop.sock_sendall(sender, b"hello")
    assert ends == []


def test_a_connection_that_is_cancelled_at_once_closes_its_socket() -> None:
    """Even before its first step."""

    async def run() -> None:
        client, other = socket.socketpair()
        with other:
            connection = Connection(1, client)
            task = connection.start(never, contextvars.copy_context())
            assert connection.end(Ending.RESET)
            assert not connection.end(Ending.CLOSE)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, LONG_S)
            assert client.fileno() == -1

    async def never() -> socket.socket:
        raise AssertionError("it is not asked for")

    asyncio.run(run())
