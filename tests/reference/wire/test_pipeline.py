"""Runs that are bound to their caller, and what is stored of them."""

from __future__ import annotations

import pytest

from labkit.errors import Denied, Rejected
from labkit.events import CRITICAL, Event, EventType
from labkit.reference import InKernel, Parts
from labkit.reference.execution.agents import Agent, Agents
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState, Role
from tests.reference.stage import asynchronous, new_user
from tests.reference.works import HoldingAgent


async def run(target: InKernel, user: str, thread: str, text: str) -> list[Event]:
    """All events of a run."""
    return [event async for event in target.pipeline.run(user, thread, text)]


@asynchronous
async def test_a_run_tells_all_that_it_does_and_is_stored(installed: Lease) -> None:
    """The five kinds come in order, from `seq` 0 on; the run is completed, its messages there."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        events = await run(target, user, thread, "lookup the weather")
        assert tuple(dict.fromkeys(event.type for event in events)) == CRITICAL
        assert [event.seq for event in events] == list(range(len(events)))
        [stored] = await target.pipeline.runs(user, thread)
        assert (stored.run, stored.state) == (events[0].run, ExecutionState.COMPLETED)
        roles = [message.role for message in await target.pipeline.history(user, thread)]
        assert roles == [Role.USER, Role.TOOL_CALL, Role.TOOL_RESULT, Role.ASSISTANT]


@asynchronous
async def test_another_agent_can_be_named_and_an_unknown_one_fails_the_run(
    installed: Lease,
) -> None:
    """The run is told to have failed, and of what."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        usual = target.pipeline.run(user, thread, "hello", agent="scripted")
        assert [event async for event in usual][-1].type is EventType.AGENT_COMPLETED
        unknown = target.pipeline.run(user, thread, "hello", agent="nobody")
        assert [event async for event in unknown][-1].type is EventType.AGENT_FAILED
        assert "nobody" in (await target.pipeline.runs(user, thread))[-1].error


@asynchronous
async def test_what_may_not_run_is_refused_and_not_stored(installed: Lease) -> None:
    """Another's thread is denied, an empty text rejected."""
    async with InKernel(installed) as target:
        user, other = await new_user(target.data), await new_user(target.data)
        thread = await target.data.create_thread(other, "not mine")
        with pytest.raises(Denied, match="has no thread"):
            await run(target, user, thread, "hello")
        with pytest.raises(Rejected):
            await run(target, other, thread, "")
        assert await target.pipeline.runs(other, thread) == []
        with pytest.raises(Denied):
            await target.pipeline.runs(user, thread)
        with pytest.raises(Denied):
            await target.pipeline.history(user, thread)


@asynchronous
async def test_who_stops_iterating_does_not_end_the_run(installed: Lease) -> None:
    """It goes on, and its end can be read."""
    async with InKernel(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        started = await anext(target.pipeline.run(user, thread, "slow 0.3"))
        assert started.run is not None
        told = [event async for event in target.notifications.attach(user, started.run)]
        assert told[0] == started
        assert told[-1].type is EventType.AGENT_COMPLETED


@asynchronous
async def test_a_suspended_run_goes_on_elsewhere(installed: Lease) -> None:
    """A server that stops suspends its runs; another tells what follows, and nothing again."""
    agent = HoldingAgent()

    class Held(Agents):
        """Whoever is named, it is this one."""

        def find(self, _name: str) -> Agent:
            """The one that can be held."""
            return agent

    class Target(InKernel):
        """A platform whose runs wait in the middle of a tool."""

        parts = Parts(agents=Held)

    before: list[Event] = []
    async with Target(installed) as target:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        async for event in target.pipeline.run(user, thread, "go"):
            before.append(event)
            if event.type is EventType.TOOL_EXECUTING:
                break
    run = before[0].run
    assert run is not None
    async with Target(installed) as other:
        [stored] = await other.pipeline.runs(user, thread)
        assert stored.state is ExecutionState.SUSPENDED
        agent.go.set()
        after = [event async for event in other.pipeline.resume(user, run)]
        assert [event.seq for event in before + after] == list(range(len(before + after)))
        assert after[-1].type is EventType.AGENT_COMPLETED


@asynchronous
async def test_only_what_stands_still_can_be_resumed_and_only_by_its_user(
    installed: Lease,
) -> None:
    """A run that is over is rejected, another's is denied like none at all."""
    async with InKernel(installed) as target:
        user, other = await new_user(target.data), await new_user(target.data)
        thread = await target.data.create_thread(user, "mine")
        [*_, end] = await run(target, user, thread, "hello")
        assert end.run is not None
        with pytest.raises(Rejected, match="completed"):
            await anext(target.pipeline.resume(user, end.run))
        with pytest.raises(Denied) as denied:
            await anext(target.pipeline.resume(other, end.run))
        with pytest.raises(Denied) as unknown:
            await anext(target.pipeline.resume(other, "run_unknown"))
        assert str(denied.value).replace(end.run, "run_unknown") == str(unknown.value)
