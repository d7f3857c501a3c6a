"""Events and the envelopes in which they travel."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from types import MappingProxyType
from typing import Final

import pytest

from labkit.errors import RecordError
from labkit.events import CRITICAL, Event, EventType, event_from_json
from labkit.json_values import JsonValue

ENVELOPE: Final[dict[str, JsonValue]] = {
    "seq": 3,
    "type": "tool_completed",
    "user": "alice",
    "thread": "thread-1",
    "run": "run-1",
    "request": "request-1",
    "call": "call-1",
    "ts": 1_700_000_000_000,
    "data": {"result": [1, None, {"deep": "er"}]},
}
BARE: Final[dict[str, JsonValue]] = {
    **dict.fromkeys(ENVELOPE),
    "type": "quality_alert",
    "user": "alice",
    "ts": 0,
    "data": {},
}


@pytest.mark.parametrize(
    "envelope", [ENVELOPE, {**ENVELOPE, "seq": 0}, BARE], ids=["full", "first", "bare"]
)
def test_an_envelope_is_read_and_written_the_same(envelope: dict[str, JsonValue]) -> None:
    """What travels as JSON comes back field by field, nulls and nested data included."""
    event = event_from_json(json.loads(json.dumps(envelope)))

    assert event.to_json() == envelope
    assert list(event.to_json()) == list(ENVELOPE)
    assert event_from_json(event.to_json()) == event


def test_an_event_holds_what_its_envelope_says() -> None:
    """Each field stands under its own name, the kind as one of the kinds."""
    assert event_from_json(ENVELOPE) == Event(
        type=EventType.TOOL_COMPLETED,
        user="alice",
        ts=1_700_000_000_000,
        seq=3,
        thread="thread-1",
        run="run-1",
        request="request-1",
        call="call-1",
        data=MappingProxyType({"result": [1, None, {"deep": "er"}]}),
    )


@pytest.mark.parametrize("kind", EventType)
def test_every_kind_travels(kind: EventType) -> None:
    """Each kind is read from its own name."""
    assert event_from_json({**ENVELOPE, "type": kind.value}).type is kind


WRONG: Final[dict[str, list[JsonValue]]] = {
    "seq": [-1, 1.0, "1", True, []],
    "type": ["agent_start", "", "AGENT_STARTED", None, 1, ["agent_started"], {"type": 1}],
    "user": [None, 1, ["alice"], {}],
    "thread": [1, True, [], {}],
    "run": [1, True, [], {}],
    "request": [1, True, [], {}],
    "call": [1, True, [], {}],
    "ts": [None, 1.5, "1", True, []],
    "data": [None, [], "text", 1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: JsonValue) -> None:
    """No value is bent into another one, and no wrong one raises anything else."""
    with pytest.raises(RecordError, match="a value of the wrong type"):
        event_from_json({**ENVELOPE, name: value})


@pytest.mark.parametrize("name", ENVELOPE)
def test_a_missing_field_is_named(name: str) -> None:
    """A field that does not apply is null, and never absent."""
    with pytest.raises(RecordError, match=f"lacks or invents {name}: "):
        event_from_json({key: value for key, value in ENVELOPE.items() if key != name})


def test_an_invented_field_is_named() -> None:
    """An envelope says nothing beside what is agreed."""
    with pytest.raises(RecordError, match="lacks or invents priority, trace: "):
        event_from_json({**ENVELOPE, "trace": "1", "priority": 1})
    with pytest.raises(RecordError, match="lacks or invents 1, trace: "):
        event_from_json(dict([*ENVELOPE.items(), ("trace", "1"), (1, 2)]))


@pytest.mark.parametrize("value", [None, 1, "text", [], [ENVELOPE]])
def test_what_is_no_object_is_no_envelope(value: object) -> None:
    """A frame may hold any JSON."""
    with pytest.raises(RecordError, match="must be a JSON object"):
        event_from_json(value)


def test_an_event_cannot_be_changed() -> None:
    """Neither by its fields, nor by its data, nor by what it was read from."""
    data: dict[str, JsonValue] = {"answer": 1}
    event = event_from_json({**ENVELOPE, "data": data})
    data["answer"] = 2

    assert event.data == {"answer": 1}
    assert not hasattr(event.data, "update")
    for field in fields(event):
        with pytest.raises(FrozenInstanceError):
            setattr(event, field.name, None)


def test_two_kinds_end_a_run_and_five_are_critical() -> None:
    """The happy and the unhappy end; and the kinds of a run with one tool call, as they come."""
    assert [kind for kind in EventType if kind.is_end] == [
        EventType.AGENT_COMPLETED,
        EventType.AGENT_FAILED,
    ]
    assert [kind.value for kind in CRITICAL] == [
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "agent_completed",
    ]
