"""Runs as an observer receives them, written by hand: a good one, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from labkit.events import CRITICAL, Event, EventType
from labkit.judges.events import ExpectedRun, Window
from labkit.judges.verdict import Verdict

STARTED, THINKING = EventType.AGENT_STARTED, EventType.AGENT_THINKING
TOOL, DONE, FAILED = EventType.TOOL_EXECUTING, EventType.TOOL_COMPLETED, EventType.TOOL_FAILED
COMPLETED, BROKEN = EventType.AGENT_COMPLETED, EventType.AGENT_FAILED

RUN: Final = ExpectedRun("alice", "thread", "run", kinds=CRITICAL, window=Window(900, 1100, 50))
PLAIN: Final = replace(RUN, kinds=())
LOOKUP: Final = (STARTED, THINKING, TOOL, DONE, THINKING, COMPLETED)


def history(*kinds: EventType | tuple[EventType, str | None], after: int = -1) -> tuple[Event, ...]:
    """Events of those kinds in order, 10 ms apart; those of tools belong to the call given."""
    pairs = [kind if isinstance(kind, tuple) else (kind, None) for kind in kinds]
    return tuple(
        Event(
            type=kind,
            user="alice",
            ts=1000 + 10 * place,
            seq=after + 1 + place,
            thread="thread",
            run="run",
            request="request",
            call=call or ("call" if kind in {TOOL, DONE, FAILED} else None),
        )
        for place, (kind, call) in enumerate(pairs)
    )


GOOD: Final = history(*LOOKUP)


def renumbered(events: Sequence[Event]) -> tuple[Event, ...]:
    """The same events, as a platform that numbers and dates them late would send them."""
    return tuple(
        replace(event, seq=place, ts=1000 + 10 * place) for place, event in enumerate(events)
    )


def without(place: int) -> tuple[Event, ...]:
    """The good run without one event."""
    return GOOD[:place] + GOOD[place + 1 :]


def told(verdict: Verdict) -> tuple[bool | None, str, int]:
    """What a verdict says in short."""
    return verdict.valid, verdict.reason, verdict.count
