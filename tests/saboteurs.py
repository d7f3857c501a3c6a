"""Platforms with one faulty part each, to see that the database notebook notices.

Each is named on the command line as `--target tests.saboteurs:CommitsOnError`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import asyncpg

from labkit.redaction import Secret
from labkit.reference.platform import Parts, Platform
from labkit.reference.pool import Connection, Pool, PoolLimits, is_gone
from labkit.reference.schema import Schema
from labkit.reference.store import Store
from labkit.reference.transactions import UserTransaction
from labkit.services.endpoints import Lease
from labkit.targets.data import ExecutionResult, Isolation, Transaction

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


class _Altered(Schema):
    alteration: ClassVar[str]

    async def install(self, lease: Lease) -> None:
        await super().install(lease)
        async with self._owner(lease) as owner:
            await owner.execute(self.alteration)


class _Unprotected(_Altered):
    alteration = """
        alter table threads disable row level security;
        alter table messages disable row level security;
        alter table executions disable row level security;
    """


class WithoutRowLevelSecurity(Platform):
    """The policies on threads and what hangs on them are there and never asked."""

    parts = Parts(schema=_Unprotected)


class _OpenToWrites(_Altered):
    alteration = """
        alter policy own on threads with check (true);
        alter policy own on messages with check (true);
        alter policy own on executions with check (true);
    """


class WritesUnchecked(Platform):
    """The policies hide other users' rows, and let anything be written."""

    parts = Parts(schema=_OpenToWrites)


class _LinkedById(_Altered):
    alteration = """
        alter table messages drop constraint messages_thread;
        alter table messages add constraint messages_thread
            foreign key (thread_id) references threads (id) on delete cascade;
    """


class ForeignKeyOnTheIdAlone(Platform):
    """A message's thread must exist, but may be anybody's."""

    parts = Parts(schema=_LinkedById)


class _Flattening(Store):
    async def complete_execution(
        self, user: str, execution: str, message: str, result: ExecutionResult
    ) -> None:
        flat = {name: json.dumps(value) for name, value in result.output.items()}
        await super().complete_execution(user, execution, message, replace(result, output=flat))


class FlattensJson(Platform):
    """Values inside the output are stored as the text of their JSON."""

    parts = Parts(store=_Flattening)


class _Unlinked(_Altered):
    alteration = "alter table executions drop constraint if exists executions_message"


class LinkNotEnforced(Platform):
    """An execution may be linked to any message, or to none that exists."""

    parts = Parts(schema=_Unlinked)


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
