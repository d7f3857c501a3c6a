"""Agents: who decides, by what stands in a thread, to call a tool or to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

USUAL: Final = "scripted"
"""The agent of who names none."""

LONGEST_WAIT_S: Final = 30.0
"""The longest time that the tool `slow` takes."""

_USUAL_WAIT: Final = "2"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an agent decides by."""

    text: str
    """The message that the run answers."""
    input: str
    """All that the model is given: the thread, oldest first, a line or more for each message."""
    results: tuple[str, ...]
    """The results of the run's tool calls so far."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A decision to call a tool."""

    name: str
    argument: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision to answer, which ends the run."""

    text: str
    tokens: int


class Desk(Protocol):
    """What a tool may do for its user; all of it is undone when the tool raises."""

    async def write_note(self, text: str) -> str:
        """Put a note on the run's thread; its id."""
        ...

    async def count_messages(self, part: str) -> int:
        """How many messages of the run's thread hold this text."""
        ...


Tool: TypeAlias = Callable[[Desk, str], Awaitable[str]]
"""Takes its argument to a result, or raises."""


class Agent(Protocol):
    """A model with tools; it keeps nothing between two decisions, so that a run can be resumed."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Its tools by name."""
        ...

    async def decide(self, prompt: Prompt) -> ToolUse | Answer:
        """What to do next; what it raises fails the run."""
        ...


class UnknownAgent(LookupError):
    """A run names an agent that nobody has registered."""


class UnknownTool(LookupError):
    """An agent calls a tool that it does not have."""


class ModelDown(RuntimeError):
    """The model cannot be asked."""


class ToolExploded(RuntimeError):
    """A tool broke down half-way."""


class Agents:
    """The platform's agents by name."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self._agents = dict(agents)

    def register(self, name: str, agent: Agent) -> None:
        """Add an agent, or replace the one of that name."""
        self._agents[name] = agent

    def find(self, name: str) -> Agent:
        """The agent of a name, the usual one for an empty name; raises `UnknownAgent`."""
        try:
            return self._agents[name or USUAL]
        except KeyError:
            raise UnknownAgent(f"there is no agent {name!r}") from None


class ScriptedAgent:
    """An agent whose model follows a script; the first word of a message says what it does.

    `lookup` calls one tool, `explode` one that writes and then raises, `slow` one that takes a
    while (seconds as its argument, 2 where there is none), `recall` answers with exactly the input
    that the model was given, `modeldown` has a model that raises; all else is answered plainly.
    """

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Its tools by name."""
        return _TOOLS

    async def decide(self, prompt: Prompt) -> ToolUse | Answer:
        """What the script says."""
        verb, _, argument = prompt.text.strip().partition(" ")
        if verb == "modeldown":
            raise ModelDown("the model is down")
        if verb in _TOOLS and not prompt.results:
            return ToolUse(verb, argument.strip(), _tokens(prompt.input, prompt.text))
        answer = self._answer(verb, prompt)
        return Answer(answer, _tokens(prompt.input, answer))

    def _answer(self, verb: str, prompt: Prompt) -> str:
        if verb == "recall":
            return prompt.input
        if prompt.results:
            return f"The tool says: {prompt.results[-1]}"
        return f"You said: {prompt.text}"


async def _look_up(desk: Desk, argument: str) -> str:
    await desk.write_note(f"looked up {argument}")
    count = await desk.count_messages(argument)
    return f"{argument!r} stands in {count} messages of this thread"


async def _explode(desk: Desk, argument: str) -> str:
    await desk.write_note(f"half done: {argument}")
    raise ToolExploded(f"the tool exploded over {argument!r}")


async def _take_a_while(desk: Desk, argument: str) -> str:
    seconds = float(argument or _USUAL_WAIT)
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise ValueError(f"slow takes 0 to {LONGEST_WAIT_S:g} seconds, not {argument!r}")
    await asyncio.sleep(seconds)
    await desk.write_note(f"waited {seconds:g} s")
    return f"waited {seconds:g} s"


_TOOLS: Final[Mapping[str, Tool]] = MappingProxyType(
    {"lookup": _look_up, "explode": _explode, "slow": _take_a_while}
)


def _tokens(*texts: str) -> int:
    """A count that grows with the texts, as a tokenizer's would."""
    return sum(len(text.split()) for text in texts)
