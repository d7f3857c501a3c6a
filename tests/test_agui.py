"""Events as AG-UI tells them, in an order that its clients take."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import pytest

from labkit.agui import AguiEvent, AguiType, to_agui
from labkit.errors import UsageError
from labkit.events import Event, EventType
from labkit.json_values import JsonValue
from tests.agui_order import first_violation

STARTED, THINKING = EventType.AGENT_STARTED, EventType.AGENT_THINKING
TOOL, DONE, FAILED = EventType.TOOL_EXECUTING, EventType.TOOL_COMPLETED, EventType.TOOL_FAILED
COMPLETED, BROKEN = EventType.AGENT_COMPLETED, EventType.AGENT_FAILED
ALERT: Final = Event(EventType.QUALITY_ALERT, "alice", 1500, data={"severity": "high"})

DATA: Final[dict[EventType, dict[str, JsonValue]]] = {
    STARTED: {"agent": "scripted"},
    TOOL: {"name": "lookup", "argument": "weather"},
    DONE: {"name": "lookup", "result": "sunny"},
    FAILED: {"kind": "ToolError", "text": "no such place"},
    COMPLETED: {"output": {"text": "It is sunny."}, "tokens": 3},
    BROKEN: {"kind": "ModelDown", "text": "no answer"},
}


def run(*kinds: EventType | tuple[EventType, str], name: str = "run-1") -> list[Event]:
    """The events of a run, 10 ms apart; those of tools belong to the call given."""
    pairs = [kind if isinstance(kind, tuple) else (kind, "call-1") for kind in kinds]
    return [
        Event(
            type=kind,
            user="alice",
            ts=1000 + 10 * seq,
            seq=seq,
            thread="thread-1",
            run=name,
            call=call if kind in {TOOL, DONE, FAILED} else None,
            data=DATA.get(kind, {}),
        )
        for seq, (kind, call) in enumerate(pairs)
    ]


def told(events: Sequence[Event]) -> list[dict[str, JsonValue]]:
    """The events as they travel in AG-UI."""
    return [event.to_json() for event in to_agui(events)]


def kinds(events: Iterable[AguiEvent]) -> list[str]:
    """The kinds of events alone."""
    return [event.type.value for event in events]


def test_a_lookup_is_told_in_full() -> None:
    """Each event of a run with one tool call, member by member."""
    message, call = {"messageId": "run-1-answer"}, {"toolCallId": "call-1"}
    whose = {"threadId": "thread-1", "runId": "run-1"}
    arguments = json.dumps({"argument": "weather"})
    result = {"messageId": "call-1-result", "role": "tool", "content": "sunny"}

    assert told(run(STARTED, THINKING, TOOL, DONE, THINKING, COMPLETED)) == [
        {"type": "RUN_STARTED", "timestamp": 1000, **whose},
        {"type": "STEP_STARTED", "timestamp": 1010, "stepName": "thinking"},
        {"type": "STEP_FINISHED", "timestamp": 1020, "stepName": "thinking"},
        {"type": "TOOL_CALL_START", "timestamp": 1020, **call, "toolCallName": "lookup"},
        {"type": "TOOL_CALL_ARGS", "timestamp": 1020, **call, "delta": arguments},
        {"type": "TOOL_CALL_END", "timestamp": 1020, **call},
        {"type": "TOOL_CALL_RESULT", "timestamp": 1030, **call, **result},
        {"type": "STEP_STARTED", "timestamp": 1040, "stepName": "thinking"},
        {"type": "STEP_FINISHED", "timestamp": 1050, "stepName": "thinking"},
        {"type": "TEXT_MESSAGE_START", "timestamp": 1050, **message, "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "timestamp": 1050, **message, "delta": "It is sunny."},
        {"type": "TEXT_MESSAGE_END", "timestamp": 1050, **message},
        {"type": "RUN_FINISHED", "timestamp": 1050, **whose},
    ]


def test_a_failing_tool_and_a_failed_run_are_told_by_their_texts() -> None:
    """A tool's failure is its result; a run's is the error that ends it."""
    *_, result, error = told(run(STARTED, THINKING, TOOL, FAILED, BROKEN))

    assert (result["type"], result["content"]) == (
        "TOOL_CALL_RESULT",
        "error: ToolError: no such place",
    )
    assert error == {
        "type": "RUN_ERROR",
        "timestamp": 1040,
        "message": "no answer",
        "code": "ModelDown",
    }


def test_a_model_that_fails_ends_its_step_first() -> None:
    """Thinking never stays open, whatever comes next."""
    assert kinds(to_agui(run(STARTED, THINKING, THINKING, BROKEN))) == [
        "RUN_STARTED",
        "STEP_STARTED",
        "STEP_FINISHED",
        "STEP_STARTED",
        "STEP_FINISHED",
        "RUN_ERROR",
    ]


RUNS: Final = {
    "lookup": run(STARTED, THINKING, TOOL, DONE, THINKING, COMPLETED),
    "plain": run(STARTED, THINKING, COMPLETED),
    "tool fails": run(STARTED, THINKING, TOOL, FAILED, THINKING, COMPLETED),
    "run fails in a tool": run(STARTED, THINKING, TOOL, FAILED, BROKEN),
    "model fails": run(STARTED, THINKING, BROKEN),
    "fails at once": run(STARTED, BROKEN),
    "parallel calls": run(
        STARTED, THINKING, (TOOL, "a"), (TOOL, "b"), (DONE, "b"), (FAILED, "a"), COMPLETED
    ),
    "one after another": run(STARTED, COMPLETED) + run(STARTED, THINKING, BROKEN, name="run-2"),
    "again after a failure": run(STARTED, BROKEN) + run(STARTED, COMPLETED, name="run-2"),
    "not ended yet": run(STARTED, THINKING, TOOL),
}


@pytest.mark.parametrize("events", list(RUNS.values()), ids=list(RUNS))
def test_a_good_run_is_in_an_order_that_clients_take(events: list[Event]) -> None:
    """Happy and unhappy, with calls side by side, and with quality told at any time."""
    assert first_violation(told(events)) == ""
    for place in range(len(events) + 1):
        assert first_violation(told([*events[:place], ALERT, *events[place:]])) == ""


@pytest.mark.parametrize("seed", range(20))
def test_any_good_run_is_in_an_order_that_clients_take(seed: int) -> None:
    """Rounds of thinking, each with calls side by side that end in any order."""
    chance = random.Random(seed)
    made: list[EventType | tuple[EventType, str]] = [STARTED]
    for turn in range(chance.randint(1, 5)):
        made.append(THINKING)
        calls = [f"call-{turn}-{number}" for number in range(chance.randint(0, 3))]
        made += [(TOOL, call) for call in calls]
        chance.shuffle(calls)
        made += [(chance.choice([DONE, FAILED]), call) for call in calls]
    made.append(chance.choice([COMPLETED, BROKEN]))
    events = run(*made)
    for _ in range(chance.randint(0, 3)):
        events.insert(chance.randint(0, len(events)), ALERT)

    assert first_violation(told(events)) == ""
    assert len([one for one in to_agui(events) if one.type is AguiType.CUSTOM]) == events.count(
        ALERT
    )


def test_quality_is_told_as_it_is() -> None:
    """The kind is the name, the payload the value; thinking goes on around it."""
    events = run(STARTED, THINKING, COMPLETED)
    made = told([*events[:2], ALERT, events[2]])

    assert made[2] == {
        "type": "CUSTOM",
        "timestamp": 1500,
        "name": "quality_alert",
        "value": {"severity": "high"},
    }
    assert [one["type"] for one in made[1:4]] == ["STEP_STARTED", "CUSTOM", "STEP_FINISHED"]


def test_quality_outside_of_a_run_is_told_inside() -> None:
    """Before a run it comes right after the start, behind the last one right before the end."""
    first, second = run(STARTED, COMPLETED), run(STARTED, BROKEN, name="run-2")
    before, between, behind = (replace(ALERT, ts=ts) for ts in (1, 2, 3))
    made = to_agui([before, *first, between, *second, behind])

    assert [(one.type.value, one.timestamp) for one in made if "TEXT" not in one.type] == [
        ("RUN_STARTED", 1000),
        ("CUSTOM", 1),
        ("RUN_FINISHED", 1010),
        ("RUN_STARTED", 1000),
        ("CUSTOM", 2),
        ("CUSTOM", 3),
        ("RUN_ERROR", 1010),
    ]


@pytest.mark.parametrize(
    ("kind", "data", "member", "expected"),
    [
        (TOOL, {"name": "add", "left": 1}, "delta", '{"left": 1}'),
        (TOOL, {}, "toolCallName", "tool"),
        (DONE, {"result": {"sum": [1, 2]}}, "content", '{"sum": [1, 2]}'),
        (DONE, {}, "content", ""),
        (FAILED, {}, "content", "error: Error: it failed"),
        (COMPLETED, {"output": "text"}, "delta", "text"),
        (COMPLETED, {"output": {"text": "text"}}, "delta", "text"),
        (COMPLETED, {"output": {"score": 1}}, "delta", '{"score": 1}'),
        (BROKEN, {}, "message", "it failed"),
    ],
)
def test_data_of_other_shapes_is_told_as_json(
    kind: EventType, data: dict[str, JsonValue], member: str, expected: str
) -> None:
    """Texts are told as they are, other values as JSON, and what is missing by a plain word."""
    made = told([replace(event, data=data) for event in run(kind)])

    assert [one[member] for one in made if member in one] == [expected]


def test_a_run_without_output_has_no_message() -> None:
    """No answer is not an empty answer."""
    assert kinds(to_agui([replace(one, data={}) for one in run(STARTED, COMPLETED)])) == [
        "RUN_STARTED",
        "RUN_FINISHED",
    ]


@pytest.mark.parametrize(
    ("event", "lacking"),
    [
        (replace(run(STARTED)[0], run=None), "run"),
        (replace(run(STARTED)[0], thread=None), "thread"),
        (replace(run(COMPLETED)[0], run=None), "run"),
        (replace(run(COMPLETED)[0], thread=None), "thread"),
        *((replace(run(kind)[0], call=None), "call") for kind in (TOOL, DONE, FAILED)),
    ],
)
def test_what_agui_cannot_tell_is_refused(event: Event, lacking: str) -> None:
    """An id that AG-UI needs is not made up."""
    with pytest.raises(UsageError, match=f"cannot tell {event.type} without its {lacking}"):
        to_agui([event])


def test_quality_without_a_run_is_refused() -> None:
    """A stream that begins with anything but a run is taken by no client."""
    with pytest.raises(UsageError, match="tells quality_alert within a run only"):
        to_agui([ALERT])
    assert to_agui([]) == ()


def wire(*kinds: str) -> list[dict[str, JsonValue]]:
    """Events of AG-UI by kind; `:b` behind one gives it another id."""
    return [
        {
            "type": kind.partition(":")[0],
            **dict.fromkeys(("messageId", "toolCallId", "stepName"), kind.partition(":")[2]),
        }
        for kind in kinds
    ]


@pytest.mark.parametrize(
    ("violation", "made"),
    [
        ("0: CUSTOM when not started", ["CUSTOM"]),
        ("0: RUN_FINISHED when not started", ["RUN_FINISHED"]),
        ("1: started while active", ["RUN_STARTED", "RUN_STARTED"]),
        ("2: CUSTOM when RUN_ERROR", ["RUN_STARTED", "RUN_ERROR", "CUSTOM"]),
        ("2: RUN_FINISHED when RUN_ERROR", ["RUN_STARTED", "RUN_ERROR", "RUN_FINISHED"]),
        ("2: RUN_ERROR when RUN_ERROR", ["RUN_STARTED", "RUN_ERROR", "RUN_ERROR"]),
        ("2: CUSTOM when RUN_FINISHED", ["RUN_STARTED", "RUN_FINISHED", "CUSTOM"]),
        ("2: RUN_FINISHED when RUN_FINISHED", ["RUN_STARTED", "RUN_FINISHED", "RUN_FINISHED"]),
        *(
            violation
            for name, start, inside, end in (
                ("TEXT_MESSAGE", "START", "CONTENT", "END"),
                ("TOOL_CALL", "START", "ARGS", "END"),
                ("STEP", "STARTED", "", "FINISHED"),
            )
            for violation in (
                *(
                    (f"{place}: {name}_{what} without start", ["RUN_STARTED", *before, last])
                    for what in filter(None, (inside, end))
                    for place, before, last in (
                        (1, [], f"{name}_{what}"),
                        (2, [f"{name}_{start}"], f"{name}_{what}:b"),
                        (3, [f"{name}_{start}", f"{name}_{end}"], f"{name}_{what}"),
                    )
                ),
                (
                    f"2: {name} started while open",
                    ["RUN_STARTED", f"{name}_{start}", f"{name}_{start}"],
                ),
                (
                    f"2: {name} open at the end",
                    ["RUN_STARTED", f"{name}_{start}", "RUN_FINISHED"],
                ),
            )
        ),
    ],
)
def test_the_rules_refuse_what_clients_refuse(violation: str, made: list[str]) -> None:
    """The port of the order rules finds each rule broken, where it is broken."""
    assert first_violation(wire(*made)) == violation


@pytest.mark.parametrize(
    "made",
    [
        ["RUN_ERROR"],
        ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"],
        ["RUN_STARTED", "RUN_FINISHED", "RUN_STARTED", "CUSTOM"],
        ["RUN_STARTED", "STEP_STARTED", "RUN_ERROR", "RUN_STARTED", "STEP_STARTED"],
        [
            "RUN_STARTED",
            "TOOL_CALL_START",
            "TOOL_CALL_START:b",
            "TOOL_CALL_END",
            "TOOL_CALL_ARGS:b",
        ],
        ["RUN_STARTED", "TEXT_MESSAGE_START", "STEP_STARTED", "TEXT_MESSAGE_END", "CUSTOM"],
        ["RUN_STARTED", "STEP_STARTED", "STEP_FINISHED", "STEP_STARTED", "STEP_FINISHED"],
        ["RUN_STARTED", "TOOL_CALL_RESULT"],
    ],
)
def test_the_rules_take_what_clients_take(made: list[str]) -> None:
    """What looks odd and is allowed: nothing here is stricter than the original."""
    assert first_violation(wire(*made)) == ""
