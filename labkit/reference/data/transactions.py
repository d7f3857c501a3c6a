"""One database transaction of one user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from labkit.errors import Rejected
from labkit.ids import MessageID, ThreadID
from labkit.reference.data.contexts import UserContext
from labkit.reference.data.pool import Connection, is_gone
from labkit.reference.data.refusals import no_such, refusals
from labkit.targets.data import Isolation
from labkit.targets.pipeline import Role

_BIND: Final = "select set_config('labkit.acting_user', $1, true)"
"""Names the user to the policies, until the transaction ends."""


_LOCK_THREAD: Final = "select from threads where id = $1 for no key update"

_ADD_MESSAGE: Final = """
    insert into messages (id, user_id, thread_id, role, text, call_id, request_id)
    values ($1, $2, $3, $4, $5, $6, $7)
"""


class UserTransaction:
    """A transaction on a borrowed connection, bound to the user of `context`.

    The store begins it and ends it; what happens in between is the `Transaction` of the seam.
    """

    def __init__(self, connection: Connection, context: UserContext) -> None:
        self._connection = connection
        self._user = context.user

    @property
    def user(self) -> str:
        """For whom everything in it is done."""
        return self._user

    async def begin(self, isolation: Isolation) -> None:
        """Begin at the level and bind the user, which also takes the snapshot."""
        await self._connection.execute(f"begin isolation level {isolation}")
        await self._connection.execute(_BIND, self._user)

    async def commit(self) -> None:
        """Commit; raises `Rejected` when the server rolled back instead.

        It does so, and reports no error, when a statement had failed and the error was swallowed.
        """
        if await self._connection.execute("commit") != "COMMIT":
            raise Rejected(
                f"the transaction of user {self._user!r} was rolled back, not committed: a "
                "statement in it had failed; put a savepoint around what may fail"
            )

    async def roll_back(self) -> None:
        """Undo everything; a connection that cannot even do that is cut, which undoes it too."""
        if is_gone(self._connection):
            return
        try:
            await self._connection.execute("rollback")
        except BaseException:
            if not is_gone(self._connection):
                self._connection.terminate()
            raise

    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        return [tuple(record) for record in await self._connection.fetch(sql, *arguments)]

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run one statement and return how many rows it touched; 0 where it has no rows."""
        count = (await self._connection.execute(sql, *arguments)).rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A nested block; an error that leaves it undoes the block alone."""
        await self._connection.execute("savepoint block")  # the inner of two hides the outer
        try:
            yield
        except BaseException:
            if not is_gone(self._connection):
                await self._connection.execute("rollback to block; release block")
            raise
        await self._connection.execute("release block")

    async def create_user(self, user: str) -> None:
        """Register the transaction's own user; `Rejected` when taken, `Denied` for another's id."""
        with refusals(
            denied=f"user {self._user!r} cannot register {user!r}, only itself",
            rejected=f"user {user!r} already exists",
        ):
            await self.execute("insert into users (id) values ($1)", user)

    async def create_thread(self, title: str) -> str:
        """Create a thread; `Denied` when the user is not registered."""
        thread = ThreadID.new()
        with refusals(denied=f"user {self._user!r} is not registered"):
            await self.execute(
                "insert into threads (id, user_id, title) values ($1, $2, $3)",
                thread,
                self._user,
                title,
            )
        return thread

    async def add_message(
        self,
        thread: str,
        text: str,
        *,
        role: Role = Role.USER,
        call: str | None = None,
        request: str | None = None,
    ) -> str:
        """Append a message; `Denied` when the thread is not the user's.

        The thread is locked until the transaction ends, so that its messages become visible in the
        order of their positions. `call` pairs a tool's call and result; `request` is the sender's
        id of the message, and `Rejected` when it is taken.
        """
        message = MessageID.new()
        with refusals(
            denied=no_such(self._user, "thread", thread),
            rejected=f"user {self._user!r} cannot add message {request!r}: it is there already, "
            "or not a valid one",
        ):
            await self.execute(_LOCK_THREAD, thread)
            await self.execute(_ADD_MESSAGE, message, self._user, thread, role, text, call, request)
        return message
