"""All that works on runs in one server process, put together and owned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from labkit.redaction import Secret
from labkit.reference.clock import Clock, SteadyClock
from labkit.reference.data.outbox import Outbox
from labkit.reference.data.stages import Stages
from labkit.reference.data.store import Store
from labkit.reference.execution.agents import USUAL, Agents, ScriptedAgent
from labkit.reference.execution.engine import Engine
from labkit.reference.execution.executions import Executions
from labkit.reference.execution.interventions import Interventions
from labkit.reference.execution.orphans import OwnerLock
from labkit.reference.execution.tool_calls import ToolCalls
from labkit.reference.execution.turns import Records, Turns
from labkit.reference.routing.intake import Intake


@dataclass(frozen=True)
class WorkshopParts:
    """What a workshop is made of; another one is made by replacing a part with a subclass."""

    executions: type[Executions] = Executions
    outbox: type[Outbox] = Outbox
    tool_calls: type[ToolCalls] = ToolCalls
    stages: type[Stages] = Stages
    clock: type[Clock] = SteadyClock
    agents: type[Agents] = Agents
    """One that registers further agents has them in every server process."""
    turns: type[Turns] = Turns
    interventions: type[Interventions] = Interventions
    engine: type[Engine] = Engine
    intake: type[Intake] = Intake


class Workshop:
    """Messages in, runs on their way: inside `async with` it works.

    Leaving it suspends what still runs; then its owner's lock is given back.
    """

    def __init__(self, store: Store, url: Secret, parts: WorkshopParts | None = None) -> None:
        made_of = parts or WorkshopParts()
        self._lock = OwnerLock(url)
        owner = self._lock.key
        self.executions = made_of.executions(store)
        self.agents = made_of.agents({USUAL: ScriptedAgent()})
        """Further agents can be registered."""
        records = Records(
            executions=self.executions,
            outbox=made_of.outbox(),
            tool_calls=made_of.tool_calls(),
            stages=made_of.stages(),
            clock=made_of.clock(),
        )
        turns = made_of.turns(store, records, owner)
        interventions = made_of.interventions(store, records, turns, owner)
        self.engine = made_of.engine(turns, interventions, self.agents)
        self.intake = made_of.intake(store, self.executions, records.stages, self.engine, owner)

    async def __aenter__(self) -> Self:
        await self._lock.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.engine.close()
        finally:
            await self._lock.close()
