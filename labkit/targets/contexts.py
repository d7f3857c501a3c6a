"""Area 3 of the seam: a user's context is a value that is passed along, never a global."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from labkit.targets.data import ThreadView
from labkit.targets.pipeline import MessageView, RunView


class Context(Protocol):
    """One user's identity for one session, with what may be done under it; frozen.

    Every method raises `Denied` once the session has ended, expired or been revoked, and for what
    is not this user's, in the same words whether it exists or not.
    """

    @property
    def id(self) -> str:
        """The context's own id."""
        ...

    @property
    def user(self) -> str:
        """The user for whom it acts."""
        ...

    @property
    def session(self) -> str:
        """The session that it lives by."""
        ...

    async def is_active(self) -> bool:
        """Whether its session can still be used."""
        ...

    async def create_thread(self, title: str) -> str:
        """Create a thread; return its id."""
        ...

    async def threads(self) -> Sequence[ThreadView]:
        """The user's own threads, oldest first."""
        ...

    async def messages(self, thread: str) -> Sequence[MessageView]:
        """A thread's messages, oldest first."""
        ...

    async def write(self, thread: str, text: str) -> str:
        """Append a message to a thread; return its id."""
        ...

    async def remember(self, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a text in the cache for a time."""
        ...

    async def recall(self, key: str) -> str | None:
        """The text that the cache keeps under the key, or None."""
        ...

    async def submit(self, thread: str, text: str) -> str:
        """Start a run on a thread, whose events the user's connections get; return its id."""
        ...

    async def runs(self) -> Sequence[RunView]:
        """The user's runs on all threads, oldest first."""
        ...

    async def resume(self, run: str) -> None:
        """Let a suspended run go on; `Rejected` when it is not suspended."""
        ...


class Contexts(Protocol):
    """Makes contexts."""

    def open(
        self, user: str, *, lifetime_ms: int | None = None
    ) -> AbstractAsyncContextManager[Context]:
        """A new session of a registered user, which ends with the block, however that ends.

        It expires after `lifetime_ms` at the latest; None is the platform's own choice. Raises
        `Denied` for a user who is not registered.
        """
        ...

    async def revoke(self, user: str, session: str) -> None:
        """End a session from outside; `Denied` when the user has no such session."""
        ...
