"""What an observer received of a run: in order, without a gap, once, whole, and its own.

The order rule stands in `labkit.events`. Of several faults the cause is reported and not what
follows from it: a lost start of a tool call is a gap, and not an end without a start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from labkit.events import Event, EventType
from labkit.judges.verdict import Verdict

REASONS: Final = (
    "foreign-event",
    "missing-seq",
    "seq-reused",
    "duplicate-event",
    "out-of-order",
    "gap",
    "missing-end",
    "missing-kind",
    "missing-start",
    "second-start",
    "second-end",
    "event-after-end",
    "missing-call",
    "tool-started-twice",
    "tool-end-without-start",
    "tool-ended-twice",
    "tool-never-ended",
    "tool-before-thinking",
    "clock-wrong",
    "clock-backwards",
)
"""What can be wrong, causes before what follows from them."""

_QUALITY: Final = frozenset(
    {EventType.QUALITY_ALERT, EventType.QUALITY_REPORT, EventType.QUALITY_VALIDATION}
)
_OF_TOOLS: Final = frozenset(
    {EventType.TOOL_EXECUTING, EventType.TOOL_COMPLETED, EventType.TOOL_FAILED}
)


@dataclass(frozen=True)
class Window:
    """When a run can have happened, by the observer's clock, in milliseconds since the epoch."""

    sent_at_ms: float
    """When the observer asked for the run."""
    received_at_ms: float
    """When it had received the last event."""
    tolerance_ms: float = 1000.0
    """How far the platform's clock may be from the observer's."""


@dataclass(frozen=True)
class ExpectedRun:
    """Whose run it is, and what it must show."""

    user: str
    thread: str
    run: str
    kinds: tuple[EventType, ...] = ()
    """The kinds that must be there; `events.CRITICAL` for a `lookup`."""
    after: int | None = None
    """The last `seq` that the observer has had already; None where it listens from the start."""
    continued: bool = False
    """The run went on after a crash, and need not think again before its tool."""
    window: Window | None = None
    """When it can have happened; None where nobody looked at a clock."""


@dataclass(frozen=True)
class _Fault:
    reason: str
    text: str
    weight: float = 0
    """How bad it is among those of the same reason."""


def judge_run(expected: ExpectedRun, events: Sequence[Event]) -> Verdict:
    """Whether the events, in the order of their arrival, are the run: all of it, once, in order.

    Reasons, the first that applies: `foreign-event` (of another user, thread or run, or of a kind
    that belongs to no run), `missing-seq`, `seq-reused` (two different events), `duplicate-event`
    (received twice, or again after `after`), `out-of-order` (by `seq`, or the start of the run or
    of a tool call comes after what it starts), `gap`, `missing-end`, `missing-kind`,
    `missing-start`, `second-start`, `second-end`, `event-after-end`, `missing-call`,
    `tool-started-twice`, `tool-end-without-start`, `tool-ended-twice`, `tool-never-ended`,
    `tool-before-thinking`, `clock-wrong` (outside the window), `clock-backwards`; and unknown with
    `no-events`.

    An observer that listens from `after` on is not asked for what came before. Apply `deduplicated`
    first where the observer may receive events again.
    """
    if not events:
        return Verdict.unknown("no-events", f"No event of run {expected.run} was received.")
    faults = _faults(expected, events)
    if not faults:
        return Verdict.sound(f"{len(events)} events of run {expected.run}, in order, each once.")
    worst = max(faults, key=lambda fault: fault.weight)
    return Verdict.violated(
        worst.reason,
        [fault.text for fault in faults],
        worst=worst.text,
        judged=f"{len(events)} events of run {expected.run}",
    )


def judge_runs(runs: Mapping[ExpectedRun, Sequence[Event]]) -> Verdict:
    """Whether each run is what `judge_run` asks for; the violations are the runs that are not.

    The reason is the first of `REASONS` that any run shows; the worst run has most faults of it.
    Unknown with `no-runs` where none was expected, and with `no-events` where one has no events and
    none is wrong.
    """
    if not runs:
        return Verdict.unknown("no-runs", "No run was expected.")
    verdicts = {expected.run: judge_run(expected, events) for expected, events in runs.items()}
    wrong = {run: one for run, one in verdicts.items() if one.valid is False}
    received = sum(map(len, runs.values()))
    judged = f"{len(runs)} runs, {received} events"
    if wrong:
        reason = min((one.reason for one in wrong.values()), key=REASONS.index)
        same = {run: one for run, one in wrong.items() if one.reason == reason}
        texts = {run: f"run {run}: {one.first}" for run, one in same.items()}
        worst = texts[max(same, key=lambda run: same[run].count)]
        told = f"{judged}, {len(wrong)} runs wrong"
        return Verdict.violated(reason, list(texts.values()), worst=worst, judged=told)
    silent = [run for run, one in verdicts.items() if one.valid is None]
    if silent:
        text = f"{len(silent)} of {len(runs)} runs have no events; the first: run {silent[0]}."
        return Verdict.unknown("no-events", text)
    return Verdict.sound(f"{judged}: each in order, each event once.")


def judge_connection(runs: Iterable[ExpectedRun], events: Sequence[Event]) -> Verdict:
    """Whether all that a connection received is the expected runs, and nothing else.

    Events of quality belong to no run; they must be of one of the runs' users. Reasons:
    `foreign-event` for what belongs to none of the runs, then those of `judge_runs`.
    """
    expected = {run.run: run for run in runs}
    users = {run.user for run in expected.values()}
    strangers = [_owned(event) for event in events if _is_strange(event, expected, users)]
    if strangers:
        judged = (
            f"{len(events)} events on a connection of {' and '.join(sorted(users)) or 'nobody'}"
        )
        return Verdict.violated("foreign-event", strangers, judged=judged)
    received = by_run(events)
    return judge_runs({run: received.get(run.run, ()) for run in expected.values()})


def by_run(events: Iterable[Event]) -> Mapping[str, tuple[Event, ...]]:
    """The events of each run, in the order of their arrival; those of no run are left out."""
    dealt: dict[str, list[Event]] = {}
    for event in events:
        if event.run is not None:
            dealt.setdefault(event.run, []).append(event)
    return {run: tuple(received) for run, received in dealt.items()}


def deduplicated(events: Iterable[Event]) -> tuple[Event, ...]:
    """The events without those already seen by run and `seq`, in the order of their arrival.

    An event that differs from the one already seen with its `seq` stays: it is no repetition, and
    `judge_run` tells so. Events without `seq` all stay.
    """
    seen: dict[tuple[str | None, int], Event] = {}
    kept: list[Event] = []
    for event in events:
        if event.seq is None or seen.get((event.run, event.seq)) != event:
            kept.append(event)
        if event.seq is not None:
            seen.setdefault((event.run, event.seq), event)
    return tuple(kept)


def _faults(expected: ExpectedRun, events: Sequence[Event]) -> list[_Fault]:
    """The faults of the one reason that is to be reported, in the order in which they show."""
    found = [
        *_envelope_faults(expected, events),
        *_seq_faults(expected, events),
        *_kind_faults(expected, events),
        *_order_faults(expected, events),
        *_tool_faults(expected, events),
        *_thinking_faults(expected, events),
        *_clock_faults(expected, events),
    ]
    reason = min((fault.reason for fault in found), key=REASONS.index, default=None)
    return [fault for fault in found if fault.reason == reason]


def _envelope_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    own = (expected.user, expected.thread, expected.run)
    for event in events:
        if (event.user, event.thread, event.run) != own:
            text = f"{_owned(event)}, and not of {', '.join(own)}"
            yield _Fault("foreign-event", text)
        elif event.type in _QUALITY:
            yield _Fault("foreign-event", f"{_named(event)}: events of quality belong to no run")
        if event.seq is None:
            yield _Fault("missing-seq", f"{event.type} has no seq")


def _seq_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    begins = 0 if expected.after is None else expected.after + 1
    seen: dict[int, Event] = {}
    highest = begins
    for event in events:
        if event.seq is None:
            continue
        first = seen.get(event.seq)
        if first is not None and first != event:
            yield _Fault("seq-reused", f"{_named(event)} has the seq of {_named(first)}")
        elif first is not None or event.seq < begins:
            yield _Fault("duplicate-event", f"{_named(event)} was received already")
        elif event.seq < highest:
            text = f"{_named(event)} came after seq {highest}"
            yield _Fault("out-of-order", text, highest - event.seq)
        seen.setdefault(event.seq, event)
        highest = max(highest, event.seq)
    yield from _gaps(begins, seen)


def _gaps(begins: int, seen: Mapping[int, Event]) -> Iterator[_Fault]:
    for low, high in pairwise(sorted({begins - 1, *(seq for seq in seen if seq >= begins)})):
        if (lost := high - low - 1) > 0:
            which = f"seq {low + 1}" if lost == 1 else f"seq {low + 1} to {high - 1}"
            yield _Fault("gap", f"{which} missing before {_named(seen[high])}", lost)


def _kind_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    shown = [event.type for event in events]
    if not any(kind.is_end for kind in shown):
        yield _Fault("missing-end", f"no end was received; the last is {_named(events[-1])}")
    for kind in expected.kinds:
        if kind not in shown:
            yield _Fault("missing-kind", f"no {kind} among {', '.join(shown)}")


def _order_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    starts = [event for event in events if event.type is EventType.AGENT_STARTED]
    if expected.after is None and not starts:
        yield _Fault("missing-start", f"no start was received; the first is {_named(events[0])}")
    elif expected.after is None and starts[0] is not events[0]:
        yield _Fault("out-of-order", f"{_named(events[0])} came before {_named(starts[0])}")
    for event in starts[expected.after is None :]:
        yield _Fault("second-start", f"{_named(event)} starts the run again")
    ended: Event | None = None
    for event in events:
        if ended is not None:
            reason = "second-end" if event.type.is_end else "event-after-end"
            yield _Fault(reason, f"{_named(event)} came after {_named(ended)}")
        elif event.type.is_end:
            ended = event


def _thinking_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    if expected.continued or expected.after is not None:
        return
    for event in events:
        if event.type is EventType.AGENT_THINKING:
            return
        if event.type is EventType.TOOL_EXECUTING:
            yield _Fault("tool-before-thinking", f"{_named(event)} came before any thinking")


def _tool_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    calls: dict[str, list[Event]] = {}
    for event in events:
        if event.type not in _OF_TOOLS:
            continue
        if event.call is None:
            yield _Fault("missing-call", f"{_named(event)} names no call")
        else:
            calls.setdefault(event.call, []).append(event)
    for call in calls.values():
        yield from _call_faults(call, whole=expected.after is None)


def _call_faults(call: Sequence[Event], *, whole: bool) -> Iterator[_Fault]:
    """What is wrong with the starts and ends of one call id."""
    starts = [event for event in call if event.type is EventType.TOOL_EXECUTING]
    ends = [event for event in call if event.type is not EventType.TOOL_EXECUTING]
    name = call[0].call
    for event in starts[1:]:
        yield _Fault("tool-started-twice", f"{_named(event)} starts {name} again")
    for event in ends[1:]:
        yield _Fault("tool-ended-twice", f"{_named(event)} ends {name} again")
    if not ends:
        yield _Fault("tool-never-ended", f"{_named(starts[0])} starts {name}, which never ended")
    elif starts and starts[0] is not call[0]:
        yield _Fault("out-of-order", f"{_named(ends[0])} came before {_named(starts[0])}")
    elif whole and not starts:
        yield _Fault("tool-end-without-start", f"{_named(ends[0])} ends {name}, never started")


def _clock_faults(expected: ExpectedRun, events: Sequence[Event]) -> Iterator[_Fault]:
    if (window := expected.window) is not None:
        for event in events:
            early = window.sent_at_ms - window.tolerance_ms - event.ts
            late = event.ts - window.tolerance_ms - window.received_at_ms
            if max(early, late) > 0:
                when = f"{early:.0f} ms too early" if early > 0 else f"{late:.0f} ms too late"
                yield _Fault("clock-wrong", f"{_named(event)} is {when}", max(early, late))
    for before, event in pairwise(events):
        if event.ts < before.ts:
            back = before.ts - event.ts
            text = f"{_named(event)} is {back} ms before {_named(before)}"
            yield _Fault("clock-backwards", text, back)


def _is_strange(event: Event, expected: Mapping[str, ExpectedRun], users: set[str]) -> bool:
    if event.run is None and event.type in _QUALITY:
        return event.user not in users
    return event.run not in expected


def _named(event: Event) -> str:
    """An event by its kind and place."""
    return f"{event.type} {'without seq' if event.seq is None else f'at seq {event.seq}'}"


def _owned(event: Event) -> str:
    """An event by its kind, its place and whose it is."""
    return f"{_named(event)} of {event.user}, {event.thread}, {event.run}"
