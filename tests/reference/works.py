"""What the tests of runs share: a workshop at work, an agent that can be held, what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

from labkit.events import Event, event_from_json
from labkit.judges.events import ExpectedRun, judge_run
from labkit.reference import Platform
from labkit.reference.data.history import History
from labkit.reference.data.store import Store
from labkit.reference.execution.agents import Answer, Desk, Prompt, Tool, ToolUse
from labkit.reference.routing.intake import Accepted, Incoming
from labkit.reference.workshop import Workshop, WorkshopParts
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState, RunView
from tests.reference.stage import new_user, witness

_T = TypeVar("_T")

NOTES = "select text from notes where user_id = $1 order by position"
CALLS = "select name, argument, status from tool_calls where execution_id = $1"
STATES = "select state from execution_states where execution_id = $1 order by position"


@dataclass(frozen=True)
class Place:
    """A user with a thread."""

    user: str
    thread: str


@dataclass(frozen=True)
class Works:
    """A workshop at work on a store."""

    data: Store
    workshop: Workshop
    history: History

    async def place(self) -> Place:
        """A new user with a thread."""
        user = await new_user(self.data)
        return Place(user, await self.data.create_thread(user, "talk"))

    async def send(
        self, place: Place, text: str, *, message: str | None = None, agent: str | None = None
    ) -> Accepted:
        """Hand in a message, with an id of its own unless one is given."""
        incoming = Incoming(place.user, place.thread, text, message or uuid4().hex, agent)
        return await self.workshop.intake.accept(incoming)

    async def ended(self, place: Place, run: str) -> RunView:
        """The run, once it has ended."""
        return await until(lambda: self._view_at(place, run, lambda state: state.is_end))

    async def at(self, place: Place, run: str) -> ExecutionState:
        """The state that the run is in."""
        return (await self._view_at(place, run, lambda _: True) or none()).state

    async def quiet(self) -> None:
        """Wait until this workshop has no work left."""

        async def look() -> bool | None:
            return None if self.workshop.engine.running else True

        await until(look)

    async def run(self, place: Place, text: str, *, agent: str | None = None) -> RunView:
        """Hand in a message, and wait for the end of its run."""
        accepted = await self.send(place, text, agent=agent)
        return await self.ended(place, accepted.run)

    async def _view_at(
        self, place: Place, run: str, is_there: Callable[[ExecutionState], bool]
    ) -> RunView | None:
        views = {view.run: view for view in await self.history.runs(place.user, place.thread)}
        return views[run] if is_there(views[run].state) else None


def none() -> RunView:
    """For what cannot be missing."""
    raise AssertionError("there is no such run")


@asynccontextmanager
async def works(lease: Lease, parts: WorkshopParts | None = None) -> AsyncIterator[Works]:
    """A platform's store with a workshop of its own, for the block."""
    async with (
        Platform(lease) as target,
        Workshop(target.data, lease.platform_url, parts) as workshop,
    ):
        yield Works(target.data, workshop, History(target.data))


async def until(look: Callable[[], Awaitable[_T | None]]) -> _T:
    """What is seen as soon as something is; bounded by the test's own deadline."""
    while True:
        if (seen := await look()) is not None:
            return seen
        await asyncio.sleep(0.01)


async def events(lease: Lease, run: str) -> list[Event]:
    """The events of a run that wait in the outbox, in order."""
    async with witness(lease) as owner:
        rows = await owner.fetch(
            "select event::text from outbox where run_id = $1 order by position", run
        )
    return [event_from_json(json.loads(row["event"])) for row in rows]


def kinds(told: list[Event]) -> list[str]:
    """The kinds of events, in their order."""
    return [event.type.value for event in told]


async def judged(lease: Lease, place: Place, run: str, *, continued: bool = False) -> list[Event]:
    """The events of a run, which are in order, without a gap, and about this run alone."""
    told = await events(lease, run)
    expected = ExpectedRun(place.user, place.thread, run, continued=continued)
    assert judge_run(expected, told).valid, judge_run(expected, told)
    return told


async def rows(lease: Lease, sql: str, *arguments: object) -> list[tuple[object, ...]]:
    """What the owner of the tables sees."""
    async with witness(lease) as owner:
        return [tuple(row) for row in await owner.fetch(sql, *arguments)]


async def dangling(lease: Lease, place: Place) -> list[tuple[object, ...]]:
    """Tool calls in the thread's history that have no result."""
    return await rows(
        lease,
        "select call_id from messages where thread_id = $1 and call_id is not null"
        " group by call_id having array_agg(role order by position)"
        " <> array['tool_call', 'tool_result']",
        place.thread,
    )


class HoldingAgent:
    """Its tool writes a note and says so; then it waits until it is let go."""

    def __init__(self) -> None:
        self.is_held = asyncio.Event()
        self.go = asyncio.Event()

    @property
    def tools(self) -> Mapping[str, Tool]:
        """One that can be held."""
        return {"hold": self._hold}

    async def decide(self, prompt: Prompt) -> ToolUse | Answer:
        """To call the tool once."""
        return Answer(f"done: {prompt.results[0]}", 1) if prompt.results else ToolUse("hold", "", 1)

    async def _hold(self, desk: Desk, _argument: str) -> str:
        await desk.write_note("held")
        self.is_held.set()
        await self.go.wait()
        return "let go"


async def held(at_work: Works) -> tuple[HoldingAgent, Place, str]:
    """A run that is held in the middle of a tool, which has written."""
    agent = HoldingAgent()
    at_work.workshop.agents.register("holding", agent)
    place = await at_work.place()
    accepted = await at_work.send(place, "go", agent="holding")
    await agent.is_held.wait()
    return agent, place, accepted.run
