"""A server is found at an address or at a unix socket, or it is told why not."""

from __future__ import annotations

import socket
from random import Random
from tempfile import TemporaryDirectory

import pytest

from labkit.errors import ServiceUnavailable, UsageError
from labkit.faults.proxy import tcp_proxy
from labkit.faults.upstreams import Upstream, find_upstream
from tests.faults.stage import client_of, served, served_at
from tests.reference.stage import asynchronous


@asynchronous
async def test_a_unix_socket_is_a_server() -> None:
    """A client over TCP talks to it through a proxy, its end included."""
    # Paths of sockets are short, so it is not below pytest's own long one.
    with TemporaryDirectory(prefix="labkit") as folder:
        path = f"{folder}/s"
        async with (
            served_at(path),
            tcp_proxy(path, random=Random(1)) as proxy,
            client_of(proxy) as client,
        ):
            assert await client.asks(b"hello") == b"hello"
            client.writer.write_eof()
            assert await client.receive(1) == b""


@asynchronous
async def test_the_next_address_is_tried() -> None:
    """A name may have an address where nobody listens."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        async with served() as port:
            addresses = (unheard.getsockname(), ("127.0.0.1", port))
            upstream = Upstream(tuple((socket.AF_INET, address) for address in addresses))
            with await upstream.connect() as opened:
                assert opened.getpeername()[1] == port


@asynchronous
async def test_a_name_is_looked_up() -> None:
    """Also one that only this machine knows."""
    async with served() as port:
        upstream = await find_upstream("localhost", port)
        with await upstream.connect() as opened:
            assert opened.getpeername()[1] == port


@asynchronous
async def test_what_a_client_sends_in_pieces_is_not_joined() -> None:
    """The server is sent each piece at once."""
    async with served() as port:
        upstream = await find_upstream("127.0.0.1", port)
        with await upstream.connect() as opened:
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@asynchronous
async def test_a_server_that_does_not_listen_is_an_error_of_the_system() -> None:
    """It comes through as it is."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        upstream = await find_upstream("127.0.0.1", unheard.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            await upstream.connect()


@pytest.mark.parametrize(("host", "port"), [("/tmp/a.sock", 1), ("localhost", None)])
@asynchronous
async def test_a_mixture_is_refused(host: str, port: int | None) -> None:
    """A path has no port, a host has one."""
    with pytest.raises(UsageError, match="a host and a port, or a path alone"):
        await find_upstream(host, port)


@asynchronous
async def test_an_unknown_host_is_unavailable() -> None:
    """The message names it."""
    with pytest.raises(ServiceUnavailable, match=r"'no-such-host\.invalid' cannot be looked up"):
        await find_upstream("no-such-host.invalid", 1)
