"""A run is cancelled, suspended and resumed by others: its work ends, and is done once."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from labkit.errors import Denied, Rejected
from labkit.faults.processes import victim
from labkit.ids import ExecutionID
from labkit.reference.execution.executions import Run
from labkit.services.endpoints import Lease
from labkit.services.handover import lease_to_json
from labkit.targets.pipeline import ExecutionState
from tests.reference.stage import asynchronous, new_user
from tests.reference.works import (
    NOTES,
    STATES,
    HoldingAgent,
    Place,
    Works,
    dangling,
    held,
    judged,
    kinds,
    rows,
    until,
    works,
)


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
