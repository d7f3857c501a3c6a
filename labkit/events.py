"""What a platform tells while it works: one event at a time, each for one user.

The rule of a run is an order, not a list: `agent_started` first, exactly one end last, at least one
`agent_thinking` before the first tool, and each `tool_executing` ended exactly once by its call id.
`labkit.judges.events` judges it. Beside the events of runs there are those of quality, which belong
to no run.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from labkit.errors import RecordError
from labkit.json_values import JsonValue


class EventType(enum.StrEnum):
    """The kinds of events."""

    AGENT_STARTED = "agent_started"
    AGENT_THINKING = "agent_thinking"
    TOOL_EXECUTING = "tool_executing"
    TOOL_COMPLETED = "tool_completed"
    TOOL_FAILED = "tool_failed"
    AGENT_COMPLETED = "agent_completed"
    AGENT_FAILED = "agent_failed"
    QUALITY_ALERT = "quality_alert"
    QUALITY_REPORT = "quality_report"
    QUALITY_VALIDATION = "quality_validation"

    @property
    def is_end(self) -> bool:
        """Whether nothing of the run may follow."""
        return self in {EventType.AGENT_COMPLETED, EventType.AGENT_FAILED}


CRITICAL: Final = (
    EventType.AGENT_STARTED,
    EventType.AGENT_THINKING,
    EventType.TOOL_EXECUTING,
    EventType.TOOL_COMPLETED,
    EventType.AGENT_COMPLETED,
)
"""The five kinds that a run with one tool call must show, as they first appear."""


@dataclass(frozen=True)
class Event:
    """One event; what does not apply to its kind is None."""

    type: EventType
    user: str
    ts: int
    """When it happened, in milliseconds since the epoch, by the platform's clock."""
    seq: int | None = None
    """Its place in its run, from 0, without gaps."""
    thread: str | None = None
    run: str | None = None
    request: str | None = None
    """The message or request that the run answers."""
    call: str | None = None
    """Pairs the start of a tool call with its end."""
    data: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))

    def to_json(self) -> dict[str, JsonValue]:
        """All fields of the envelope, those that do not apply as null."""
        return {
            "seq": self.seq,
            "type": self.type.value,
            "user": self.user,
            "thread": self.thread,
            "run": self.run,
            "request": self.request,
            "call": self.call,
            "ts": self.ts,
            "data": dict(self.data),
        }


_TEXTS: Final = ("thread", "run", "request", "call")
_FIELDS: Final = frozenset({"seq", "type", "user", "ts", "data", *_TEXTS})


def event_from_json(value: object) -> Event:
    """The event that an envelope holds; raises `RecordError` when it is none.

    Fields that it does not know are an error too: an envelope is what it says, and nothing else.
    """
    if not isinstance(value, Mapping):
        raise RecordError(f"an event's envelope must be a JSON object: {value!r:.200}")
    if wrong := sorted(map(str, set(value) ^ _FIELDS)):
        raise RecordError(
            f"an event's envelope lacks or invents {', '.join(wrong)}: {value!r:.200}"
        )
    seq, user, ts, data = value["seq"], value["user"], value["ts"], value["data"]
    texts = {name: value[name] for name in _TEXTS}
    if (
        (seq is not None and (type(seq) is not int or seq < 0))
        or type(ts) is not int
        or not isinstance(user, str)
        or not isinstance(data, dict)
        or not isinstance(value["type"], str)
        or value["type"] not in set(EventType)
        or any(text is not None and not isinstance(text, str) for text in texts.values())
    ):
        raise RecordError(f"an event's envelope holds a value of the wrong type: {value!r:.200}")
    return Event(
        type=EventType(value["type"]),
        user=user,
        ts=ts,
        seq=seq if isinstance(seq, int) else None,
        data=MappingProxyType(dict(data)),
        **{name: text if isinstance(text, str) else None for name, text in texts.items()},
    )
