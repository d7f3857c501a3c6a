"""Agents: the script, and a registry that knows its names."""

import asyncio

import pytest

from labkit.reference.execution.agents import (
    USUAL,
    Agents,
    Answer,
    ModelDown,
    Prompt,
    ScriptedAgent,
    ToolUse,
    UnknownAgent,
)


def decided(text: str, *results: str) -> ToolUse | Answer:
    """What the scripted agent decides on a message, with a thread behind it."""
    prompt = Prompt(text, f"user: before\nuser: {text}", results)
    return asyncio.run(ScriptedAgent().decide(prompt))


@pytest.mark.parametrize(
    ("text", "tool", "argument"),
    [
        ("lookup", "lookup", ""),
        ("lookup the weather ", "lookup", "the weather"),
        ("explode a", "explode", "a"),
        ("slow 0.2", "slow", "0.2"),
    ],
)
def test_three_verbs_call_their_tool(text: str, tool: str, argument: str) -> None:
    """With the rest of the message as its argument."""
    use = decided(text)
    assert isinstance(use, ToolUse)
    assert (use.name, use.argument) == (tool, argument)
    assert tool in ScriptedAgent().tools


def test_a_tool_is_called_once() -> None:
    """Its result is the answer."""
    answer = decided("lookup x", "three of them")
    assert isinstance(answer, Answer)
    assert answer.text == "The tool says: three of them"


def test_recall_gives_the_whole_input_back() -> None:
    """To the letter."""
    answer = decided("recall it")
    assert isinstance(answer, Answer)
    assert answer.text == "user: before\nuser: recall it"


def test_a_model_that_is_down_raises() -> None:
    """The error says what it is."""
    with pytest.raises(ModelDown, match="the model is down"):
        decided("modeldown")


@pytest.mark.parametrize("text", ["hello", "Lookup x", "lookups", "", "please lookup x"])
def test_all_else_is_answered_plainly(text: str) -> None:
    """A verb counts only as the first word, in lower case."""
    answer = decided(text)
    assert isinstance(answer, Answer)
    assert answer.text == f"You said: {text}"


def test_tokens_grow_with_what_the_model_reads_and_says() -> None:
    """Words of the input, and of the answer."""
    short, long = decided("one"), decided("one two three")
    assert (short.tokens, long.tokens) == (4 + 3, 6 + 5)


def test_registry_finds_by_name() -> None:
    """No name is the usual agent; a name that nobody has is told."""
    usual, other = ScriptedAgent(), ScriptedAgent()
    agents = Agents({USUAL: usual})
    agents.register("other", other)
    assert [agents.find(name) for name in ("", USUAL, "other")] == [usual, usual, other]
    with pytest.raises(UnknownAgent, match="no agent 'nobody'"):
        agents.find("nobody")
