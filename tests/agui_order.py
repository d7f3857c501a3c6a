"""The order rules of AG-UI, as its client's `verify` has them, written anew in Python.

A stream may carry several runs one after the other. Text messages, tool calls and steps are told
apart by their ids or names, so those of different ids may interleave. Results of tools and custom
events may stand anywhere within a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from labkit.json_values import JsonValue

_SPANS: Final = {
    "TEXT_MESSAGE": ("messageId", ("START", "CONTENT", "END")),
    "TOOL_CALL": ("toolCallId", ("START", "ARGS", "END")),
    "STEP": ("stepName", ("STARTED", "", "FINISHED")),
}


def first_violation(events: Iterable[Mapping[str, JsonValue]]) -> str:
    """The first rule that is broken, with the number of the event; empty where none is."""
    phase = "not started"
    open_spans: set[tuple[str, JsonValue]] = set()
    for number, event in enumerate(events):
        kind = str(event["type"])
        wrong = _wrong_phase(kind, phase) or _wrong_span(kind, event, open_spans)
        if not wrong and kind == "RUN_FINISHED" and open_spans:
            wrong = f"{min(span for span, _ in open_spans)} open at the end"
        if wrong:
            return f"{number}: {wrong}"
        if kind in {"RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"}:
            phase = kind
        if kind == "RUN_STARTED":
            open_spans.clear()
    return ""


def _wrong_phase(kind: str, phase: str) -> str:
    allowed = {
        "not started": {"RUN_STARTED", "RUN_ERROR"},
        "RUN_ERROR": {"RUN_STARTED"},
        "RUN_FINISHED": {"RUN_STARTED", "RUN_ERROR"},
    }
    if phase == "RUN_STARTED":
        return "started while active" if kind == "RUN_STARTED" else ""
    return "" if kind in allowed[phase] else f"{kind} when {phase}"


def _wrong_span(
    kind: str, event: Mapping[str, JsonValue], open_spans: set[tuple[str, JsonValue]]
) -> str:
    for name, (identity, (start, inside, end)) in _SPANS.items():
        if kind not in {f"{name}_{start}", f"{name}_{inside}", f"{name}_{end}"}:
            continue
        span = (name, event[identity])
        if kind == f"{name}_{start}":
            if span in open_spans:
                return f"{name} started while open"
            open_spans.add(span)
        elif span not in open_spans:
            return f"{kind} without start"
        elif kind == f"{name}_{end}":
            open_spans.remove(span)
    return ""
