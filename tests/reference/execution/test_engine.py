"""The engine: runs that end as they should, and leave no half of anything behind."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest

from labkit.errors import Denied, Rejected
from labkit.events import CRITICAL, Event
from labkit.faults.processes import victim
from labkit.ids import ExecutionID
from labkit.judges.events import ExpectedRun, judge_run
from labkit.reference.execution.agents import Answer, Desk, Prompt, Tool, ToolUse
from labkit.reference.execution.executions import Run
from labkit.services.endpoints import Lease
from labkit.services.handover import lease_to_json
from labkit.targets.pipeline import ExecutionState, Role
from tests.reference.stage import asynchronous, new_user, witness
from tests.reference.works import HoldingAgent, Place, Works, events, held, rows, until, works

NOTES = "select text from notes where user_id = $1 order by position"
CALLS = "select name, argument, status from tool_calls where execution_id = $1"
STATES = "select state from execution_states where execution_id = $1 order by position"


def kinds(told: list[Event]) -> list[str]:
    """The kinds of events, in their order."""
    return [event.type.value for event in told]


async def judged(lease: Lease, place: Place, run: str, *, continued: bool = False) -> list[Event]:
    """The events of a run, which are in order, without a gap, and about this run alone."""
    told = await events(lease, run)
    expected = ExpectedRun(place.user, place.thread, run, continued=continued)
    assert judge_run(expected, told).valid, judge_run(expected, told)
    return told


async def dangling(lease: Lease, place: Place) -> list[tuple[object, ...]]:
    """Tool calls in the thread's history that have no result."""
    return await rows(
        lease,
        "select call_id from messages where thread_id = $1 and call_id is not null"
        " group by call_id having array_agg(role order by position)"
        " <> array['tool_call', 'tool_result']",
        place.thread,
    )


@asynchronous
async def test_a_lookup_shows_all_five_kinds_and_is_stored_whole(installed: Lease) -> None:
    """Events, states, the call, its note, messages and output tell of one run, and the same."""
    async with works(installed) as at_work:
        place = await at_work.place()
        view = await at_work.run(place, "lookup talk")
        told = await judged(installed, place, view.run)
        messages = await at_work.history.messages(place.user, place.thread)
    assert kinds(told) == [
        *("agent_started", "agent_thinking", "tool_executing", "tool_completed"),
        *("agent_thinking", "agent_completed"),
    ]
    assert set(CRITICAL) <= {event.type for event in told}
    assert view.state is ExecutionState.COMPLETED
    states = await rows(installed, STATES, view.run)
    assert states == [("created",), ("active",), ("completed",)]
    assert await rows(installed, CALLS, view.run) == [("lookup", "talk", "completed")]
    assert await rows(installed, NOTES, place.user) == [("looked up talk",)]
    roles = [Role.USER, Role.TOOL_CALL, Role.TOOL_RESULT, Role.ASSISTANT]
    assert [message.role for message in messages] == roles
    await assert_row_equals_event(installed, view.run, told[-1], messages[-1].id)


async def assert_row_equals_event(lease: Lease, run: str, end: Event, answer: str) -> None:
    """What the row of a completed run says is what its last event said."""
    [(message, output, duration_s, tool_calls, tokens)] = await rows(
        lease,
        "select message_id, output::text, duration_s, tool_calls, tokens"
        " from executions where id = $1",
        run,
    )
    assert message == answer
    assert dict(end.data) == {
        "output": json.loads(str(output)),
        "duration_s": duration_s,
        "tool_calls": tool_calls,
        "tokens": tokens,
    }
    assert tool_calls == 1


@asynchronous
async def test_a_tool_that_raises_leaves_nothing_but_its_error(installed: Lease) -> None:
    """Its note is rolled back, its call has a result, and the thread can be used again."""
    async with works(installed) as at_work:
        place = await at_work.place()
        view = await at_work.run(place, "explode now")
        told = await judged(installed, place, view.run)
        after = await at_work.run(place, "lookup now")
        messages = await at_work.history.messages(place.user, place.thread)
    assert kinds(told)[-3:] == ["tool_executing", "tool_failed", "agent_failed"]
    failure = {"kind": "ToolExploded", "text": "the tool exploded over 'now'"}
    assert [dict(event.data) for event in told[-2:]] == [failure, failure]
    assert view.error == f"{failure['kind']}: {failure['text']}"
    assert view.state is ExecutionState.FAILED
    assert await rows(installed, NOTES, place.user) == [("looked up now",)]
    assert await rows(installed, CALLS, view.run) == [("explode", "now", "failed")]
    assert await dangling(installed, place) == []
    assert messages[2].text == f"error: {view.error}"
    assert after.state is ExecutionState.COMPLETED


@pytest.mark.parametrize(
    ("text", "agent", "error", "last"),
    [
        ("modeldown", None, "ModelDown: the model is down", "agent_thinking"),
        ("hello", "nobody", "UnknownAgent: there is no agent 'nobody'", "agent_started"),
        ("slow 31", None, "ValueError: slow takes 0 to 30 seconds, not '31'", "tool_failed"),
        ("slow nan", None, "ValueError: slow takes 0 to 30 seconds, not 'nan'", "tool_failed"),
        ("hello", "tools", "UnknownTool: agent 'tools' has no tool 'no'", "tool_failed"),
    ],
)
@asynchronous
async def test_a_run_that_cannot_go_on_fails_of_its_own_error(
    installed: Lease, text: str, agent: str | None, error: str, last: str
) -> None:
    """Kind and text stand in the row and in the last event; the next run on the thread works."""
    async with works(installed) as at_work:
        at_work.workshop.agents.register("tools", Wishing("no"))
        place = await at_work.place()
        view = await at_work.run(place, text, agent=agent)
        told = await judged(installed, place, view.run)
        after = await at_work.run(place, "hello")
    assert (view.state, view.error) == (ExecutionState.FAILED, error)
    assert kinds(told)[-2:] == [last, "agent_failed"]
    assert f"{told[-1].data['kind']}: {told[-1].data['text']}" == error
    assert await dangling(installed, place) == []
    assert after.state is ExecutionState.COMPLETED


class Wishing:
    """An agent that always wants to call the same tool."""

    def __init__(self, wish: str) -> None:
        self._wish = wish

    @property
    def tools(self) -> Mapping[str, Tool]:
        """One that does nothing."""
        return {"idle": idle}

    async def decide(self, _prompt: Prompt) -> ToolUse | Answer:
        """To call it."""
        return ToolUse(self._wish, "", 1)


async def idle(_desk: Desk, _argument: str) -> str:
    """A tool that does nothing."""
    return "\N{SNOWMAN}"


@asynchronous
async def test_an_agent_without_an_answer_is_stopped(installed: Lease) -> None:
    """After twenty turns a run fails, with all its calls stored and none of them open."""
    async with works(installed) as at_work:
        at_work.workshop.agents.register("endless", Wishing("idle"))
        place = await at_work.place()
        view = await at_work.run(place, "go", agent="endless")
        await judged(installed, place, view.run)
    assert view.error.startswith("TooManyTurns")
    assert len(await rows(installed, CALLS, view.run)) == 20
    assert await dangling(installed, place) == []


@asynchronous
async def test_recall_answers_with_what_the_model_was_given(installed: Lease) -> None:
    """That is the thread up to the question, and nothing of any other thread or user."""
    async with works(installed) as at_work:
        stranger, place = await at_work.place(), await at_work.place()
        await at_work.run(stranger, "a stranger's word")
        await at_work.run(place, "hello")
        await at_work.run(place, "recall")
        messages = await at_work.history.messages(place.user, place.thread)
    assert messages[-1].text == "user: hello\nassistant: You said: hello\nuser: recall"


@asynchronous
async def test_runs_at_once_on_one_thread_keep_their_messages(installed: Lease) -> None:
    """Of ten runs each has its question, call, result and answer in the history."""
    async with works(installed) as at_work:
        place = await at_work.place()
        sent = [await at_work.send(place, f"lookup {number}") for number in range(10)]
        for accepted in sent:
            assert (await at_work.ended(place, accepted.run)).state is ExecutionState.COMPLETED
            await judged(installed, place, accepted.run)
        messages = await at_work.history.messages(place.user, place.thread)
    told = [message.role for message in messages]
    assert {role: told.count(role) for role in Role} == dict.fromkeys(Role, 10)
    asked = {message.text for message in messages if message.role is Role.USER}
    assert asked == {f"lookup {number}" for number in range(10)}
    assert await dangling(installed, place) == []


@asynchronous
async def test_a_run_is_cancelled_in_the_middle_of_a_tool(installed: Lease) -> None:
    """What the tool wrote is rolled back, its call is closed, and nothing runs any more."""
    async with works(installed) as at_work:
        _, place, run = await held(at_work)
        await at_work.workshop.engine.cancel(place.user, run)
        assert at_work.workshop.engine.running == 0
        told = await judged(installed, place, run)
        assert await at_work.at(place, run) is ExecutionState.CANCELLED
        with pytest.raises(Rejected, match="it is cancelled"):
            await at_work.workshop.engine.cancel(place.user, run)
        after = await at_work.run(place, "lookup this")
    assert kinds(told)[-2:] == ["tool_failed", "agent_failed"]
    assert told[-1].data["kind"] == "Cancelled"
    assert await rows(installed, NOTES, place.user) == [("looked up this",)]
    assert await dangling(installed, place) == []
    assert after.state is ExecutionState.COMPLETED


@asynchronous
async def test_a_run_that_another_process_works_on_is_cancelled(installed: Lease) -> None:
    """Who works on it learns of it with the next step, which is undone, and tells nothing more."""
    async with works(installed) as here, works(installed) as there:
        agent, place, run = await held(there)
        await here.workshop.engine.cancel(place.user, run)
        agent.go.set()
        await there.quiet()
        told = await judged(installed, place, run)
        assert await here.at(place, run) is ExecutionState.CANCELLED
    assert told[-1].data["kind"] == "Cancelled"
    assert await rows(installed, NOTES, place.user) == []
    assert await dangling(installed, place) == []


@asynchronous
async def test_a_failure_is_stored_once_the_database_is_back(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that fails of a lost connection while nobody can connect is failed afterwards."""
    async with works(installed) as at_work, witness(installed) as owner:
        agent, place, run = await held(at_work)
        async with closed_to_all(owner, installed):
            agent.go.set()

            async def told() -> bool | None:
                return "cannot be stored yet" in caplog.text or None

            assert await until(told)
        view = await at_work.ended(place, run)
        told_of = await judged(installed, place, run)
    assert view.state is ExecutionState.FAILED
    assert kinds(told_of)[-2:] == ["tool_failed", "agent_failed"]
    assert await rows(installed, NOTES, place.user) == []
    assert await dangling(installed, place) == []


@asynccontextmanager
async def closed_to_all(
    owner: asyncpg.Connection[asyncpg.Record], lease: Lease
) -> AsyncIterator[None]:
    """The database ends the platform's connections, and takes no new ones in the block."""
    limit = f"alter database {lease.database} connection limit"
    await owner.execute(f"{limit} 0")
    try:
        await owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1",
            lease.platform_role,
        )
        yield
    finally:
        await owner.execute(f"{limit} -1")


@asynchronous
async def test_a_run_is_cancelled_before_it_begins(installed: Lease) -> None:
    """It was only stored: it tells its start and its end, so that nobody waits for either."""
    async with works(installed) as at_work:
        place = await at_work.place()
        run = await at_work.workshop.executions.create(place.user, place.thread)
        await at_work.workshop.engine.cancel(place.user, run)
        told = await judged(installed, place, run)
    assert kinds(told) == ["agent_started", "agent_failed"]


@asynchronous
async def test_nobody_cancels_or_resumes_anothers_run(installed: Lease) -> None:
    """It is refused in the same words as a run that does not exist, and goes on."""
    async with works(installed) as at_work:
        agent, place, run = await held(at_work)
        stranger = await new_user(at_work.data)
        engine = at_work.workshop.engine
        for act in (engine.cancel, engine.resume):
            with pytest.raises(Denied) as foreign:
                await act(stranger, run)
            with pytest.raises(Denied) as absent:
                await act(stranger, run[::-1])
            assert str(foreign.value).replace(run, run[::-1]) == str(absent.value)
        agent.go.set()
        assert (await at_work.ended(place, run)).state is ExecutionState.COMPLETED


@asynchronous
async def test_a_closing_engine_suspends_and_another_goes_on(installed: Lease) -> None:
    """The tool's writes are undone and done again; the events go on where they stopped."""
    async with works(installed) as second:
        async with works(installed) as first:
            _, place, run = await held(first)
        assert await second.at(place, run) is ExecutionState.SUSPENDED
        assert await rows(installed, NOTES, place.user) == []
        agent = HoldingAgent()
        agent.go.set()
        second.workshop.agents.register("holding", agent)
        await second.workshop.engine.resume(place.user, run)
        assert (await second.ended(place, run)).state is ExecutionState.COMPLETED
        told = await judged(installed, place, run)
    assert kinds(told).count("tool_executing") == 1
    assert await rows(installed, NOTES, place.user) == [("held",)]
    states = [state for (state,) in await rows(installed, STATES, run)]
    assert states == ["created", "active", "suspended", "active", "completed"]


@asynchronous
async def test_a_closing_engine_takes_nothing_on(installed: Lease) -> None:
    """Messages and runs to resume are refused, and nothing of them is stored."""
    async with works(installed) as at_work:
        place = await at_work.place()
        await at_work.workshop.engine.close()
        with pytest.raises(Rejected, match="stopping"):
            await at_work.send(place, "hello")
        with pytest.raises(Rejected, match="stopping"):
            await at_work.workshop.engine.resume(place.user, "any")
        assert await at_work.history.runs(place.user, place.thread) == []


@asynchronous
async def test_a_run_that_comes_while_the_engine_closes_is_left_to_another(
    installed: Lease,
) -> None:
    """Stored already and not begun: it stays created, and another process begins it."""
    async with works(installed) as second:
        async with works(installed) as first:
            place = await first.place()
            before = await first.send(place, "lookup before")
            closing = asyncio.create_task(first.workshop.engine.close())
            run = Run("late", place.user, place.thread, "lookup late", "scripted")
            async with first.data.transaction(place.user) as transaction:
                await first.workshop.executions.insert(transaction, run, owner=7)
            first.workshop.engine.start(run)
            await closing
            assert await first.at(place, run.id) is ExecutionState.CREATED
        for unfinished in (before.run, run.id):
            await second.workshop.engine.resume(place.user, unfinished)
            view = await second.ended(place, unfinished)
            assert view.state is ExecutionState.COMPLETED
            assert len(await judged(installed, place, unfinished)) == 6


@asynchronous
async def test_only_a_run_that_nobody_works_on_is_resumed(installed: Lease) -> None:
    """While it runs, here or elsewhere, and after its end: `Rejected`, and it is left alone."""
    async with works(installed) as here, works(installed) as there:
        agent, place, run = await held(there)
        for engine in (here.workshop.engine, there.workshop.engine):
            with pytest.raises(Rejected, match="is being worked on"):
                await engine.resume(place.user, run)
        agent.go.set()
        assert (await there.ended(place, run)).state is ExecutionState.COMPLETED
        with pytest.raises(Rejected, match="it is completed"):
            await here.workshop.engine.resume(place.user, run)
        await judged(installed, place, run)


@asynchronous
async def test_of_two_that_resume_a_run_one_goes_on_with_it(installed: Lease) -> None:
    """The other is refused, and everything is told once."""
    async with works(installed) as here, works(installed) as there:
        place = await here.place()
        run = await here.workshop.executions.create(place.user, place.thread)
        for state in (ExecutionState.ACTIVE, ExecutionState.SUSPENDED):
            await here.workshop.executions.move(place.user, run, state)
        results = await asyncio.gather(
            *(one.workshop.engine.resume(place.user, run) for one in (here, there)),
            return_exceptions=True,
        )
        assert (await here.ended(place, run)).state is ExecutionState.COMPLETED
        told = await judged(installed, place, run)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "Rejected"]
    assert kinds(told) == ["agent_started", "agent_thinking", "agent_completed"]


@asynchronous
async def test_of_those_that_resume_a_run_in_one_process_one_goes_on_with_it(
    installed: Lease,
) -> None:
    """The others are refused, also while the first is about to begin; everything is told once."""
    async with works(installed) as at_work:
        place = await at_work.place()
        run = await at_work.workshop.executions.create(place.user, place.thread)
        for state in (ExecutionState.ACTIVE, ExecutionState.SUSPENDED):
            await at_work.workshop.executions.move(place.user, run, state)
        results = await asyncio.gather(
            *(at_work.workshop.engine.resume(place.user, run) for _ in range(3)),
            return_exceptions=True,
        )
        assert (await at_work.ended(place, run)).state is ExecutionState.COMPLETED
        told = await judged(installed, place, run)
    outcomes = sorted(type(result).__name__ for result in results)
    assert outcomes == ["NoneType", "Rejected", "Rejected"]
    assert kinds(told) == ["agent_started", "agent_thinking", "agent_completed"]


@asynchronous
async def test_a_run_is_suspended_under_its_work_and_resumed(installed: Lease) -> None:
    """What worked on it is ended first: the tool's writes are there once."""
    async with works(installed) as at_work:
        agent, place, run = await held(at_work)
        await at_work.workshop.executions.move(place.user, run, ExecutionState.SUSPENDED)
        agent.is_held.clear()
        await at_work.workshop.engine.resume(place.user, run)
        await agent.is_held.wait()
        agent.go.set()
        assert (await at_work.ended(place, run)).state is ExecutionState.COMPLETED
        await at_work.quiet()
        told = await judged(installed, place, run)
    assert kinds(told).count("tool_completed") == 1
    assert await rows(installed, NOTES, place.user) == [("held",)]


@asynchronous
async def test_a_run_that_was_resumed_before_it_was_started_is_worked_on_once(
    installed: Lease,
) -> None:
    """Who sends a message again learns of its run before the first sender's process starts it."""
    async with works(installed) as at_work:
        place = await at_work.place()
        run = Run(ExecutionID.new(), place.user, place.thread, "hello", "")
        async with at_work.data.transaction(place.user) as transaction:
            await at_work.workshop.executions.insert(transaction, run, owner=None)
        await at_work.workshop.engine.resume(place.user, run.id)
        at_work.workshop.engine.start(run)
        assert at_work.workshop.engine.running == 1
        assert (await at_work.ended(place, run.id)).state is ExecutionState.COMPLETED
        await at_work.quiet()
        at_work.workshop.engine.start(run)
        await at_work.quiet()
        told = await judged(installed, place, run.id)
    assert kinds(told) == ["agent_started", "agent_thinking", "agent_completed"]


@asynchronous
async def test_what_a_user_wrote_is_not_logged_when_a_run_fails_of_it(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells the kind of the error; its text, which quotes the message, is stored alone."""
    async with works(installed) as at_work:
        place = await at_work.place()
        view = await at_work.run(place, "explode confidential")
        await at_work.quiet()
    assert "confidential" in view.error
    assert f"run {view.run} failed: ToolExploded" in caplog.text
    assert "confidential" not in caplog.text


WORKER = """
import asyncio, json, sys
from labkit.services.handover import lease_from_json
from tests.reference.works import held, works

async def main():
    async with works(lease_from_json(json.loads(sys.stdin.readline()))) as at_work:
        _, place, run = await held(at_work)
        print(json.dumps([place.user, place.thread, run]), flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@asynchronous
async def test_a_run_whose_process_was_killed_is_resumed(installed: Lease) -> None:
    """Killed in mid-tool: nothing of that stands, and another process finishes the run."""
    async with works(installed) as at_work:
        agent = HoldingAgent()
        agent.go.set()
        at_work.workshop.agents.register("holding", agent)
        async with victim([sys.executable, "-c", WORKER]) as worker:
            await worker.tell(json.dumps(lease_to_json(installed)))
            user, thread, run = json.loads(await worker.line(deadline_s=60))
            place = Place(user, thread)
            with pytest.raises(Rejected, match="is being worked on"):
                await at_work.workshop.engine.resume(user, run)
            assert await worker.kill() == -9
        await resumed(at_work, place, run)
        assert (await at_work.ended(place, run)).state is ExecutionState.COMPLETED
        told = await judged(installed, place, run)
    assert kinds(told).count("tool_executing") == 1
    assert await rows(installed, NOTES, place.user) == [("held",)]
    assert await dangling(installed, place) == []


async def resumed(at_work: Works, place: Place, run: str) -> None:
    """Resume a run as soon as the server has noticed that its process is gone."""

    async def attempt() -> bool | None:
        try:
            await at_work.workshop.engine.resume(place.user, run)
        except Rejected:
            return None
        return True

    await until(attempt)
