"""Area 1 of the seam: agents run on a user's thread, and what a run leaves can be read back."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from labkit.events import Event
from labkit.judges.transitions import ExecutionState

__all__ = [
    "ExecutionState",
    "Lifecycle",
    "MessageView",
    "Pipeline",
    "Role",
    "RunView",
]


class Role(enum.StrEnum):
    """Who speaks in a thread."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"


@dataclass(frozen=True)
class RunView:
    """A run as its user sees it."""

    run: str
    user: str
    thread: str
    state: ExecutionState
    error: str = ""
    """`kind: text` of what a failed run failed of."""


@dataclass(frozen=True)
class MessageView:
    """A message of a thread as its user sees it."""

    id: str
    role: Role
    text: str
    call: str | None = None
    """Pairs a tool call with its result."""


class Pipeline(Protocol):
    """Runs that are bound to their caller, and what is stored of them.

    The agent behind it follows the script: a text that starts with `lookup` calls one tool;
    `explode` one that writes and then raises; `slow` one that takes a while; `recall` answers with
    exactly the input that the model was given; `modeldown` has a model that raises; anything else
    is answered plainly.
    """

    def run(
        self, user: str, thread: str, text: str, *, agent: str | None = None
    ) -> AsyncIterator[Event]:
        """Run an agent on a message; the events as they happen, the end last.

        `agent` names another than the usual one; a name that nobody has ends the run as failed.
        Raises `Denied` when the thread is not the user's, `Rejected` when the text is not valid.
        Who stops iterating does not end the run.
        """
        ...

    async def runs(self, user: str, thread: str) -> Sequence[RunView]:
        """All runs on a thread, oldest first; `Denied` when the thread is not the user's."""
        ...

    async def history(self, user: str, thread: str) -> Sequence[MessageView]:
        """The thread's messages, tool calls and results among them, oldest first; or `Denied`."""
        ...

    def resume(self, user: str, run: str) -> AsyncIterator[Event]:
        """Go on with a suspended run, or one whose process is gone: its further events.

        Raises `Denied` when the run is not the user's, `Rejected` when it cannot go on.
        """
        ...


class Lifecycle(Protocol):
    """The states of executions, one by one, without an agent."""

    async def create(self, user: str, thread: str) -> str:
        """An execution in the state created; its id. `Denied` when the thread is not the user's."""
        ...

    async def move(self, user: str, execution: str, state: ExecutionState) -> None:
        """Bring an execution into another state, at once with its history.

        Raises `Denied` when it is not the user's, `Rejected` when the state may not follow. Of
        rivals for one transition one wins, and the others are rejected.
        """
        ...
