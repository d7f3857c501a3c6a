"""Sessions of users, whose lives the database alone decides, by its own clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from labkit.errors import Denied, Rejected
from labkit.reference.data.refusals import no_such, refusals
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction

LIFETIME_MS: Final = 8 * 60 * 60 * 1000
"""How long a session lives at most where nothing else is asked for, in milliseconds."""

_LONGEST_MS: Final = 365 * 24 * 60 * 60 * 1000

_BEGIN: Final = """
    insert into sessions (id, user_id, started_at, expires_at)
    values ($1, $2, clock_timestamp(), clock_timestamp() + $3 * interval '1 millisecond')
"""

# The lock lets the session end only after what is under way in it.
_ALIVE: Final = """
    select true from sessions
     where id = $1 and ended_at is null and revoked_at is null and clock_timestamp() < expires_at
       for share
"""

_END: Final = """
    update sessions set ended_at = clock_timestamp() where id = $1 and ended_at is null
"""

_REVOKE: Final = """
    update sessions set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1
"""


class Sessions:
    """Begins and ends sessions, and opens transactions that only a living one can have."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, user: str, session: str, *, lifetime_ms: int = LIFETIME_MS) -> None:
        """Begin a session under a new id.

        Raises `Denied` for a user who is not registered, `Rejected` for a lifetime that is below
        1 ms or longer than a year.
        """
        if not 1 <= lifetime_ms <= _LONGEST_MS:
            raise Rejected(
                f"a session cannot live for {lifetime_ms} ms: give 1 to {_LONGEST_MS}, a year"
            )
        async with self._store.transaction(user) as transaction:
            with refusals(denied=f"user {user!r} is not registered"):
                await transaction.execute(_BEGIN, session, user, lifetime_ms)

    async def end(self, user: str, session: str) -> None:
        """End a session after what is under way in it; harmless when it has ended or never was."""
        async with self._store.transaction(user) as transaction:
            await transaction.execute(_END, session)

    async def revoke(self, user: str, session: str) -> None:
        """End a session from outside; `Denied` when the user has no such session."""
        async with self._store.transaction(user) as transaction:
            if not await transaction.execute(_REVOKE, session):
                raise Denied(no_such(user, "session", session))

    @asynccontextmanager
    async def transaction(self, user: str, session: str) -> AsyncIterator[UserTransaction]:
        """A transaction of the user within a session, which does not end before it.

        Raises `Denied` when the session has ended, expired or been revoked.
        """
        async with self._store.transaction(user) as transaction:
            if not await self._is_alive(transaction, session):
                raise Denied(f"user {user!r} has no session {session!r} that is still alive")
            yield transaction

    async def is_alive(self, user: str, session: str) -> bool:
        """Whether a session can still be used."""
        async with self._store.transaction(user) as transaction:
            return await self._is_alive(transaction, session)

    async def _is_alive(self, transaction: UserTransaction, session: str) -> bool:
        return bool(await transaction.fetch(_ALIVE, session))
