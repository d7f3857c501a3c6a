"""A database session that belongs to one request, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from labkit.errors import SessionIsolationError
from labkit.reference.data.contexts import UserContext
from labkit.reference.data.pool import Connection, is_gone

_BIND: Final = "select set_config('labkit.acting_user', $1, false)"
"""Names the user to the policies, until the connection goes back."""


class RequestSession:
    """A borrowed connection, bound to the user of `context` and to one request.

    The store begins it and ends it. Statements commit one by one, unless the request itself begins
    a transaction; what it does not commit is undone in the end.
    """

    def __init__(self, connection: Connection, context: UserContext, request: str) -> None:
        self._connection = connection
        self._user = context.user
        self._request = request
        self._turn = asyncio.Lock()
        self._has_ended = False

    async def begin(self) -> None:
        """Bind the user."""
        await self._connection.execute(_BIND, self._user)

    async def end(self) -> None:
        """Refuse everything from now on, and undo what was not committed."""
        self._has_ended = True
        async with self._turn:
            if not is_gone(self._connection) and self._connection.is_in_transaction():
                await self._connection.execute("rollback")

    async def fetch(self, request: str, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Raises `SessionIsolationError` when `request` is not the session's own, or that has ended.
        """
        async with self._turn:
            self._check(request)
            records = await self._connection.fetch(sql, *arguments)
        return [tuple(record) for record in records]

    def _check(self, request: str) -> None:
        if request != self._request:
            raise SessionIsolationError(
                f"a database session of another request cannot be used by request {request!r}: "
                "each request opens its own"
            )
        if self._has_ended:
            raise SessionIsolationError(
                f"the database session of request {request!r} has ended: open a new one"
            )
