"""What a run does, step by step; each step is one short transaction with the event that tells it.

A step takes the event's number from the execution's row, which stays locked until the step is done.
It is refused with `RunLost` when the run has been cancelled, or taken over by another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from labkit.events import Event, EventType
from labkit.json_values import JsonValue
from labkit.reference.clock import Clock
from labkit.reference.data.history import model_input
from labkit.reference.data.outbox import Outbox
from labkit.reference.data.stages import Stages
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.agents import Answer, Prompt, Tool, ToolUse
from labkit.reference.execution.executions import Executions, Run, RunLost
from labkit.reference.execution.tool_calls import Call, ThreadDesk, ToolCalls, new_call
from labkit.targets.pipeline import ExecutionState, Role

_LONGEST_ERROR: Final = 2_000
"""How many characters of an error's text are kept."""


@dataclass(frozen=True)
class Records:
    """Where the steps of runs are written down, and by which clock."""

    executions: Executions
    outbox: Outbox
    tool_calls: ToolCalls
    stages: Stages
    clock: Clock


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run, or a tool call, has failed, as it is stored and told."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What an error says, as text that the database can hold."""
        text = str(error).replace("\0", "\N{REPLACEMENT CHARACTER}")[:_LONGEST_ERROR]
        return cls(type(error).__name__, text.encode("utf-8", "replace").decode())

    def to_json(self) -> dict[str, JsonValue]:
        """The data of an event that tells it."""
        return {"kind": self.kind, "text": self.text}


class Turns:
    """The steps of runs that the process with the key `owner` works on."""

    def __init__(self, store: Store, records: Records, owner: int) -> None:
        self._store = store
        self._records = records
        self._owner = owner

    async def begin(self, run: Run) -> None:
        """From created to active: `agent_started`; `RunLost` when it is no longer created."""
        async with self._store.transaction(run.user) as transaction:
            locked = await self._records.executions.lock(transaction, run.id)
            if locked.state is not ExecutionState.CREATED:
                raise RunLost(f"run {run.id!r} is {locked.state} already")
            await self._records.executions.begin(transaction, run.id, self._owner)
            await self.tell_start(transaction, run, self._owner)

    async def tell_start(self, transaction: UserTransaction, run: Run, owner: int | None) -> None:
        """The first event of a run: `agent_started`."""
        seq = await self._records.executions.next_seq(transaction, run.id, owner)
        event = self._event(run, seq, EventType.AGENT_STARTED, {"agent": run.agent})
        await self._records.outbox.append(transaction, event)

    async def think(self, run: Run) -> None:
        """The model is asked: `agent_thinking`."""
        async with self._store.transaction(run.user) as transaction:
            await self._tell(transaction, run, EventType.AGENT_THINKING)

    async def prompt(self, run: Run, results: Sequence[str]) -> Prompt:
        """What the model is given: the run's thread as it now stands."""
        async with self._store.transaction(run.user) as transaction:
            return Prompt(run.text, await model_input(transaction, run.thread), tuple(results))

    async def announce(self, run: Run, use: ToolUse) -> Call:
        """A tool is called: `tool_executing`."""
        call = new_call(use)
        async with self._store.transaction(run.user) as transaction:
            data: dict[str, JsonValue] = {"name": use.name, "argument": use.argument}
            await self._tell(
                transaction, run, EventType.TOOL_EXECUTING, data, call=call, tokens=use.tokens
            )
            await self._records.tool_calls.open(transaction, run, call)
        return call

    async def call(self, run: Run, call: Call, tool: Tool) -> str:
        """The tool's work and `tool_completed`; nothing of it stands when the tool raises."""
        async with AsyncExitStack() as stack:

            async def begin() -> UserTransaction:
                return await stack.enter_async_context(self._store.transaction(run.user))

            desk = ThreadDesk(run, begin)
            result = await tool(desk, call.use.argument)
            transaction = await desk.transaction()
            data: dict[str, JsonValue] = {"name": call.use.name, "result": result}
            await self._tell(transaction, run, EventType.TOOL_COMPLETED, data, call=call)
            await self._say_call(transaction, run, call)
            await self._say_result(transaction, run, call, result)
            await self._records.tool_calls.complete(transaction, call, result)
        return result

    async def finish(self, run: Run, answer: Answer) -> None:
        """The answer is stored and the run completed: `agent_completed`."""
        executions, output = self._records.executions, {"text": answer.text}
        async with self._store.transaction(run.user) as transaction:
            seq = await executions.next_seq(transaction, run.id, self._owner, answer.tokens)
            await self._reached(transaction, run, "executed")
            message = await transaction.add_message(run.thread, answer.text, role=Role.ASSISTANT)
            await self._reached(transaction, run, "answered")
            await executions.finish(transaction, run.id, message, output)
            figures = await executions.figures(transaction, run.id)
            data: dict[str, JsonValue] = {
                "output": dict(output),
                "tool_calls": figures.tool_calls,
                "tokens": figures.tokens,
                "duration_s": figures.duration_s,
            }
            event = self._event(run, seq, EventType.AGENT_COMPLETED, data)
            await self._records.outbox.append(transaction, event, message=run.request)

    async def fail(self, run: Run, error: Exception) -> None:
        """The run has failed: `agent_failed`, after a `tool_failed` for what was under way."""
        failure = Failure.of(error)
        async with self._store.transaction(run.user) as transaction:
            await self.end_early(transaction, run, failure, self._owner)
            await self._records.executions.fail(transaction, run.id, failure.kind, failure.text)

    async def end_early(
        self, transaction: UserTransaction, run: Run, failure: Failure, owner: int | None
    ) -> None:
        """The last events of a run that gives no answer; no call stays without a result."""
        for call in await self._records.tool_calls.unfinished(transaction, run):
            await self._fail_call(transaction, run, call, failure, owner)
        seq = await self._records.executions.next_seq(transaction, run.id, owner)
        await self._reached(transaction, run, "executed")
        event = self._event(run, seq, EventType.AGENT_FAILED, failure.to_json())
        await self._records.outbox.append(transaction, event, message=run.request)

    async def progress(self, run: Run) -> tuple[Sequence[str], Sequence[Call]]:
        """How far a run has come: the results of its calls, and the calls without one."""
        async with self._store.transaction(run.user) as transaction:
            results = await self._records.tool_calls.results(transaction, run)
            return results, await self._records.tool_calls.unfinished(transaction, run)

    async def _fail_call(
        self,
        transaction: UserTransaction,
        run: Run,
        call: Call,
        failure: Failure,
        owner: int | None,
    ) -> None:
        text = f"error: {failure.kind}: {failure.text}"
        seq = await self._records.executions.next_seq(transaction, run.id, owner)
        event = self._event(run, seq, EventType.TOOL_FAILED, failure.to_json(), call)
        await self._records.outbox.append(transaction, event)
        await self._say_call(transaction, run, call)
        await self._say_failure(transaction, run, call, text)
        await self._records.tool_calls.fail(transaction, call, text)

    async def _say_call(self, transaction: UserTransaction, run: Run, call: Call) -> None:
        text = f"{call.use.name} {call.use.argument}".rstrip()
        await transaction.add_message(run.thread, text, role=Role.TOOL_CALL, call=call.id)

    async def _say_result(
        self, transaction: UserTransaction, run: Run, call: Call, text: str
    ) -> None:
        await transaction.add_message(run.thread, text, role=Role.TOOL_RESULT, call=call.id)

    async def _say_failure(
        self, transaction: UserTransaction, run: Run, call: Call, text: str
    ) -> None:
        """A call that failed has a result too: models refuse a thread with an open call."""
        await self._say_result(transaction, run, call, text)

    async def _tell(
        self,
        transaction: UserTransaction,
        run: Run,
        kind: EventType,
        data: Mapping[str, JsonValue] | None = None,
        *,
        call: Call | None = None,
        tokens: int = 0,
    ) -> None:
        seq = await self._records.executions.next_seq(transaction, run.id, self._owner, tokens)
        event = self._event(run, seq, kind, data or {}, call)
        await self._records.outbox.append(transaction, event)

    def _event(
        self,
        run: Run,
        seq: int,
        kind: EventType,
        data: Mapping[str, JsonValue],
        call: Call | None = None,
    ) -> Event:
        return Event(
            type=kind,
            user=run.user,
            ts=self._records.clock(),
            seq=seq,
            thread=run.thread,
            run=run.id,
            request=run.request,
            call=call.id if call else None,
            data=data,
        )

    async def _reached(self, transaction: UserTransaction, run: Run, stage: str) -> None:
        if run.request is not None:
            await self._records.stages.reached(transaction, run.request, stage)
