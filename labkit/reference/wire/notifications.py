"""Runs that go on by themselves, and whose events are asked for again: over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from labkit.events import Event
from labkit.ids import RequestID
from labkit.reference.wire.client import Clients
from labkit.reference.wire.frames import Submit


class WireNotifications:
    """The `Notifications` of the seam, each call over a connection of its own."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def submit(self, user: str, thread: str, text: str) -> str:
        """Start a run and return its id at once; `Denied` or `Rejected` as for `Pipeline.run`."""
        return await self.send(user, thread, text, message=RequestID.new())

    async def send(self, user: str, thread: str, text: str, *, message: str) -> str:
        """The same with a message id of the sender's own: sent again it gives the same run."""
        async with self._clients.of(user) as client:
            return await client.submit(Submit(message, thread, text))

    async def go_on(self, user: str, run: str) -> None:
        """Let a suspended run go on; `Denied` when not the user's, `Rejected` when it cannot."""
        async with self._clients.of(user) as client:
            await client.go_on(run)

    async def attach(self, user: str, run: str, after: int | None = None) -> AsyncIterator[Event]:
        """The events of a run after the `seq` already seen (None: from its first), the end last.

        Raises `Denied` when the run is not the user's, `Rejected` when what is asked for can no
        longer be replayed.
        """
        async with (
            self._clients.of(user) as client,
            aclosing(client.replay(run, after)) as events,
        ):
            async for event in events:
                yield event
