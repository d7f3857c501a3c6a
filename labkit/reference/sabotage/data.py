"""Platforms whose transactions, pool or store have one faulty part."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeVar

import asyncpg

from labkit.redaction import Secret
from labkit.reference.data.pool import Connection, Pool, PoolLimits, is_gone
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.platform import Parts, Platform
from labkit.sabotage import Sabotage
from labkit.targets.data import ExecutionResult, Isolation, Transaction

_AREA: Final = "database_transactions"
_ACID: Final = "acid_transaction_rollback_on_error"
_CONCURRENCY: Final = "concurrent_database_operations_isolation"
_POOL: Final = "database_connection_pooling_and_session_management"
_EXECUTIONS: Final = "agent_execution_data_persistence"

_T = TypeVar("_T")

LOST_RACES = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class _Autocommitting(UserTransaction):
    async def begin(self, _isolation: Isolation) -> None:
        bind = "select set_config('labkit.acting_user', $1, false)"
        await self._connection.execute(bind, self._user)

    async def commit(self) -> None:
        pass

    async def roll_back(self) -> None:
        pass

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        yield


class CommitsEachStatement(Platform):
    """Autocommit: every statement is a transaction of its own."""

    parts = Parts(transactions=_Autocommitting)


class _CommittingOnError(UserTransaction):
    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        async with self.savepoint():
            return await super().fetch(sql, *arguments)

    async def execute(self, sql: str, *arguments: object) -> int:
        async with self.savepoint():
            return await super().execute(sql, *arguments)

    async def roll_back(self) -> None:
        if not is_gone(self._connection):
            await self._connection.execute("commit")


class CommitsOnError(Platform):
    """A savepoint around each statement, and a commit of the rest whatever happened."""

    parts = Parts(transactions=_CommittingOnError)


class _Careless(UserTransaction):
    async def begin(self, isolation: Isolation) -> None:
        await super().begin(isolation)
        await self._connection.execute("set local synchronous_commit to off")


class AcknowledgesTooEarly(Platform):
    """A commit is acknowledged before it is on disk."""

    parts = Parts(transactions=_Careless)


class _Unserialized(Store):
    async def serializable(self, user: str, body: Callable[[Transaction], Awaitable[_T]]) -> _T:
        async with self.transaction(user) as transaction:
            return await body(transaction)


class TransfersAtReadCommitted(Platform):
    """Transfers read and write without a lock, below the level that would notice."""

    parts = Parts(store=_Unserialized)


class _Repeating(UserTransaction):
    _isolation: Isolation
    _last: tuple[str, tuple[object, ...]]

    async def begin(self, isolation: Isolation) -> None:
        self._isolation, self._last = isolation, ("select 1", ())
        await super().begin(isolation)

    async def execute(self, sql: str, *arguments: object) -> int:
        self._last = (sql, arguments)
        for _ in range(100):
            try:
                return await super().execute(sql, *arguments)
            except LOST_RACES:
                await self._begin_again()
        return await super().execute(sql, *arguments)

    async def commit(self) -> None:
        for _ in range(100):
            try:
                return await super().commit()
            except LOST_RACES:
                await self._begin_again()
                await self.execute(self._last[0], *self._last[1])
        return await super().commit()

    async def _begin_again(self) -> None:
        await self.roll_back()
        await super().begin(self._isolation)


class _RepeatingStore(Store):
    async def serializable(self, user: str, body: Callable[[Transaction], Awaitable[_T]]) -> _T:
        repeating = Store(self._pool, self._random, _Repeating)
        async with repeating.transaction(user, Isolation.SERIALIZABLE) as transaction:
            return await body(transaction)


class RepeatsTheLastStatement(Platform):
    """After a lost race only the last statement is run again, with values read before it."""

    parts = Parts(store=_RepeatingStore)


class _Leaking(Pool):
    async def _acquire(self, pool: "asyncpg.Pool[asyncpg.Record]") -> Connection:
        return await asyncio.shield(asyncio.ensure_future(super()._acquire(pool)))


class LeaksOnCancel(Platform):
    """Who is cancelled while waiting for a connection still gets one, and nobody gives it back."""

    parts = Parts(pool=_Leaking)


class _Growing(Pool):
    def __init__(self, url: Secret) -> None:
        super().__init__(url, PoolLimits(connections=12))

    async def open(self) -> None:
        await super().open()
        self.limits = PoolLimits()


class GrowsPastItsBound(Platform):
    """The pool opens three times as many connections as it says."""

    parts = Parts(pool=_Growing)


class _Flattening(Store):
    async def complete_execution(
        self, user: str, execution: str, message: str, result: ExecutionResult
    ) -> None:
        flat = {name: json.dumps(value) for name, value in result.output.items()}
        await super().complete_execution(user, execution, message, replace(result, output=flat))


class FlattensJson(Platform):
    """Values inside the output are stored as the text of their JSON."""

    parts = Parts(store=_Flattening)


class _OneLevel(UserTransaction):
    level: ClassVar[Isolation]

    async def begin(self, _isolation: Isolation) -> None:
        await super().begin(self.level)


class _ReadCommitted(_OneLevel):
    level = Isolation.READ_COMMITTED


class _RepeatableRead(_OneLevel):
    level = Isolation.REPEATABLE_READ


class _Serializable(_OneLevel):
    level = Isolation.SERIALIZABLE


class AlwaysReadCommitted(Platform):
    """Every transaction is silently at read committed."""

    parts = Parts(transactions=_ReadCommitted)


class AlwaysRepeatableRead(Platform):
    """Every transaction is silently at repeatable read."""

    parts = Parts(transactions=_RepeatableRead)


class AlwaysSerializable(Platform):
    """Every transaction is silently at serializable."""

    parts = Parts(transactions=_Serializable)


SABOTAGES: Final = (
    Sabotage.of(
        CommitsEachStatement,
        "autocommit",
        area=_AREA,
        promise="A transaction is stored in whole or not at all.",
        stands_for="Autocommit left on, by driver default or by a proxy's.",
        must={_ACID: "partial-write", _CONCURRENCY: "isolation-level-differs"},
    ),
    Sabotage.of(
        CommitsOnError,
        "commit-on-error",
        area=_AREA,
        promise="What came before an error is gone.",
        stands_for="A context manager that commits whatever happened.",
        must={_ACID: "partial-write", _CONCURRENCY: "isolation-level-differs"},
    ),
    Sabotage.of(
        AcknowledgesTooEarly,
        "acknowledged-too-early",
        area=_AREA,
        promise="A commit that was acknowledged survives a crash.",
        stands_for="`synchronous_commit=off`, for speed: 9 of 4,500 acknowledged commits lost.",
        must={_ACID: "lost-commit"},
    ),
    Sabotage.of(
        TransfersAtReadCommitted,
        "transfers-read-committed",
        area=_AREA,
        promise="Transfers never change the total.",
        stands_for="Lost updates and write skew below serializable.",
        must={_CONCURRENCY: "total-changed"},
    ),
    Sabotage.of(
        RepeatsTheLastStatement,
        "retry-last-statement",
        area=_AREA,
        promise="After a lost race the whole transaction is done again.",
        stands_for="A retry around a statement, where PostgreSQL's manual asks for all of it.",
        must={_CONCURRENCY: "total-changed"},
    ),
    Sabotage.of(
        AlwaysReadCommitted,
        "always-read-committed",
        area=_AREA,
        promise="A transaction runs at the level that was asked for.",
        stands_for="An isolation option that the pool drops.",
        must={_CONCURRENCY: "isolation-level-differs"},
    ),
    Sabotage.of(
        AlwaysRepeatableRead,
        "always-repeatable-read",
        area=_AREA,
        promise="A transaction runs at the level that was asked for.",
        stands_for="Snapshot isolation called serializable.",
        must={_CONCURRENCY: "isolation-level-differs"},
    ),
    Sabotage.of(
        AlwaysSerializable,
        "always-serializable",
        area=_AREA,
        promise="A transaction runs at the level that was asked for.",
        stands_for="A default set for a role, against which every option loses.",
        must={_CONCURRENCY: "isolation-level-differs"},
    ),
    Sabotage.of(
        LeaksOnCancel,
        "leak-on-cancel",
        area=_AREA,
        promise="A cancelled waiter leaves no connection taken.",
        stands_for="Cancellation inside `__aenter__`: asyncpgsa #52.",
        must={_POOL: "connection-leaked"},
    ),
    Sabotage.of(
        GrowsPastItsBound,
        "pool-grows",
        area=_AREA,
        promise="The pool never holds more connections than it says.",
        stands_for="An overflow that is added to the limit, such as SQLAlchemy's `max_overflow`.",
        must={_POOL: "pool-outgrown"},
    ),
    Sabotage.of(
        FlattensJson,
        "json-flattened",
        area=_AREA,
        promise="An output is read back with its types.",
        stands_for="JSON encoded twice.",
        must={_EXECUTIONS: "json-flattened"},
    ),
)
