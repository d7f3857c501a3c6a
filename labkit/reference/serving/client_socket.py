"""A server's end of one WebSocket, of which every goodbye is bounded."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

_LONGEST_REASON_BYTES = 123
"""More does not fit into a close frame."""


class Left(Exception):
    """The client has left, or is about to."""


class ClientSocket(ServerConnection):
    """A connection that is not closed or written to once more after its end.

    Both would abort the transport, and asyncio fails at that when it has been closed while it still
    had something to write.
    """

    async def say(self, text: str) -> None:
        """Send a text frame, when the client has read enough; raises `Left` when it has gone."""
        if self.state is not State.OPEN:
            raise Left
        await self.send(text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; a client that does not take it within the close timeout is cut."""
        short = reason.encode()[:_LONGEST_REASON_BYTES].decode(errors="ignore")
        try:
            async with asyncio.timeout(self.close_timeout):
                if self.state is State.OPEN:
                    await super().close(code, short)
                await self.wait_closed()
        except TimeoutError:
            if self.state is not State.CLOSED:
                self.transport.abort()
                await self.wait_closed()
