"""Contexts of users: each a frozen value that is passed along, alive for as long as its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from labkit.ids import ContextID, SessionID
from labkit.reference.cache.texts import UserTexts
from labkit.reference.contexts.sessions import LIFETIME_MS, Sessions
from labkit.reference.data.history import History
from labkit.targets.data import ThreadView
from labkit.targets.pipeline import MessageView, RunView
from labkit.undisturbed import to_its_end


class Runner(Protocol):
    """Where runs are started, and suspended ones let go on."""

    async def submit(self, user: str, thread: str, text: str) -> str:
        """Start a run on a thread and return its id at once."""
        ...

    async def go_on(self, user: str, run: str) -> None:
        """Let a suspended run go on; `Denied` when not the user's, `Rejected` when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """What contexts work with; it knows no user of its own."""

    sessions: Sessions
    cache: UserTexts
    history: History
    runner: Runner


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The `Context` of the seam: a user, a session, and what may be done in it."""

    id: str
    user: str
    session: str
    _work: Work = field(repr=False, compare=False)

    async def is_active(self) -> bool:
        """Whether its session can still be used."""
        return await self._work.sessions.is_alive(self.user, self.session)

    async def create_thread(self, title: str) -> str:
        """Create a thread; return its id."""
        async with self._work.sessions.transaction(self.user, self.session) as transaction:
            return await transaction.create_thread(title)

    async def threads(self) -> Sequence[ThreadView]:
        """The user's own threads, oldest first."""
        async with self._work.sessions.transaction(self.user, self.session) as transaction:
            rows = await transaction.fetch("select id, title from threads order by position")
        return [ThreadView(id=thread, title=title) for thread, title in rows]

    async def messages(self, thread: str) -> Sequence[MessageView]:
        """A thread's messages, oldest first; `Denied` when the thread is not the user's."""
        async with self._work.sessions.transaction(self.user, self.session) as transaction:
            return await self._work.history.messages_within(transaction, thread)

    async def write(self, thread: str, text: str) -> str:
        """Append a message to a thread; return its id. `Denied` when it is not the user's."""
        async with self._work.sessions.transaction(self.user, self.session) as transaction:
            return await transaction.add_message(thread, text)

    async def remember(self, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a text in the cache for a time, in milliseconds; `Rejected` for one below 1."""
        async with self._work.sessions.transaction(self.user, self.session):
            await self._work.cache.write(self.user, key, value, ttl_ms=ttl_ms)

    async def recall(self, key: str) -> str | None:
        """The text that the cache keeps under the key, or None."""
        async with self._work.sessions.transaction(self.user, self.session):
            return await self._work.cache.read(self.user, key)

    async def submit(self, thread: str, text: str) -> str:
        """Start a run on a thread, whose events the user's connections get; return its id."""
        await self._require_session()
        return await self._work.runner.submit(self.user, thread, text)

    async def runs(self) -> Sequence[RunView]:
        """The user's runs on all threads, oldest first."""
        async with self._work.sessions.transaction(self.user, self.session) as transaction:
            return await self._work.history.runs_within(transaction)

    async def resume(self, run: str) -> None:
        """Let a suspended run go on; `Denied` when not the user's, `Rejected` when it cannot."""
        await self._require_session()
        await self._work.runner.go_on(self.user, run)

    async def _require_session(self) -> None:
        # Runs belong to their user and outlive the session that started them, so that starting one
        # needs no more than a session at that moment; a connection is not kept for that long.
        async with self._work.sessions.transaction(self.user, self.session):
            pass


class SessionContexts:
    """The `Contexts` of the seam: one new session and one new value for each context."""

    def __init__(self, work: Work) -> None:
        self._work = work

    @asynccontextmanager
    async def open(
        self, user: str, *, lifetime_ms: int | None = None
    ) -> AsyncIterator[SessionContext]:
        """A new session of a registered user, which ends with the block, however that ends.

        It expires after `lifetime_ms` at the latest (8 hours by default). Raises `Denied` for a
        user who is not registered, `Rejected` for a lifetime that makes no sense.
        """
        session = SessionID.new()
        try:
            await self._work.sessions.begin(
                user, session, lifetime_ms=LIFETIME_MS if lifetime_ms is None else lifetime_ms
            )
            yield self._context(user, session)
        finally:
            await self._close(user, session)

    async def revoke(self, user: str, session: str) -> None:
        """End a session from outside; `Denied` when the user has no such session."""
        await self._work.sessions.revoke(user, session)

    def _context(self, user: str, session: str) -> SessionContext:
        return SessionContext(ContextID.new(), user, session, self._work)

    async def _close(self, user: str, session: str) -> None:
        await _whatever_happens(self._work.sessions.end(user, session))


async def _whatever_happens(work: Coroutine[object, object, None]) -> None:
    """Do it to its end, also when the caller is cancelled meanwhile, which is passed on then."""
    doing = asyncio.create_task(work)
    cancelled = await to_its_end(doing)
    doing.result()
    if cancelled is not None:
        raise cancelled
