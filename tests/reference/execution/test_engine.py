"""The engine: runs that end as they should, and leave no half of anything behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest

from labkit.errors import Rejected
from labkit.events import CRITICAL, Event
from labkit.reference.execution.agents import Answer, Desk, Prompt, Tool, ToolUse
from labkit.reference.execution.executions import Run
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState, Role
from tests.reference.stage import asynchronous, witness
from tests.reference.works import (
    CALLS,
    NOTES,
    STATES,
    dangling,
    held,
    judged,
    kinds,
    rows,
    until,
    works,
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
