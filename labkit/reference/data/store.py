"""What the platform keeps in its database, each statement bound to one user.

The statements name no user where they read or change rows: row-level security does.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol, TypeVar

import asyncpg

from labkit.errors import Denied, Rejected
from labkit.ids import ExecutionID
from labkit.reference.data.contexts import UserContext
from labkit.reference.data.pool import Pool
from labkit.reference.data.refusals import no_such, refusals
from labkit.reference.data.request_session import RequestSession
from labkit.reference.data.transactions import UserTransaction
from labkit.targets.data import ExecutionResult, Isolation, ThreadView, Transaction

_T = TypeVar("_T")

_CREATE: Final = "insert into executions (id, user_id, thread_id) values ($1, $2, $3)"

_ACTIVATE: Final = "update executions set status = 'active' where id = $1"

_COMPLETE: Final = """
    update executions
       set status = 'completed', completed_at = now(), message_id = $2,
           output = $3, duration_s = $4, tool_calls = $5, tokens = $6
     where id = $1 and status = 'active'
"""

_BALANCES: Final = "select id, balance from accounts where id in ($1, $2)"

_SET_BALANCE: Final = "update accounts set balance = $2 where id = $1"


@dataclass(frozen=True)
class RetryLimits:
    """How often and how long a serializable transaction is tried again; times in seconds."""

    attempts: int = 50
    deadline_s: float = 10.0
    """No attempt begins after this time."""
    shortest_pause_s: float = 0.001
    longest_pause_s: float = 0.1

    def pause_s(self, attempt: int, random: Random) -> float:
        """A pause after the attempt (from 1): random, its bound doubled each time up to a limit."""
        return random.uniform(0, min(self.longest_pause_s, self.shortest_pause_s * 2**attempt))


class ThreadChanges(Protocol):
    """Who must be told of threads that are changed or deleted."""

    async def announce(self, user: str, thread: str) -> str:
        """Before the commit, with the row locked; an error that it raises prevents the change.

        What it returns is given back to `conclude`, or to `prolong` when the commit fails.
        """
        ...

    async def prolong(self, user: str, thread: str, announced: str) -> None:
        """After a commit that failed, and may have been applied or yet be; it raises nothing."""
        ...

    async def conclude(self, user: str, thread: str, announced: str) -> None:
        """After the commit, which stands; so it raises nothing."""
        ...


class _ToldToNobody:
    async def announce(self, _user: str, _thread: str) -> str:
        return ""

    async def prolong(self, _user: str, _thread: str, _announced: str) -> None:
        return

    async def conclude(self, _user: str, _thread: str, _announced: str) -> None:
        return


class Store:
    """Area 4 of the platform: the `DataAccess` of the seam on one pool."""

    def __init__(
        self,
        pool: Pool,
        random: Random,
        transactions: type[UserTransaction] = UserTransaction,
        retries: RetryLimits | None = None,
        changes: ThreadChanges | None = None,
    ) -> None:
        self._pool = pool
        self._random = random
        self._transactions = transactions
        self._retries = retries or RetryLimits()
        self._changes = changes or _ToldToNobody()

    @property
    def pool_size(self) -> int:
        """The most connections that the platform opens at the server."""
        return self._pool.limits.connections

    @asynccontextmanager
    async def transaction(
        self, user: str, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> AsyncIterator[UserTransaction]:
        """A transaction of `user`, which commits as a whole or leaves nothing."""
        context = UserContext(user)
        async with self._pool.connection() as connection:
            transaction = self._transactions(connection, context)
            try:
                await transaction.begin(isolation)
                yield transaction
                await transaction.commit()
            except BaseException:
                await transaction.roll_back()
                raise

    @asynccontextmanager
    async def session(self, user: str, request: str) -> AsyncIterator[RequestSession]:
        """A database session of `user` for the length of one request."""
        context = UserContext(user)
        async with self._pool.connection() as connection:
            session = RequestSession(connection, context, request)
            try:
                await session.begin()
                yield session
            finally:
                await session.end()

    async def serializable(self, user: str, body: Callable[[Transaction], Awaitable[_T]]) -> _T:
        """Run `body` in a serializable transaction, the whole of it again when it lost a race.

        Lost is a serialization failure (40001) or a deadlock (40P01), also one that only the
        commit reports. When the limits are used up, the last one comes through.
        """
        give_up_at = time.monotonic() + self._retries.deadline_s
        for attempt in itertools.count(1):
            try:
                async with self.transaction(user, Isolation.SERIALIZABLE) as transaction:
                    return await body(transaction)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                if attempt >= self._retries.attempts or time.monotonic() >= give_up_at:
                    error.add_note(f"given up after attempt {attempt}")
                    raise
            await asyncio.sleep(self._retries.pause_s(attempt, self._random))
        raise AssertionError("counting never ends")

    async def create_user(self, user: str) -> None:
        """Register a user id; `Rejected` when it is taken."""
        async with self.transaction(user) as transaction:
            await transaction.create_user(user)

    async def create_thread(self, user: str, title: str) -> str:
        """Create a thread of the user; return its id."""
        async with self.transaction(user) as transaction:
            return await transaction.create_thread(title)

    async def threads(self, user: str) -> Sequence[ThreadView]:
        """The user's own threads, oldest first."""
        async with self.transaction(user) as transaction:
            rows = await transaction.fetch("select id, title from threads order by position")
        return [ThreadView(id=thread, title=title) for thread, title in rows]

    async def rename_thread(self, user: str, thread: str, title: str) -> None:
        """Rename a thread; `Denied` when it is not the user's."""
        await self._change_thread(
            user, thread, "update threads set title = $2 where id = $1", title
        )

    async def delete_thread(self, user: str, thread: str) -> None:
        """Delete a thread with its messages and executions; `Denied` when not the user's."""
        await self._change_thread(user, thread, "delete from threads where id = $1")

    async def add_message(self, user: str, thread: str, text: str) -> str:
        """Append a message; return its id. `Denied` when the thread is not the user's."""
        async with self.transaction(user) as transaction:
            return await transaction.add_message(thread, text)

    async def start_execution(self, user: str, thread: str) -> str:
        """Record an execution that is running on a thread; return its id."""
        execution = ExecutionID.new()
        async with self.transaction(user) as transaction:
            with refusals(denied=no_such(user, "thread", thread)):
                await transaction.execute(_CREATE, execution, user, thread)
            await transaction.execute(_ACTIVATE, execution)
        return execution

    async def complete_execution(
        self, user: str, execution: str, message: str, result: ExecutionResult
    ) -> None:
        """Link a running execution to the message that it answers and complete it, at once.

        `Denied` when the user has no such running execution, or no such message in its thread.
        """
        async with self.transaction(user) as transaction:
            with refusals(denied=no_such(user, "message in that thread", message)):
                touched = await transaction.execute(
                    _COMPLETE,
                    execution,
                    message,
                    dict(result.output),
                    result.duration_s,
                    result.tool_calls,
                    result.tokens,
                )
            if not touched:
                raise Denied(no_such(user, "running execution", execution))

    async def open_account(self, user: str, account: str, balance: int) -> None:
        """Open an account with a balance; `Rejected` when it is there or the balance negative."""
        async with self.transaction(user) as transaction:
            with refusals(
                denied=f"user {user!r} is not registered",
                rejected=f"user {user!r} cannot open account {account!r} with {balance}: it is "
                "open already, or the balance is negative",
            ):
                await transaction.execute(
                    "insert into accounts (user_id, id, balance) values ($1, $2, $3)",
                    user,
                    account,
                    balance,
                )

    async def transfer(self, user: str, source: str, destination: str, amount: int) -> bool:
        """Move credits between two accounts of the user; False when the source has too few.

        Reads, then writes what it computed: only the isolation level stands against lost updates.
        """
        if amount <= 0 or source == destination:
            raise Rejected(f"cannot move {amount} from {source!r} to {destination!r}")

        async def move(transaction: Transaction) -> bool:
            balances: dict[str, int] = dict(await transaction.fetch(_BALANCES, source, destination))
            for account in (source, destination):
                if account not in balances:
                    raise Denied(no_such(user, "account", account))
            if balances[source] < amount:
                return False
            changed = {
                source: balances[source] - amount,
                destination: balances[destination] + amount,
            }
            for account in sorted(changed):  # one order for all: no two wait for each other
                await transaction.execute(_SET_BALANCE, account, changed[account])
            return True

        return await self.serializable(user, move)

    async def _change_thread(self, user: str, thread: str, sql: str, *arguments: object) -> None:
        """Change the thread whose id is `$1` of the statement; `Denied` when it touches none.

        When the commit fails, or its caller is cancelled, it may have been applied nevertheless, or
        yet be; then nothing is concluded.
        """
        announced: str | None = None
        try:
            async with self.transaction(user) as transaction:
                await _touch(transaction, thread, sql, *arguments)
                announced = await self._changes.announce(user, thread)
        except BaseException:
            if announced is not None:
                await self._changes.prolong(user, thread, announced)
            raise
        await self._changes.conclude(user, thread, announced)


async def _touch(transaction: UserTransaction, thread: str, sql: str, *arguments: object) -> None:
    absent = no_such(transaction.user, "thread", thread)
    with refusals(denied=absent):
        if not await transaction.execute(sql, thread, *arguments):
            raise Denied(absent)
