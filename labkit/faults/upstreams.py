"""Where a proxy finds its server: a TCP address, or a unix socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final, TypeAlias

from labkit.errors import ServiceUnavailable, UsageError

CONNECT_S: Final = 10.0
"""How long a server may take to let a connection in, in seconds."""

_Address: TypeAlias = tuple[Any, ...] | str


class Upstream:
    """A server, looked up once; made by `find_upstream`."""

    def __init__(self, addresses: tuple[tuple[int, _Address], ...]) -> None:
        self._addresses = addresses

    async def connect(self) -> socket.socket:
        """A connection to the server's first address that takes one; raises `OSError`."""
        failure = OSError("the server has no address")
        for family, address in self._addresses:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await _connect(family, address)
            except OSError as error:
                failure = error
        raise failure


async def find_upstream(host: str, port: int | None) -> Upstream:
    """The server at a host name or address and port, or at the path of a unix socket without one.

    Raises `UsageError` for a mixture of the two, `ServiceUnavailable` for an unknown host.
    """
    if host.startswith("/") is not (port is None):
        raise UsageError(f"a server is a host and a port, or a path alone, not {host!r}, {port!r}")
    if port is None:
        return Upstream(((socket.AF_UNIX, host),))
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ServiceUnavailable(f"host {host!r} cannot be looked up: {error}") from error
    return Upstream(tuple((family, address) for family, _, _, _, address in found))


async def _connect(family: int, address: _Address) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(0)
        await asyncio.get_running_loop().sock_connect(opened, address)
        if family != socket.AF_UNIX:  # pieces are not joined on their way
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        opened.close()
        raise
    return opened
