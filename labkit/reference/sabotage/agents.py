"""Platforms whose agents, sessions or states have one faulty part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar, copy_context
from dataclasses import replace
from random import Random
from typing import Final

import asyncpg

from labkit.errors import Rejected
from labkit.json_values import JsonValue
from labkit.judges.transitions import LEGAL
from labkit.redaction import Secret
from labkit.reference.data.contexts import UserContext
from labkit.reference.data.pool import Connection, Pool, PoolLimits, is_gone
from labkit.reference.data.request_session import RequestSession
from labkit.reference.data.schema import Schema
from labkit.reference.data.store import RetryLimits, Store, ThreadChanges
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.agents import Agents, Answer, Desk, Prompt, Tool
from labkit.reference.execution.engine import Engine, Work
from labkit.reference.execution.executions import Executions, Run
from labkit.reference.execution.interventions import Interventions
from labkit.reference.execution.tool_calls import Call, ToolCalls
from labkit.reference.execution.turns import Records, Turns
from labkit.reference.platform import Parts, Platform
from labkit.sabotage import Sabotage
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState

_AREA: Final = "agent_execution"
_PERSISTENCE: Final = "agent_execution_with_database_persistence"
_ISOLATION: Final = "concurrent_agent_executions_with_user_isolation"
_ERRORS: Final = "agent_execution_error_handling_with_rollback"
_SESSIONS: Final = "session_isolation_enforcement"
_STATES: Final = "execution_context_state_transitions"

_KEPT_MOST: Final = 2
"""How many users of the notebook have sessions."""

_CURRENT: Final[ContextVar[Run]] = ContextVar("current run")


class _Uncompleted(Executions):
    async def finish(
        self,
        transaction: UserTransaction,
        execution: str,
        message: str,
        output: Mapping[str, JsonValue],
    ) -> None:
        pass


class CompletionNotStored(Platform):
    """The end of a run is told, and its row stays as it was."""

    parts = Parts(executions=_Uncompleted)


class _Forgetful(ToolCalls):
    async def complete(self, transaction: UserTransaction, call: Call, _result: str) -> None:
        await transaction.execute("delete from tool_calls where id = $1", call.id)


class ToolCallNotStored(Platform):
    """A tool call that went well leaves no row."""

    parts = Parts(tool_calls=_Forgetful)


class _Shared(Turns):
    def __init__(self, store: Store, records: Records, owner: int) -> None:
        super().__init__(store, records, owner)
        self._current: Run

    async def begin(self, run: Run) -> None:
        self._current = run
        await super().begin(run)

    async def prompt(self, _run: Run, results: Sequence[str]) -> Prompt:
        return await super().prompt(self._current, results)


class OneContextForAll(Platform):
    """The run that began last is taken for everybody's."""

    parts = Parts(turns=_Shared)


class _ByVariable(Turns):
    async def begin(self, run: Run) -> None:
        _CURRENT.set(run)
        await super().begin(run)

    async def prompt(self, _run: Run, results: Sequence[str]) -> Prompt:
        return await super().prompt(_CURRENT.get(), results)


class _InOneContext(Engine):
    def __init__(self, turns: Turns, interventions: Interventions, agents: Agents) -> None:
        super().__init__(turns, interventions, agents)
        self._context = copy_context()

    def _task(self, run: Run, work: Work) -> asyncio.Task[None]:
        return asyncio.create_task(self._guard(run, work), context=self._context)


class LeakingContextVariable(Platform):
    """The run stands in a context variable, and all tasks are in one context."""

    parts = Parts(turns=_ByVariable, engine=_InOneContext)


class _CommittingOnError(UserTransaction):
    async def roll_back(self) -> None:
        if not is_gone(self._connection):
            await self._connection.execute("commit")


class NoRollback(Platform):
    """What was written before an error stays."""

    parts = Parts(transactions=_CommittingOnError)


class _Swallowing(Turns):
    async def call(self, run: Run, call: Call, tool: Tool) -> str:
        async def calm(desk: Desk, argument: str) -> str:
            try:
                return await tool(desk, argument)
            except Exception:  # noqa: BLE001 - it is the sabotage
                return "done"

        return await super().call(run, call, calm)

    async def fail(self, run: Run, _error: Exception) -> None:
        await self.finish(run, Answer("done", 0))


class SwallowsErrors(Platform):
    """Whatever goes wrong, the run is told and stored as completed."""

    parts = Parts(turns=_Swallowing)


class _Dangling(Turns):
    async def _say_failure(
        self, transaction: UserTransaction, run: Run, call: Call, text: str
    ) -> None:
        pass


class DanglingToolCall(Platform):
    """A tool call that failed stays in the thread's history without a result."""

    parts = Parts(turns=_Dangling)


class _Anyones(RequestSession):
    def _check(self, request: str) -> None:
        pass


class _Roomy(Pool):
    def __init__(self, url: Secret, limits: PoolLimits | None = None) -> None:
        given = limits or PoolLimits()
        super().__init__(url, replace(given, connections=given.connections + _KEPT_MOST))


class _Keeping(Store):
    def __init__(
        self,
        pool: Pool,
        random: Random,
        transactions: type[UserTransaction] = UserTransaction,
        retries: RetryLimits | None = None,
        changes: ThreadChanges | None = None,
    ) -> None:
        super().__init__(pool, random, transactions, retries, changes)
        self._kept: dict[str, tuple[AbstractAsyncContextManager[Connection], RequestSession]] = {}

    @asynccontextmanager
    async def session(self, user: str, request: str) -> AsyncIterator[RequestSession]:
        if user not in self._kept:
            lent = self._pool.connection()
            session = _Anyones(await lent.__aenter__(), UserContext(user), request)
            await session.begin()
            self._kept[user] = (lent, session)
        yield self._kept[user][1]


class SessionKept(Platform):
    """A user's database session is kept for the next request."""

    parts = Parts(store=_Keeping, pool=_Roomy)


class _Unclean(Pool):
    async def _clean(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        pass


class PoolWithoutReset(Platform):
    """A connection is handed on as its last borrower left it."""

    parts = Parts(pool=_Unclean)


class _Lawless(Schema):
    async def install(self, lease: Lease) -> None:
        await super().install(lease)
        async with self._owner(lease) as owner:
            await owner.execute(
                "create or replace function follows(before text, after text) returns boolean"
                " language sql immutable parallel safe return true"
            )


class AnyTransition(Platform):
    """Every state may follow every other."""

    parts = Parts(schema=_Lawless)


class _Looking(Executions):
    async def _set(self, transaction: UserTransaction, sql: str, *arguments: object) -> None:
        execution, wanted = str(arguments[0]), sql.split("'")[1]
        rows = await transaction.fetch("select status from executions where id = $1", execution)
        if rows and ExecutionState(wanted) not in LEGAL[ExecutionState(rows[0][0])]:
            raise Rejected(f"execution {execution} cannot go from {rows[0][0]} to {wanted}")
        await super()._set(transaction, sql, *arguments)


class ChecksThenActs(Platform):
    """The platform looks at the state before it changes it, and nothing holds it in between."""

    parts = Parts(schema=_Lawless, executions=_Looking)


SABOTAGES: Final = (
    Sabotage.of(
        CompletionNotStored,
        "completion-not-stored",
        area=_AREA,
        promise="A run that was told as completed is stored as completed.",
        stands_for="A run's state that is told before, or without, being persisted.",
        must={_PERSISTENCE: "completion-not-stored"},
    ),
    Sabotage.of(
        ToolCallNotStored,
        "tool-call-not-stored",
        area=_AREA,
        promise="Every tool call of a run has its row.",
        stands_for="An audit trail with holes where all went well.",
        must={_PERSISTENCE: "tool-call-not-stored"},
    ),
    Sabotage.of(
        OneContextForAll,
        "one-context-for-all",
        area=_AREA,
        promise="A run's model input is made of its own user's messages.",
        stands_for="A module-global across an await; GitHub's mixed-up sessions of March 2021.",
        must={_ISOLATION: "leak"},
    ),
    Sabotage.of(
        LeakingContextVariable,
        "context-variable-leaks",
        area=_AREA,
        promise="Who a task works for is its own.",
        stands_for="Context variables shared by tasks: Starlette #2335, aiohttp #3406.",
        must={_ISOLATION: "leak"},
    ),
    Sabotage.of(
        NoRollback,
        "no-rollback",
        area=_AREA,
        promise="What a tool wrote before its error is gone.",
        stands_for="An error handler that commits; a COMMIT whose answer ROLLBACK nobody reads.",
        must={_ERRORS: "partial-write"},
    ),
    Sabotage.of(
        SwallowsErrors,
        "errors-swallowed",
        area=_AREA,
        promise="A run that failed is told and stored as failed.",
        stands_for="An `except Exception` around a tool, and a run that is completed.",
        must={_ERRORS: "error-swallowed"},
    ),
    Sabotage.of(
        DanglingToolCall,
        "dangling-tool-call",
        area=_AREA,
        promise="Each tool call in a thread's history has its result.",
        stands_for="Histories that the next model call refuses, since a tool call has no answer.",
        must={_ERRORS: "dangling-tool-call"},
    ),
    Sabotage.of(
        SessionKept,
        "session-kept",
        area=_AREA,
        promise="A database session belongs to one request.",
        stands_for="Sessions stored on long-lived objects and used again by later requests.",
        must={_SESSIONS: "session-not-refused"},
    ),
    Sabotage.of(
        PoolWithoutReset,
        "pool-without-reset",
        area=_AREA,
        promise="A connection brings nothing of its last borrower.",
        stands_for="Pools that do no more than roll back: SQLAlchemy #12099, npgsql #5592.",
        must={_SESSIONS: "connection-not-clean"},
    ),
    Sabotage.of(
        AnyTransition,
        "any-transition",
        area=_AREA,
        promise="An illegal transition is refused, and its row unchanged.",
        stands_for="States kept as free text, with no rule in the database.",
        must={_STATES: "illegal-accepted"},
    ),
    Sabotage.of(
        ChecksThenActs,
        "check-then-act",
        area=_AREA,
        promise="Of rivals for one transition, one wins.",
        stands_for="Check-then-act without a lock: a race between reading a state and writing it.",
        must={_STATES: "two-winners"},
    ),
)
