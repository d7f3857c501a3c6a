"""The seam: what a platform offers the lab, one Protocol per area.

Rules of the seam:

- every method that acts takes the user for whom it acts; ids are opaque strings here;
- a refusal is `labkit.errors.Denied` (not yours, or not there) or `labkit.errors.Rejected` (not
  valid), never another error and never a silent nothing;
- what a target lacks it declares before the run, with a reason, in `lacks`; the lab then skips the
  checks that touch it. An undeclared gap is an error of the target (`NotDeclared`);
- the witness is not the target: it only learns here where the target's rows lie.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from labkit.judges.schedule import Isolation
from labkit.services.endpoints import Lease

__all__ = [
    "Capability",
    "DataAccess",
    "ExecutionResult",
    "Isolation",
    "Tables",
    "Target",
    "TargetFactory",
    "ThreadView",
    "Transaction",
]

_T = TypeVar("_T")


class Capability(enum.StrEnum):
    """What a target can offer; the names of the Protocols."""

    DATA = "data"


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

    @property
    def pool_size(self) -> int:
        """The most connections that the platform opens at the server for this target."""
        ...


@dataclass(frozen=True)
class Tables:
    """Where the target's rows lie: what the witness must know to look for itself."""

    users: str
    threads: str
    messages: str
    executions: str
    accounts: str


class Described(Protocol):
    """What a target says of itself, which is known before anything opens."""

    @property
    def name(self) -> str:
        """What reports call the target."""
        ...

    @property
    def lacks(self) -> Mapping[Capability, str]:
        """What the target lacks, each with the reason."""
        ...

    @property
    def tables(self) -> Tables:
        """Where its rows lie in the leased database."""
        ...


class Target(Described, Protocol):
    """A platform under test, opened on one lease; leaving it closes all it opened."""

    @property
    def data(self) -> DataAccess:
        """Area 4; raises `NotDeclared` where it is lacking."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...


class TargetFactory(Described, Protocol):
    """What `package.module:Class` names: called with the lease, it gives the target."""

    async def install(self, lease: Lease) -> None:
        """Make the platform's schema in the leased database, as its owner; harmless twice."""
        ...

    def __call__(self, lease: Lease) -> Target:
        """A target on the lease, not yet opened."""
        ...
