"""Calls of tools: the rows that tell of them, and the desk at which a tool works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.agents import ToolUse
from labkit.reference.execution.executions import Run

_OPEN: Final = """
    insert into tool_calls (id, execution_id, user_id, name, argument) values ($1, $2, $3, $4, $5)
"""

_END: Final = """
    update tool_calls set status = $2, result = $3, ended_at = clock_timestamp() where id = $1
"""

_UNFINISHED: Final = """
    select id, name, argument from tool_calls
     where execution_id = $1 and status = 'executing' order by started_at
"""

_RESULTS: Final = """
    select result from tool_calls
     where execution_id = $1 and status = 'completed' order by ended_at
"""

_WRITE_NOTE: Final = "insert into notes (id, user_id, thread_id, text) values ($1, $2, $3, $4)"

_COUNT_MESSAGES: Final = """
    select count(*) from messages where thread_id = $1 and position($2 in text) > 0
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a run."""

    id: str
    use: ToolUse


class ToolCalls:
    """The rows of tool calls."""

    async def open(self, transaction: UserTransaction, run: Run, call: Call) -> None:
        """Store that a call begins."""
        name, argument = call.use.name, call.use.argument
        await transaction.execute(_OPEN, call.id, run.id, run.user, name, argument)

    async def complete(self, transaction: UserTransaction, call: Call, result: str) -> None:
        """Store that a call gave a result."""
        await transaction.execute(_END, call.id, "completed", result)

    async def fail(self, transaction: UserTransaction, call: Call, error: str) -> None:
        """Store that a call failed, with the error in place of a result."""
        await transaction.execute(_END, call.id, "failed", error)

    async def unfinished(self, transaction: UserTransaction, run: Run) -> Sequence[Call]:
        """The run's calls that have begun and not ended, oldest first."""
        rows = await transaction.fetch(_UNFINISHED, run.id)
        return [Call(call, ToolUse(name, argument, 0)) for call, name, argument in rows]

    async def results(self, transaction: UserTransaction, run: Run) -> Sequence[str]:
        """What the run's calls have given so far, oldest first."""
        return [result for (result,) in await transaction.fetch(_RESULTS, run.id)]


class ThreadDesk:
    """A tool's work on the thread of its run, all in one transaction.

    The transaction begins when it is first needed: a tool that only waits holds no connection.
    """

    def __init__(self, run: Run, begin: Callable[[], Awaitable[UserTransaction]]) -> None:
        self._run = run
        self._begin = begin
        self._transaction: UserTransaction | None = None

    async def transaction(self) -> UserTransaction:
        """The one transaction of the tool's work."""
        if self._transaction is None:
            self._transaction = await self._begin()
        return self._transaction

    async def write_note(self, text: str) -> str:
        """Put a note on the run's thread; its id."""
        note = f"note_{uuid4().hex}"
        transaction = await self.transaction()
        await transaction.execute(_WRITE_NOTE, note, self._run.user, self._run.thread, text)
        return note

    async def count_messages(self, part: str) -> int:
        """How many messages of the run's thread hold this text."""
        transaction = await self.transaction()
        [(count,)] = await transaction.fetch(_COUNT_MESSAGES, self._run.thread, part)
        return int(count)


def new_call(use: ToolUse) -> Call:
    """A call with an id that no other has."""
    return Call(f"call_{uuid4().hex}", use)
