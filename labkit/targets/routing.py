"""Area 7 of the seam: messages on their way through the platform, and what is said of quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from labkit.json_values import JsonValue
from labkit.targets.pipeline import MessageView

STAGES: Final = ("received", "validated", "persisted", "routed", "executed", "answered", "notified")
"""The stages of a message, in order; `answered` is when the response is persisted."""


@dataclass(frozen=True)
class Page:
    """A part of a thread, and where the next part begins."""

    messages: Sequence[MessageView]
    next: str | None
    """The cursor for the next page; None when this was the last."""


@dataclass(frozen=True)
class QualityMetrics:
    """What is known of a user's quality; scores and rates lie between 0 and 1."""

    recent_score: float | None
    """The last report's overall score."""
    alerts: int
    pass_rate: float | None
    """The part of validations that passed."""


class Routing(Protocol):
    """Messages in, and where they went."""

    async def send(self, user: str, thread: str, text: str, *, message: str) -> str:
        """Send a message with an id of the sender's own; the run that answers it.

        The same id again from the same user starts nothing and gives the same run. Raises `Denied`
        when the thread is not the user's, `Rejected` with the reason when the message is not valid;
        then nothing is stored.
        """
        ...

    async def messages(
        self, user: str, thread: str, *, after: str | None = None, limit: int = 50
    ) -> Page:
        """A page of a thread, oldest first; pages neither repeat nor drop, whatever is added.

        Raises `Denied` when the thread is not the user's, `Rejected` for a cursor or limit that
        makes no sense.
        """
        ...

    async def report(self, user: str, payload: Mapping[str, JsonValue]) -> str:
        """Hand in what is said of quality; the name of the handler that took it.

        A payload has a `type`:

        - `alert`: `metric`, `value`, `threshold` (numbers) and `severity` (low, medium, high);
        - `report`: `score` and `scores`, a mapping of names to numbers, all between 0 and 1;
        - `validation`: `passed` (true or false) and `flags`, a list of texts.

        Each goes to the user's own connections as `quality_alert`, `quality_report` or
        `quality_validation`, with the payload as the event's data. Raises `Rejected` with the
        reason for an unknown type, and for a payload that lacks a field or has a wrong one.
        """
        ...

    async def metrics(self, user: str) -> QualityMetrics:
        """What all reports, alerts and validations of the user come to."""
        ...
