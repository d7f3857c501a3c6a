"""Messages in, and where they went: what the platform offers of its message routing."""

from __future__ import annotations

from typing import Protocol

from labkit.reference.data.history import History
from labkit.reference.routing.quality import Payload, Quality
from labkit.targets.routing import Page, QualityMetrics


class Sender(Protocol):
    """Where messages are handed in."""

    async def send(self, user: str, thread: str, text: str, *, message: str) -> str:
        """Hand in a message under the sender's own id; the run that answers it."""
        ...


class MessageRouting:
    """The `Routing` of the seam."""

    def __init__(self, sender: Sender, history: History, quality: Quality) -> None:
        self._sender = sender
        self._history = history
        self._quality = quality

    async def send(self, user: str, thread: str, text: str, *, message: str) -> str:
        """Send a message with an id of the sender's own; the run that answers it.

        The same id again from the same user starts nothing and gives the same run. Raises `Denied`
        when the thread is not the user's, `Rejected` with the reason when the message is not valid;
        then nothing is stored.
        """
        return await self._sender.send(user, thread, text, message=message)

    async def messages(
        self, user: str, thread: str, *, after: str | None = None, limit: int = 50
    ) -> Page:
        """A page of a thread, oldest first; pages neither repeat nor drop, whatever is added.

        Raises `Denied` when the thread is not the user's, `Rejected` for a cursor or limit that
        makes no sense.
        """
        return await self._history.page(user, thread, after, limit)

    async def report(self, user: str, payload: Payload) -> str:
        """Hand in what is said of quality; the name of the handler that took it.

        Raises `Rejected` with the reason when the payload is not valid.
        """
        return await self._quality.take(user, payload)

    async def metrics(self, user: str) -> QualityMetrics:
        """What all reports, alerts and validations of the user come to."""
        return await self._quality.metrics(user)
