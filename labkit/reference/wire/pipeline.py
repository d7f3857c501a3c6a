"""Runs that are bound to their caller, over the wire, and what is stored of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from labkit.events import Event
from labkit.ids import RequestID
from labkit.reference.data.history import History
from labkit.reference.events.replay import Replay
from labkit.reference.wire.client import Clients
from labkit.reference.wire.frames import Submit
from labkit.targets.pipeline import MessageView, RunView


class WirePipeline:
    """The `Pipeline` of the seam: it runs in a server process, and is read from the database."""

    def __init__(self, clients: Clients, history: History, replay: Replay) -> None:
        self._clients = clients
        self._history = history
        self._replay = replay

    async def run(
        self, user: str, thread: str, text: str, *, agent: str | None = None
    ) -> AsyncIterator[Event]:
        """Run an agent on a message; the events as they happen, the end last.

        `agent` names another than the usual one; a name that nobody has ends the run as failed.
        Raises `Denied` when the thread is not the user's, `Rejected` when the text is not valid.
        Who stops iterating does not end the run.
        """
        async with self._clients.of(user) as client:
            run = await client.submit(Submit(RequestID.new(), thread, text, agent))
            async with aclosing(client.events(run)) as events:
                async for event in events:
                    yield event

    async def runs(self, user: str, thread: str) -> Sequence[RunView]:
        """All runs on a thread, oldest first; `Denied` when the thread is not the user's."""
        return await self._history.runs(user, thread)

    async def history(self, user: str, thread: str) -> Sequence[MessageView]:
        """The thread's messages, tool calls and results among them, oldest first; or `Denied`."""
        return await self._history.messages(user, thread)

    async def resume(self, user: str, run: str) -> AsyncIterator[Event]:
        """Go on with a suspended run, or one whose process is gone: its further events.

        Raises `Denied` when the run is not the user's, `Rejected` when it cannot go on.
        """
        told = (await self._replay.progress(user, run)).next_seq
        async with self._clients.of(user) as client:
            await client.follow(run, told - 1 if told else None)
            await client.go_on(run)
            async with aclosing(client.events(run)) as events:
                async for event in events:
                    yield event
