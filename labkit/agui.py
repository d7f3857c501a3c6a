"""Events in the words of AG-UI 1.0, the protocol that many agents' front ends speak.

AG-UI knows no `seq`, no user and no failed tool: the first two are left to what carries the events,
and a failure is the text of the tool's result. Thinking is a step, which ends with what comes next.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

from labkit.errors import UsageError
from labkit.events import Event, EventType
from labkit.json_values import JsonValue

_STEP: Final = "thinking"


class AguiType(enum.StrEnum):
    """The kinds of AG-UI's events that ours are told by."""

    RUN_STARTED = "RUN_STARTED"
    STEP_STARTED = "STEP_STARTED"
    STEP_FINISHED = "STEP_FINISHED"
    TOOL_CALL_START = "TOOL_CALL_START"
    TOOL_CALL_ARGS = "TOOL_CALL_ARGS"
    TOOL_CALL_END = "TOOL_CALL_END"
    TOOL_CALL_RESULT = "TOOL_CALL_RESULT"
    TEXT_MESSAGE_START = "TEXT_MESSAGE_START"
    TEXT_MESSAGE_CONTENT = "TEXT_MESSAGE_CONTENT"
    TEXT_MESSAGE_END = "TEXT_MESSAGE_END"
    RUN_FINISHED = "RUN_FINISHED"
    RUN_ERROR = "RUN_ERROR"
    CUSTOM = "CUSTOM"


@dataclass(frozen=True)
class AguiEvent:
    """One event of AG-UI; what does not apply to its kind is None."""

    type: AguiType
    timestamp: int
    """In milliseconds since the epoch."""
    thread_id: str | None = None
    run_id: str | None = None
    step_name: str | None = None
    tool_call_id: str | None = None
    tool_call_name: str | None = None
    message_id: str | None = None
    role: str | None = None
    delta: str | None = None
    content: str | None = None
    message: str | None = None
    code: str | None = None
    name: str | None = None
    value: JsonValue = None

    def to_json(self) -> dict[str, JsonValue]:
        """The event as it travels: names in camel case, without what does not apply."""
        values: dict[str, JsonValue] = {one.name: getattr(self, one.name) for one in fields(self)}
        return {_camel(name): value for name, value in values.items() if value is not None}


def to_agui(events: Sequence[Event]) -> tuple[AguiEvent, ...]:
    """The events of a run, or of several one after the other, as AG-UI tells them.

    Read from an event's data are `name` and `result` of a tool (all else in the data of its start
    are its arguments), `output` of a completed run (its `text`, where it is an object), and `kind`
    and `text` of a failure. Events of quality become `CUSTOM`; since AG-UI has no place for them
    outside of a run, they are told right after its start or right before its end.

    Raises `UsageError` for events that AG-UI cannot tell: a run's without thread or run, a tool's
    without call, and events of quality without any run.
    """
    return tuple(_translated(_with_quality_inside(events)))


def _with_quality_inside(events: Iterable[Event]) -> list[Event]:
    placed: list[Event] = []
    held: list[Event] = []
    is_running = False
    for event in events:
        if _TELLS[event.type] is _custom and not is_running:
            held.append(event)
            continue
        placed.append(event)
        if event.type is EventType.AGENT_STARTED:
            placed += held
            held.clear()
        is_running = not event.type.is_end
    if held and not placed:
        raise UsageError(f"AG-UI tells {held[0].type} within a run only: give a run's events, too")
    placed[-1:-1] = held
    return placed


def _translated(events: Iterable[Event]) -> Iterator[AguiEvent]:
    is_thinking = False
    for event in events:
        tells = _TELLS[event.type]
        if is_thinking and tells is not _custom:
            yield AguiEvent(AguiType.STEP_FINISHED, event.ts, step_name=_STEP)
            is_thinking = False
        yield from tells(event)
        is_thinking = is_thinking or event.type is EventType.AGENT_THINKING


def _started(event: Event) -> Iterator[AguiEvent]:
    yield AguiEvent(AguiType.RUN_STARTED, event.ts, thread_id=_thread(event), run_id=_run(event))


def _thinking(event: Event) -> Iterator[AguiEvent]:
    yield AguiEvent(AguiType.STEP_STARTED, event.ts, step_name=_STEP)


def _executing(event: Event) -> Iterator[AguiEvent]:
    call, name = _call(event), _text(event.data.get("name", "tool"))
    arguments: JsonValue = {key: value for key, value in event.data.items() if key != "name"}
    yield AguiEvent(AguiType.TOOL_CALL_START, event.ts, tool_call_id=call, tool_call_name=name)
    yield AguiEvent(
        AguiType.TOOL_CALL_ARGS, event.ts, tool_call_id=call, delta=json.dumps(arguments)
    )
    yield AguiEvent(AguiType.TOOL_CALL_END, event.ts, tool_call_id=call)


def _tool_completed(event: Event) -> Iterator[AguiEvent]:
    yield _result(event, _text(event.data.get("result")))


def _tool_failed(event: Event) -> Iterator[AguiEvent]:
    kind, text = _failure(event)
    yield _result(event, f"error: {kind}: {text}")


def _result(event: Event, content: str) -> AguiEvent:
    call = _call(event)
    return AguiEvent(
        AguiType.TOOL_CALL_RESULT,
        event.ts,
        tool_call_id=call,
        message_id=f"{call}-result",
        role="tool",
        content=content,
    )


def _completed(event: Event) -> Iterator[AguiEvent]:
    run, thread = _run(event), _thread(event)
    if (output := event.data.get("output")) is not None:
        text = _text(output.get("text", output) if isinstance(output, dict) else output)
        yield from _message(event.ts, f"{run}-answer", text)
    yield AguiEvent(AguiType.RUN_FINISHED, event.ts, thread_id=thread, run_id=run)


def _message(ts: int, name: str, text: str) -> Iterator[AguiEvent]:
    yield AguiEvent(AguiType.TEXT_MESSAGE_START, ts, message_id=name, role="assistant")
    yield AguiEvent(AguiType.TEXT_MESSAGE_CONTENT, ts, message_id=name, delta=text)
    yield AguiEvent(AguiType.TEXT_MESSAGE_END, ts, message_id=name)


def _failed(event: Event) -> Iterator[AguiEvent]:
    kind, text = _failure(event)
    yield AguiEvent(AguiType.RUN_ERROR, event.ts, message=text, code=kind)


def _custom(event: Event) -> Iterator[AguiEvent]:
    yield AguiEvent(AguiType.CUSTOM, event.ts, name=event.type.value, value=dict(event.data))


_TELLS: Final[Mapping[EventType, Callable[[Event], Iterator[AguiEvent]]]] = MappingProxyType(
    {
        EventType.AGENT_STARTED: _started,
        EventType.AGENT_THINKING: _thinking,
        EventType.TOOL_EXECUTING: _executing,
        EventType.TOOL_COMPLETED: _tool_completed,
        EventType.TOOL_FAILED: _tool_failed,
        EventType.AGENT_COMPLETED: _completed,
        EventType.AGENT_FAILED: _failed,
        EventType.QUALITY_ALERT: _custom,
        EventType.QUALITY_REPORT: _custom,
        EventType.QUALITY_VALIDATION: _custom,
    }
)


def _run(event: Event) -> str:
    return _given(event, "run", event.run)


def _thread(event: Event) -> str:
    return _given(event, "thread", event.thread)


def _call(event: Event) -> str:
    return _given(event, "call", event.call)


def _given(event: Event, name: str, value: str | None) -> str:
    if value is None:
        raise UsageError(f"AG-UI cannot tell {event.type} without its {name}: {event!r:.200}")
    return value


def _failure(event: Event) -> tuple[str, str]:
    kind, text = event.data.get("kind", "Error"), event.data.get("text", "it failed")
    return _text(kind), _text(text)


def _text(value: JsonValue) -> str:
    """A text as it is, any other value as JSON, nothing as no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
