"""Runs agents in the background of a server process; no connection of a client keeps them alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from labkit.errors import Rejected, ServiceUnavailable
from labkit.reference.data.pool import FAILURES
from labkit.reference.execution.agents import Agent, Agents, Answer, UnknownTool
from labkit.reference.execution.executions import Run, RunLost
from labkit.reference.execution.interventions import Interventions
from labkit.reference.execution.tool_calls import Call
from labkit.reference.execution.turns import Turns

Work: TypeAlias = Callable[[Run], Awaitable[None]]
"""What is done for a run."""

_MOST_TURNS: Final = 20
"""How often an agent may be asked for one run."""

_PAUSES_S: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Between tries to store that a run has failed, in seconds."""

_log: Final = logging.getLogger(__name__)


class TooManyTurns(RuntimeError):
    """An agent calls tools again and again and gives no answer."""


class Engine:
    """Owns the runs that this process works on, each in a task of its own."""

    def __init__(self, turns: Turns, interventions: Interventions, agents: Agents) -> None:
        self._turns = turns
        self._interventions = interventions
        self._agents = agents
        self._tasks: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._resuming = asyncio.Lock()
        self._is_closing = False

    @property
    def running(self) -> int:
        """How many runs this process works on."""
        return len(self._tasks)

    @property
    def is_closing(self) -> bool:
        """Whether it takes no more runs."""
        return self._is_closing

    def start(self, run: Run) -> None:
        """Work on a run that is stored as created, in the background.

        Harmless when its user has had it resumed here meanwhile.
        """
        if run.id not in self._tasks:
            self._spawn(run, self._work_from_the_start)

    async def cancel(self, user: str, run: str) -> None:
        """End a run early, whichever process works on it.

        Raises `Denied` when the run is not the user's, `Rejected` when it has ended already.
        """
        await self._interventions.cancel(user, run)
        await self._drop(run)

    async def resume(self, user: str, run: str) -> None:
        """Go on with a suspended run, or one whose process is gone, in the background.

        Raises `Denied` when the run is not the user's, `Rejected` when it cannot go on.
        """
        self._refuse_when_closing()
        async with self._resuming:  # so that each sees what the one before has begun to work on
            taken = await self._interventions.take_over(
                user, run, is_mine_lost=lambda: run not in self._tasks
            )
            await self._drop(run)
            self._spawn(taken, self._go_on)

    async def close(self) -> None:
        """Suspend what still runs, so that another process can go on with it."""
        self._is_closing = True
        working = list(self._tasks.values())
        for _, task in working:
            task.cancel()
        if working:
            await asyncio.wait([task for _, task in working])
        for run, _ in working:
            await self._suspend(run)

    def _refuse_when_closing(self) -> None:
        if self._is_closing:
            raise Rejected("this process is stopping and takes no more runs: ask another one")

    async def _drop(self, run: str) -> None:
        """End the work on a run that is no longer this work's own."""
        if run in self._tasks:
            _, task = self._tasks[run]
            task.cancel()
            await asyncio.wait([task])

    def _spawn(self, run: Run, work: Work) -> None:
        if self._is_closing:
            _log.info("run %s is left to another process: this one is stopping", run.id)
            return
        task = self._task(run, work)
        self._tasks[run.id] = (run, task)
        task.add_done_callback(lambda _: self._tasks.pop(run.id, None))

    def _task(self, run: Run, work: Work) -> asyncio.Task[None]:
        return asyncio.create_task(self._guard(run, work), name=f"run {run.id}")

    async def _guard(self, run: Run, work: Work) -> None:
        """The work, with a good end for whatever it raises."""
        try:
            await work(run)
        except RunLost as lost:
            _log.info("%s: its work is left", lost)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run failed of it
            _log.warning("run %s failed: %s", run.id, type(error).__name__)
            await self._fail(run, error)

    async def _fail(self, run: Run, error: Exception) -> None:
        """Store the failure, and try again while the database is away."""
        for pause_s in _PAUSES_S:
            try:
                await self._turns.fail(run, error)
            except RunLost as lost:
                _log.info("%s: its failure is not told", lost)
            except (ServiceUnavailable, *FAILURES) as trouble:
                kind = type(trouble).__name__
                _log.warning("the failure of run %s cannot be stored yet: %s", run.id, kind)
                await asyncio.sleep(pause_s)
                continue
            return
        _log.error("the failure of run %s is not stored: resume it or cancel it", run.id)

    async def _suspend(self, run: Run) -> None:
        try:
            await self._interventions.suspend(run)
        except RunLost:
            _log.info("run %s ended before it could be suspended", run.id)
        except (ServiceUnavailable, *FAILURES) as trouble:
            _log.warning("run %s is left active without its owner: %s", run.id, trouble)

    async def _work_from_the_start(self, run: Run) -> None:
        await self._turns.begin(run)
        await self._work(run, self._agents.find(run.agent), [])

    async def _go_on(self, run: Run) -> None:
        """From where a run was left: first the calls that were under way, once more."""
        agent = self._agents.find(run.agent)
        results, unfinished = await self._turns.progress(run)
        again = [await self._call(run, agent, call) for call in unfinished]
        await self._work(run, agent, [*results, *again])

    async def _work(self, run: Run, agent: Agent, results: list[str]) -> None:
        for _ in range(_MOST_TURNS):
            await self._turns.think(run)
            decision = await agent.decide(await self._turns.prompt(run, results))
            if isinstance(decision, Answer):
                await self._turns.finish(run, decision)
                return
            call = await self._turns.announce(run, decision)
            results.append(await self._call(run, agent, call))
        raise TooManyTurns(f"agent {run.agent!r} gave no answer in {_MOST_TURNS} turns")

    async def _call(self, run: Run, agent: Agent, call: Call) -> str:
        try:
            tool = agent.tools[call.use.name]
        except KeyError:
            raise UnknownTool(f"agent {run.agent!r} has no tool {call.use.name!r}") from None
        return await self._turns.call(run, call, tool)
