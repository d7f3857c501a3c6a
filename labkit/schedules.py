"""Runs interleaved transactions for real: each session on a connection and in a task of its own.

The director issues one step after the other. It waits for each until it has ended or is seen to be
blocked by another session, as `pg_blocking_pids` tells the witness; only then comes the next step.
So the order of events is the schedule's own, and no pause decides it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import product
from typing import Any, Final, Protocol

from labkit.errors import TargetError
from labkit.judges.anomalies import BEGINNING, SCENARIOS
from labkit.judges.isolation import IsolationTable
from labkit.judges.schedule import (
    Action,
    Ended,
    Isolation,
    Row,
    Scenario,
    ScheduleHistory,
    StatementError,
    Step,
    StepObservation,
)
from labkit.witness import Witness, table_name

DEADLINE_S: Final = 10.0
"""How long one schedule may take, in seconds; it needs a few hundredths."""

TABLE: Final = "labkit_isolation"
"""The table on which schedules run, beside the platform's own in the leased database."""

_PAUSE_S: Final = 0.002
_GRACE_S: Final = 2.0

_MAKE: Final = (
    "create table if not exists {table} (id integer primary key, value integer not null)",
    'grant select, insert, update, delete on {table} to "{role}"',
)
_FILL: Final = "insert into {table} select * from unnest($1::integer[], $2::integer[])"
_LOOK: Final = "select id, value from {table} order by id"


class Statements(Protocol):
    """What a schedule needs of a transaction; the seam's `Transaction` has it."""

    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        ...

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run one statement and return how many rows it touched."""
        ...


class Transactional(Protocol):
    """What a schedule needs of a platform; the seam's `DataAccess` has it."""

    def transaction(
        self, user: str, isolation: Isolation
    ) -> AbstractAsyncContextManager[Statements]:
        """A transaction: leaving the block commits, an error that leaves it rolls back."""
        ...


async def isolation_table(
    data: Transactional,
    witness: Witness,
    *,
    user: str,
    scenarios: Sequence[Scenario] = SCENARIOS,
    deadline_s: float = DEADLINE_S,
) -> IsolationTable:
    """Run all scenarios at all three levels through the platform's own transactions.

    The platform needs three connections at once. `user` is whom its transactions are for; the
    table's rows belong to nobody. `deadline_s` bounds each schedule.
    """
    await make_table(witness)
    histories = [
        await play(scenario, isolation, data, witness, user=user, deadline_s=deadline_s)
        for isolation, scenario in product(Isolation, scenarios)
    ]
    return IsolationTable(tuple(histories))


async def make_table(witness: Witness, table: str = TABLE) -> None:
    """Make the table in the leased database, open to the platform's role; harmless twice."""
    for sql in _MAKE:
        role = witness.lease.platform_role
        await witness.fetch(sql.format(table=table_name(table), role=role))


async def play(
    scenario: Scenario,
    isolation: Isolation,
    data: Transactional,
    witness: Witness,
    *,
    user: str,
    table: str = TABLE,
    deadline_s: float = DEADLINE_S,
) -> ScheduleHistory:
    """Run one scenario at one level, on a table that `make_table` made.

    A schedule that does not end in time gives a history that says so; its sessions are rolled back.
    An error that is not the database's own comes through, and `TargetError` is raised when the
    platform does not let go of a transaction that was cancelled.
    """
    table = table_name(table)
    await witness.fetch(f"truncate {table}")
    await witness.fetch(_FILL.format(table=table), *zip(*BEGINNING, strict=True))
    sessions = {number: _Session() for number in scenario.sessions}
    director = _Director(table, sessions, witness)
    unfinished = ""
    async with _running(session.live(data, user, isolation) for session in sessions.values()):
        try:
            async with asyncio.timeout(deadline_s):
                await director.direct(scenario.steps)
        except TimeoutError:
            unfinished = f"the schedule did not end within {deadline_s:g} s"
    observations = tuple(order.seen for order in director.orders)
    final = _rows(await witness.fetch(_LOOK.format(table=table)))
    return ScheduleHistory(scenario, isolation, observations, final, unfinished)


@contextlib.asynccontextmanager
async def _running(sessions: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Tasks for the length of the block; whatever one of them raised is raised after it."""
    tasks = [asyncio.create_task(session) for session in sessions]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended, lasting = await asyncio.wait(tasks, timeout=_GRACE_S)
        for task in ended:
            if not task.cancelled():
                task.result()
        if lasting:
            text = f"the target still holds {len(lasting)} of the transactions that were cancelled"
            raise TargetError(f"{text} {_GRACE_S:g} s ago: its transaction() must let go of them")


class _Order:
    """A step on its way to its session, and what has been seen of it so far."""

    def __init__(self, number: int, step: Step, sql: str) -> None:
        self.seen = StepObservation(number, step.session, step.action, sql, Ended.UNFINISHED)
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, ended: Ended, *, error: StatementError | None = None) -> None:
        """The session is through with it; what a later rollback raises is not its own."""
        if not self.answer.done():
            self.seen = replace(self.seen, ended=ended, error=error)
            self.answer.set_result(None)

    async def perform(self, transaction: Statements) -> None:
        """Run the statement, and keep what came of it."""
        # The director adds to what has been seen while the statement runs.
        if self.seen.action is Action.READ:
            rows = _rows(await transaction.fetch(self.seen.sql))
            self.seen = replace(self.seen, rows=rows)
        else:
            count = await transaction.execute(self.seen.sql)
            self.seen = replace(self.seen, count=count)
        self.end(Ended.DONE)


class _Abort(Exception):
    """Leaves a transaction's block, so that it is rolled back."""


class _Session:
    """One transaction in a task of its own, which takes one order after the other."""

    def __init__(self) -> None:
        self.pid: int | None = None
        """The server's process behind it, once the transaction has begun."""
        self._orders: asyncio.Queue[_Order] = asyncio.Queue()
        self._over = False

    def take(self, order: _Order) -> None:
        """Queue an order, or skip it when the session is over."""
        if self._over:
            order.end(Ended.SKIPPED)
        else:
            self._orders.put_nowait(order)

    async def live(self, data: Transactional, user: str, isolation: Isolation) -> None:
        """Take orders from the transaction's begin to its end."""
        order = await self._orders.get()
        try:
            async with data.transaction(user, isolation) as transaction:
                self.pid = (await transaction.fetch("select pg_backend_pid()"))[0][0]
                while order.seen.action is not Action.COMMIT:
                    order = await self._next(order, transaction)
        except _Abort:
            order.end(Ended.DONE)
        except Exception as error:
            order.end(Ended.FAILED, error=_reported(error))
            if order.seen.error is None:
                raise
        else:
            order.end(Ended.DONE)
        finally:
            self._close()

    async def _next(self, order: _Order, transaction: Statements) -> _Order:
        """Carry out an order that does not end the transaction, and wait for the next."""
        match order.seen.action:
            case Action.BEGIN:
                order.end(Ended.DONE)
            case Action.ABORT:
                raise _Abort
            case _:
                await order.perform(transaction)
        return await self._orders.get()

    def _close(self) -> None:
        self._over = True
        while not self._orders.empty():
            self._orders.get_nowait().end(Ended.SKIPPED)


class _Director:
    """Gives the orders, and sees what becomes of them."""

    def __init__(self, table: str, sessions: Mapping[int, _Session], witness: Witness) -> None:
        self.orders: list[_Order] = []
        self._table = table
        self._sessions = sessions
        self._witness = witness

    async def direct(self, steps: Sequence[Step]) -> None:
        """Give the orders in the order of the steps, until all have been carried out."""
        for number, step in enumerate(steps, 1):
            order = _Order(number, step, step.sql.format(table=self._table))
            self.orders.append(order)
            self._sessions[step.session].take(order)
            await self._settle(order)
        await asyncio.wait([order.answer for order in self.orders])

    async def _settle(self, latest: _Order) -> None:
        """Wait until each order given so far has been carried out or is blocked by a session.

        A released order is waited for, since it is not blocked: its end belongs to this step. An
        order's end is looked for before its block, so a block that is seen was not over with it.
        """
        await asyncio.wait([latest.answer], timeout=_PAUSE_S)
        before = [order for order in self.orders if order.seen.blocked_by]
        while running := [order for order in self.orders if not order.answer.done()]:
            if all([await self._is_blocked(order) for order in running]):
                break
            answers = [order.answer for order in running]
            await asyncio.wait(answers, timeout=_PAUSE_S, return_when=asyncio.FIRST_COMPLETED)
        for order in before:
            if order.answer.done() and order.seen.released_by is None:
                order.seen = replace(order.seen, released_by=latest.seen.number)

    async def _is_blocked(self, order: _Order) -> bool:
        pid = self._sessions[order.seen.session].pid
        blockers = await self._witness.blocked_by(pid) if pid is not None else frozenset()
        by = tuple(number for number, other in self._sessions.items() if other.pid in blockers)
        if by:
            order.seen = replace(order.seen, blocked_by=by)
        return bool(by)


def _rows(rows: Sequence[tuple[Any, ...]]) -> tuple[Row, ...]:
    return tuple(sorted((identity, value) for identity, value in rows))


def _reported(error: Exception) -> StatementError | None:
    """What the database reported; None for an error of another origin."""
    state = getattr(error, "sqlstate", None)
    return StatementError(state, str(error)) if isinstance(state, str) else None
