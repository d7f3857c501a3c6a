"""The proxy passes everything on unchanged, until it is told to break something."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import signal
import socket
import sys
import tracemalloc
from contextlib import AsyncExitStack
from random import Random

import pytest
import websockets

from labkit.errors import ServiceUnavailable, UsageError
from labkit.faults.flow import Direction
from labkit.faults.processes import victim
from labkit.faults.proxy import tcp_proxy
from labkit.faults.toxics import Latency, Timeout
from labkit.hygiene import Watch, watching
from labkit.judges.verdict import Verdict
from tests.faults.stage import LONG_S, client_of, echo, ended, proxied, served
from tests.reference.stage import asynchronous


@asynchronous
async def test_bytes_pass_both_ways_unchanged() -> None:
    """Several megabytes come back as they went."""
    data = Random(1).randbytes(3_000_000)
    async with proxied() as proxy, client_of(proxy) as client:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.send(data))
            received = group.create_task(client.receive(len(data)))
        assert received.result() == data


@asynchronous
async def test_the_end_of_one_direction_is_passed_on_alone() -> None:
    """A server that has read the end can still answer."""

    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hashlib.sha256(await reader.read()).hexdigest().encode())
        await writer.drain()

    async with proxied(answer_at_the_end) as proxy, client_of(proxy) as client:
        await client.send(b"question")
        client.writer.write_eof()
        assert await client.receive(64) == hashlib.sha256(b"question").hexdigest().encode()
        assert await client.receive(1) == b""
        await ended(proxy)


@asynchronous
async def test_many_connections_do_not_mix() -> None:
    """200 clients at once each get back what is their own."""
    async with proxied() as proxy, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(proxy)) for _ in range(200)]
        sent = [f"client {number}".encode() * 100 for number in range(200)]
        replies = await asyncio.gather(
            *(client.asks(text) for client, text in zip(clients, sent, strict=True))
        )
        assert replies == sent
        assert (proxy.opened, proxy.connections) == (200, 200)


class Pusher:
    """A server that sends random megabytes as fast as they are taken."""

    MEGABYTES = 100

    def __init__(self) -> None:
        self.sent = hashlib.sha256()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        block = Random(2).randbytes(1_000_000)
        for number in range(self.MEGABYTES):
            piece = number.to_bytes(8, "big") + block[8:]
            self.sent.update(piece)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


@asynchronous
async def test_a_slow_reader_slows_the_sender() -> None:
    """100 megabytes for a reader that pauses pass whole, and never pile up in the proxy."""
    server = Pusher()
    async with proxied(server) as proxy:
        loop, received = asyncio.get_running_loop(), hashlib.sha256()
        with socket.create_connection((proxy.host, proxy.port)) as opened:
            opened.settimeout(0)
            tracemalloc.start()
            try:
                async with asyncio.timeout(LONG_S):
                    await asyncio.sleep(1)
                    while data := await loop.sock_recv(opened, 1_000_000):
                        received.update(data)
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert received.digest() == server.sent.digest()
    assert peak_bytes < 20_000_000


@asynchronous
async def test_a_cut_resets_both_sides_now() -> None:
    """Client and server get an error, not an end; a new connection is taken."""
    felt = asyncio.get_running_loop().create_future()

    async def feel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await echo(reader, writer)
        except ConnectionResetError as error:
            felt.set_result(error)
            raise

    async with proxied(feel) as proxy, client_of(proxy) as client:
        assert await client.asks(b"hello") == b"hello"
        assert await proxy.cut() == Verdict.sound("cut: 1 connection")
        with pytest.raises(ConnectionResetError):
            await client.receive(1)
        await asyncio.wait_for(felt, LONG_S)
        assert proxy.connections == 0
        async with client_of(proxy) as again:
            assert await again.asks(b"again") == b"again"


@asynchronous
async def test_a_cut_without_a_connection_did_nothing() -> None:
    """There was nothing to cut."""
    async with proxied() as proxy:
        assert await proxy.cut() == Verdict.unknown(
            "fault-not-applied", "cut: no connection was open"
        )


@asynchronous
async def test_a_freeze_silences_what_is_connected() -> None:
    """The old connection gives nothing, not even an end; a new one flows."""
    async with proxied() as proxy, client_of(proxy) as old:
        assert await old.asks(b"hello") == b"hello"
        silence = proxy.freeze()
        assert silence.verdict().valid is None
        await old.send(b"lost")
        assert await old.hears_nothing()
        async with client_of(proxy) as new:
            assert await new.asks(b"new") == b"new"
        assert silence.verdict() == Verdict.sound(
            "timeout on the existing connections: 4 bytes on 1 connection"
        )
        proxy.remove(silence)
        assert await old.receive(1) == b""


@asynchronous
async def test_a_server_that_is_down_is_refused_and_comes_back() -> None:
    """New clients are refused, old ones reset, and the port is the same afterwards."""
    async with proxied() as proxy, client_of(proxy) as client:
        assert await client.asks(b"hello") == b"hello"
        port = proxy.port
        assert await proxy.down() == Verdict.sound("down: connections are refused, 1 were reset")
        with pytest.raises(ConnectionResetError):
            await client.receive(1)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(proxy.host, port)
        await proxy.up()
        await proxy.up()
        assert proxy.port == port
        async with client_of(proxy) as again:
            assert await again.asks(b"again") == b"again"


@asynchronous
async def test_a_server_that_is_not_there_resets_the_client() -> None:
    """The client gets through to the proxy alone, and learns it by a reset."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        async with tcp_proxy("127.0.0.1", port, random=Random(1)) as proxy:
            async with client_of(proxy) as client:
                with pytest.raises(ConnectionResetError):
                    await client.receive(1)
            await ended(proxy)


@asynchronous
async def test_the_server_s_reset_reaches_the_client() -> None:
    """A reset on one side is not softened to an end on the other."""

    async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with proxied(abort) as proxy, client_of(proxy) as client:
        await client.send(b"x")
        with pytest.raises(ConnectionResetError):
            await client.receive(1)
        await ended(proxy)


SENDER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as opened:
    opened.sendall(b"hello")
    print(opened.recv(5), flush=True)
    sys.stdin.read()
"""


@asynchronous
async def test_a_killed_client_is_known_to_the_server() -> None:
    """Its connection ends on the server's side too, and is forgotten by the proxy."""
    gone = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo(reader, writer)
        gone.set()

    async with proxied(watch) as proxy:
        async with victim([sys.executable, "-c", SENDER, str(proxy.port)]) as client:
            assert await client.line(deadline_s=LONG_S) == "b'hello'"
            assert await client.kill() == -signal.SIGKILL
        await asyncio.wait_for(gone.wait(), LONG_S)
        await ended(proxy)


@asynchronous
async def test_leaving_the_block_ends_everything() -> None:
    """Connections are reset, gates released, the port closed; no task and no socket is left."""
    async with served() as server:
        tasks, files = asyncio.all_tasks(), open_files()
        async with tcp_proxy("127.0.0.1", server, random=Random(1)) as proxy:
            proxy.add(Latency(3_600_000), Direction.DOWNSTREAM)
            gate = proxy.hold(Direction.UPSTREAM, when=b"held")
            async with client_of(proxy) as held, client_of(proxy) as delayed:
                await delayed.send(b"delayed")
                await held.send(b"held")
                assert await gate.held(deadline_s=LONG_S)
                port = proxy.port
                await asyncio.wait_for(proxy.close(), LONG_S)
                with pytest.raises(ConnectionResetError):
                    await held.receive(1)
        assert gate.released
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(UsageError, match="block has been left"):
            proxy.hold(Direction.UPSTREAM)
        await forgotten(tasks, files)


async def forgotten(tasks: set[asyncio.Task[object]], files: int) -> None:
    """Wait until there are no more tasks and open files than before."""
    async with asyncio.timeout(LONG_S):
        while asyncio.all_tasks() - tasks or open_files() > files:
            gc.collect()
            await asyncio.sleep(0.005)


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208


@asynchronous
async def test_an_error_of_the_block_comes_through() -> None:
    """It is the block's own, and everything is closed all the same."""
    async with served() as server:
        with pytest.raises(LookupError, match="somewhere else"):
            async with tcp_proxy("127.0.0.1", server, random=Random(1)) as proxy:
                raise LookupError("somewhere else")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(proxy.host, proxy.port)


class Faulty(Timeout):
    """A toxic with an error in it."""

    async def pass_on(self, *_: object) -> None:
        """Fail."""
        raise LookupError("the toxic is wrong")


@asynchronous
async def test_an_error_inside_the_proxy_is_raised_at_its_end() -> None:
    """A toxic that fails ends its connection, and does not go unheard."""

    async def run() -> None:
        async with proxied() as proxy, client_of(proxy) as client:
            proxy.add(Faulty(0), Direction.UPSTREAM)
            await client.send(b"x")
            await ended(proxy)

    with pytest.raises(BaseExceptionGroup, match="the proxy failed") as raised:
        await run()
    assert raised.group_contains(LookupError, match="the toxic is wrong")


@asynchronous
async def test_an_error_inside_the_proxy_is_noted_on_the_block_s_own() -> None:
    """Neither hides the other."""

    async def run() -> None:
        async with proxied() as proxy, client_of(proxy) as client:
            proxy.add(Faulty(0), Direction.UPSTREAM)
            await client.send(b"x")
            await ended(proxy)
            raise LookupError("somewhere else")

    with pytest.raises(LookupError, match="somewhere else") as raised:
        await run()
    assert "the proxy failed too" in "".join(raised.value.__notes__)


@asynchronous
async def test_a_fault_is_added_once() -> None:
    """It counts for one place alone."""
    async with proxied() as proxy:
        toxic = proxy.add(Timeout(0), Direction.UPSTREAM)
        with pytest.raises(UsageError, match="added upstream already"):
            proxy.add(toxic, Direction.DOWNSTREAM)


@asynchronous
async def test_an_unknown_host_is_told_at_the_start() -> None:
    """Not by each client."""
    with pytest.raises(ServiceUnavailable, match=r"no-such-host\.invalid"):
        async with tcp_proxy("no-such-host.invalid", 1, random=Random(1)):
            pass


@asynchronous
async def test_a_websocket_is_cut_and_resumed_through_the_same_proxy() -> None:
    """A reset has no close frame; after a freeze, a new connection gets what the old one lost."""
    frozen = asyncio.Event()

    async def count(connection: websockets.ServerConnection) -> None:
        after = int(await connection.recv())
        for number in range(after + 1, 6):
            if (after, number) == (0, 3):
                await asyncio.wait_for(frozen.wait(), LONG_S)
            await connection.send(str(number))
        await connection.wait_closed()

    async with websockets.serve(count, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with tcp_proxy("127.0.0.1", port, random=Random(1)) as proxy:
            url = f"ws://{proxy.host}:{proxy.port}"
            old = await websockets.connect(url)
            await old.send("0")
            seen = [await old.recv(), await old.recv()]
            silence = proxy.freeze()
            frozen.set()
            assert await silence.applied(deadline_s=LONG_S)
            new = await websockets.connect(url)
            await new.send("2")
            seen += [await new.recv() for _ in range(3)]
            assert seen == ["1", "2", "3", "4", "5"]
            assert (await proxy.cut()).valid
            for connection in (old, new):
                with pytest.raises(websockets.ConnectionClosedError, match="no close frame"):
                    await asyncio.wait_for(connection.recv(), LONG_S)


@asynchronous
async def test_a_proxy_inside_a_check_leaves_nothing_behind() -> None:
    """Its tasks and connections have ended when its block has."""
    with watching(watch := Watch()):
        async with proxied() as proxy, client_of(proxy) as client:
            proxy.hold(Direction.DOWNSTREAM)
            await client.send(b"held")
        assert await watch.background_errors() == ()
        assert await watch.end_tasks() == ()
        assert await watch.end_connections() == ()


@asynchronous
async def test_a_proxy_outside_of_a_check_is_none_of_its_business() -> None:
    """What it opens during the check, and keeps for longer, is the proxy's own."""
    async with proxied() as proxy:
        with watching(watch := Watch()):
            await proxy.down()
            await proxy.up()
            client = await asyncio.open_connection(proxy.host, proxy.port)
            client[1].write(b"x")
            assert await asyncio.wait_for(client[0].readexactly(1), LONG_S) == b"x"
            client[1].transport.abort()
            assert await watch.end_tasks() == ()
            assert await watch.end_connections() == ()
        async with client_of(proxy) as later:
            assert await later.asks(b"later") == b"later"
