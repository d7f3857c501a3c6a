"""A port on loopback that can be taken down and brought up again without being lost."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Final

from labkit.errors import InfrastructureError

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 1024
_REFUSED_S: Final = 5.0


class Listener:
    """Gives each connection to `take`, while it is up.

    A second socket is bound to the port and never listens: so the port is kept while it is down,
    and the system refuses who comes.
    """

    def __init__(self, take: Callable[[socket.socket], None]) -> None:
        self._take = take
        self._context: Context = copy_context()
        self._keeper = _bound(0)
        self.port: int = self._keeper.getsockname()[1]
        self._accepting: asyncio.Task[None] | None = None

    def up(self) -> None:
        """Listen."""
        listening = _bound(self.port)
        listening.listen(_BACKLOG)
        self._accepting = asyncio.create_task(self._accept(listening), context=self._context)
        self._accepting.add_done_callback(lambda _: listening.close())

    async def down(self) -> None:
        """Listen no more; harmless twice. An error of accepting comes through."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            accepting, self._accepting = self._accepting, None
            if not accepting.cancelled():
                accepting.result()

    async def close(self) -> None:
        """Listen no more and let the port go."""
        try:
            await self.down()
        finally:
            self._keeper.close()

    async def refuses(self) -> bool:
        """Whether a connection of its own is refused."""
        with socket.socket() as probe:
            probe.settimeout(0)
            try:
                async with asyncio.timeout(_REFUSED_S):
                    await asyncio.get_running_loop().sock_connect(probe, (HOST, self.port))
            except ConnectionRefusedError:
                return True
        return False

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listening)
            # What the server sent in pieces must not wait here to be joined.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(client)


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.settimeout(0)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        code = errno.errorcode.get(error.errno or 0, "?")
        text = f"a proxy cannot listen on {HOST}, port {port or 'any'} ({code}): {error.strerror}"
        raise InfrastructureError(text) from error
    return bound
