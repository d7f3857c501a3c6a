"""Area 4 of the seam: data access for one user, in transactions that the lab can interleave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from labkit.judges.schedule import Isolation

__all__ = [
    "DataAccess",
    "ExecutionResult",
    "Isolation",
    "RequestSession",
    "ThreadView",
    "Transaction",
]

_T = TypeVar("_T")


@dataclass(frozen=True)
class ThreadView:
    """A conversation as its user sees it."""

    id: str
    title: str


@dataclass(frozen=True)
class ExecutionResult:
    """What a finished execution leaves behind."""

    output: Mapping[str, Any]
    """JSON values, nested as they come."""
    duration_s: float
    tool_calls: int
    tokens: int


class Transaction(Protocol):
    """One database transaction of one user; its statements commit together or not at all."""

    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement (`$1`, `$2` … stand for the arguments) and return its rows."""
        ...

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run one statement and return how many rows it touched."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A nested block; an error that leaves it undoes the block alone."""
        ...

    async def create_user(self, user: str) -> None:
        """Register this transaction's user; raises `Rejected` ("… already exists") when taken."""
        ...

    async def create_thread(self, title: str) -> str:
        """Create a thread of this transaction's user; return its id."""
        ...

    async def add_message(self, thread: str, text: str) -> str:
        """Append a message to a thread of this user; return its id."""
        ...


class RequestSession(Protocol):
    """A database session that belongs to one request; every call names the request that makes it.

    Raises `SessionIsolationError` when that is another request, or the session's own has ended.
    """

    async def fetch(self, request: str, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement as the session's user and return its rows."""
        ...


class DataAccess(Protocol):
    """Area 4: transactions, threads, messages and executions, each for one user."""

    def transaction(
        self, user: str, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction of `user`: leaving the block commits, an error that leaves it rolls back.

        Waits for a free connection of the pool. Above read committed, the snapshot is taken no
        later than at the first statement, and may be taken on entering. Errors of `fetch`,
        `execute` and of the commit come through as the driver's own, so that a check can compare
        SQLSTATEs; a block that swallowed such an error cannot commit and raises `Rejected`.
        """
        ...

    async def serializable(self, user: str, body: Callable[[Transaction], Awaitable[_T]]) -> _T:
        """Run `body` in a serializable transaction, and the whole of it again after a 40001.

        The same after a deadlock (40P01). Tries are bounded in number and time; then the driver's
        last error comes through.
        """
        ...

    async def create_user(self, user: str) -> None:
        """Register a user id; raises `Rejected` when it is taken."""
        ...

    async def create_thread(self, user: str, title: str) -> str:
        """Create a thread of the user; return its id. Raises `Denied` for an unregistered user."""
        ...

    async def threads(self, user: str) -> Sequence[ThreadView]:
        """The user's own threads, oldest first."""
        ...

    async def rename_thread(self, user: str, thread: str, title: str) -> None:
        """Rename a thread; raises `Denied` when it is not the user's."""
        ...

    async def delete_thread(self, user: str, thread: str) -> None:
        """Delete a thread with its messages; raises `Denied` when it is not the user's."""
        ...

    async def add_message(self, user: str, thread: str, text: str) -> str:
        """Append a message; return its id. Raises `Denied` when the thread is not the user's."""
        ...

    async def open_account(self, user: str, account: str, balance: int) -> None:
        """Open an account of credits; raises `Rejected` when it is open or `balance` negative."""
        ...

    async def transfer(self, user: str, source: str, destination: str, amount: int) -> bool:
        """Move credits between accounts of the user; False when the source has too few.

        Safe at any concurrency. Raises `Denied` when an account is not the user's, `Rejected` for
        an amount below 1 or one account as both ends.
        """
        ...

    async def start_execution(self, user: str, thread: str) -> str:
        """Record a running execution; return its id. `Denied` when the thread is not the user's."""
        ...

    async def complete_execution(
        self, user: str, execution: str, message: str, result: ExecutionResult
    ) -> None:
        """Link an execution to the message `message` that it answers and complete it, at once.

        Raises `Denied` when the user has no such running execution, or its thread no such message.
        """
        ...

    def session(self, user: str, request: str) -> AbstractAsyncContextManager[RequestSession]:
        """A database session of `user` for the length of one request.

        Its connection goes back to the pool with nothing on it: no setting, temporary table, open
        transaction or advisory lock. Statements of a session commit one by one.
        """
        ...

    @property
    def pool_size(self) -> int:
        """The most connections that the platform opens at the server for this target."""
        ...
