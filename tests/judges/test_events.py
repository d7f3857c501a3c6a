"""Hand-written runs, good and bad, one for each reason, and good ones broken in one place."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

import pytest

from labkit.events import Event, EventType
from labkit.judges.events import REASONS, Window, deduplicated, judge_run
from labkit.judges.verdict import Verdict
from tests.judges.agent_runs import (
    BROKEN,
    COMPLETED,
    DONE,
    FAILED,
    GOOD,
    PLAIN,
    RUN,
    STARTED,
    THINKING,
    TOOL,
    history,
    renumbered,
    told,
    without,
)


@pytest.mark.parametrize(
    "events",
    [
        GOOD,
        history(STARTED, COMPLETED),
        history(STARTED, THINKING, THINKING, COMPLETED),
        history(STARTED, THINKING, TOOL, FAILED, BROKEN),
        history(STARTED, BROKEN),
        history(STARTED, THINKING, (TOOL, "a"), (TOOL, "b"), (FAILED, "b"), (DONE, "a"), COMPLETED),
    ],
    ids=["lookup", "plain", "thinks-twice", "tool-fails", "fails", "parallel-calls"],
)
def test_a_run_that_keeps_the_rule_is_sound(events: tuple[Event, ...]) -> None:
    """Thinking may repeat, calls may interleave, and an unhappy end is an end."""
    verdict = judge_run(PLAIN, events)

    assert (verdict.valid, verdict.reason) == (True, "")
    assert verdict.detail == f"{len(events)} events of run run, in order, each once."


def test_nothing_received_is_unknown() -> None:
    """No event is no evidence."""
    unknown = Verdict.unknown("no-events", "No event of run run was received.")
    assert judge_run(RUN, ()) == unknown


BAD: Final[dict[str, list[tuple[Event, ...]]]] = {
    "foreign-event": [
        (GOOD[0], replace(GOOD[1], user="bob"), *GOOD[2:]),
        (GOOD[0], replace(GOOD[1], thread="another"), *GOOD[2:]),
        (GOOD[0], replace(GOOD[1], run="another"), *GOOD[2:]),
        (GOOD[0], replace(GOOD[1], run=None), *GOOD[2:]),
        (GOOD[0], replace(GOOD[1], type=EventType.QUALITY_ALERT), *GOOD[2:]),
    ],
    "missing-seq": [(GOOD[0], replace(GOOD[1], seq=None), *GOOD[2:])],
    "seq-reused": [(*GOOD[:2], replace(GOOD[2], seq=1), *GOOD[3:])],
    "duplicate-event": [(*GOOD[:3], *GOOD[2:]), (*GOOD, GOOD[-1]), (*GOOD, GOOD[0])],
    "out-of-order": [
        (*GOOD[:2], GOOD[3], GOOD[2], *GOOD[4:]),
        (GOOD[1], GOOD[0], *GOOD[2:]),
        (*GOOD[:4], GOOD[5], GOOD[4]),
        renumbered((GOOD[1], GOOD[0], *GOOD[2:])),
        renumbered((*GOOD[:2], GOOD[3], GOOD[2], *GOOD[4:])),
    ],
    "gap": [without(0), without(1), without(2), without(3), without(4)],
    "missing-end": [without(5), GOOD[:3]],
    "missing-kind": [
        renumbered(without(0)),
        renumbered(without(2)),
        renumbered(without(3)),
        history(STARTED, TOOL, DONE, COMPLETED),
        history(STARTED, THINKING, TOOL, FAILED, BROKEN),
    ],
    "missing-start": [history(THINKING, COMPLETED)],
    "second-start": [history(STARTED, THINKING, STARTED, COMPLETED)],
    "second-end": [history(STARTED, COMPLETED, BROKEN)],
    "event-after-end": [history(STARTED, COMPLETED, THINKING)],
    "missing-call": [
        tuple(replace(event, call=None) for event in history(STARTED, THINKING, TOOL, COMPLETED))
    ],
    "tool-started-twice": [history(STARTED, THINKING, TOOL, TOOL, DONE, COMPLETED)],
    "tool-end-without-start": [history(STARTED, THINKING, (DONE, "other"), COMPLETED)],
    "tool-ended-twice": [history(STARTED, THINKING, TOOL, DONE, FAILED, COMPLETED)],
    "tool-never-ended": [history(STARTED, THINKING, TOOL, COMPLETED)],
    "tool-before-thinking": [history(STARTED, TOOL, DONE, THINKING, COMPLETED)],
    "clock-wrong": [
        (GOOD[0], replace(GOOD[1], ts=849), *GOOD[2:]),
        (*GOOD[:5], replace(GOOD[5], ts=1151)),
        tuple(replace(event, ts=event.ts + 3_600_000) for event in GOOD),
    ],
    "clock-backwards": [(GOOD[0], GOOD[1], replace(GOOD[2], ts=1009), *GOOD[3:])],
}
"""Runs with one thing wrong, by what the judge must say."""

NEEDS_KINDS: Final = {"missing-kind"}


def test_every_reason_has_its_bad_run() -> None:
    """No reason is without a history that shows it."""
    assert tuple(BAD) == REASONS


@pytest.mark.parametrize(
    ("reason", "events"),
    [(reason, events) for reason, bad in BAD.items() for events in bad],
)
def test_a_run_with_one_thing_wrong_is_told_by_its_cause(
    reason: str, events: tuple[Event, ...]
) -> None:
    """What is wrong first is named, and nothing that follows from it."""
    verdict = judge_run(RUN if reason in NEEDS_KINDS else PLAIN, events)

    assert (verdict.valid, verdict.reason) == (False, reason)
    assert verdict.count >= 1
    assert verdict.first
    assert verdict.worst


@pytest.mark.parametrize(
    ("reason", "place", "first"),
    [
        ("missing-seq", 0, "agent_thinking has no seq"),
        ("seq-reused", 0, "tool_executing at seq 1 has the seq of agent_thinking at seq 1"),
        ("duplicate-event", 2, "agent_started at seq 0 was received already"),
        ("out-of-order", 0, "tool_executing at seq 2 came after seq 3"),
        ("out-of-order", 3, "agent_thinking at seq 0 came before agent_started at seq 1"),
        ("out-of-order", 4, "tool_completed at seq 2 came before tool_executing at seq 3"),
        ("missing-end", 1, "no end was received; the last is tool_executing at seq 2"),
        (
            "missing-kind",
            3,
            (
                "no agent_thinking among "
                "agent_started, tool_executing, tool_completed, agent_completed"
            ),
        ),
        ("missing-start", 0, "no start was received; the first is agent_thinking at seq 0"),
        ("second-start", 0, "agent_started at seq 2 starts the run again"),
        ("second-end", 0, "agent_failed at seq 2 came after agent_completed at seq 1"),
        ("event-after-end", 0, "agent_thinking at seq 2 came after agent_completed at seq 1"),
        ("missing-call", 0, "tool_executing at seq 2 names no call"),
        ("tool-started-twice", 0, "tool_executing at seq 3 starts call again"),
        ("tool-end-without-start", 0, "tool_completed at seq 2 ends other, never started"),
        ("tool-ended-twice", 0, "tool_failed at seq 4 ends call again"),
        ("tool-never-ended", 0, "tool_executing at seq 2 starts call, which never ended"),
        ("tool-before-thinking", 0, "tool_executing at seq 1 came before any thinking"),
        ("clock-wrong", 0, "agent_thinking at seq 1 is 1 ms too early"),
        ("clock-wrong", 1, "agent_completed at seq 5 is 1 ms too late"),
        ("clock-backwards", 0, "tool_executing at seq 2 is 1 ms before agent_thinking at seq 1"),
    ],
)
def test_an_example_names_the_events_that_are_at_odds(reason: str, place: int, first: str) -> None:
    """Of each reason, the first example is told by the kinds and places of its events."""
    verdict = judge_run(RUN if reason in NEEDS_KINDS else PLAIN, BAD[reason][place])

    assert verdict.first == first


def test_a_verdict_counts_and_shows_first_and_worst() -> None:
    """Two gaps of different size: both are counted, and the larger one is the worst."""
    events = history(*[STARTED, *[THINKING] * 8, COMPLETED])
    verdict = judge_run(PLAIN, [one for one in events if one.seq not in {1, 4, 5, 6}])

    assert told(verdict) == (False, "gap", 2)
    assert verdict.detail == (
        "6 events of run run; 2 violations; "
        "the first: seq 1 missing before agent_thinking at seq 2; "
        "the worst: seq 4 to 6 missing before agent_thinking at seq 7"
    )


def test_the_event_that_comes_latest_for_its_seq_is_the_worst() -> None:
    """How far it lags counts, and not how late in the run it is."""
    verdict = judge_run(PLAIN, [GOOD[seq] for seq in (0, 2, 1, 5, 3, 4)])

    assert told(verdict) == (False, "out-of-order", 3)
    assert verdict.first == "agent_thinking at seq 1 came after seq 2"
    assert verdict.worst == "tool_completed at seq 3 came after seq 5"


def test_a_foreign_event_says_whose_it_is() -> None:
    """The example names what came and what was expected."""
    verdict = judge_run(RUN, (GOOD[0], replace(GOOD[1], user="bob"), *GOOD[2:]))

    assert verdict.first == (
        "agent_thinking at seq 1 of bob, thread, run, and not of alice, thread, run"
    )


def test_clocks_may_stand_still_and_be_off_by_the_tolerance() -> None:
    """Equal time stamps are in order, and both ends of the window belong to it."""
    still = tuple(replace(event, ts=1000) for event in GOOD)
    assert judge_run(RUN, still).valid is True

    ends = (replace(GOOD[0], ts=850), *GOOD[1:5], replace(GOOD[5], ts=1150))
    assert judge_run(RUN, ends).valid is True


def test_a_wrong_clock_says_by_how_much() -> None:
    """Too early and too late are told in milliseconds, beyond the tolerance; the farthest worst."""
    events = (replace(GOOD[0], ts=840), *GOOD[1:4], *(replace(one, ts=1175) for one in GOOD[4:]))
    verdict = judge_run(RUN, events)

    assert told(verdict) == (False, "clock-wrong", 3)
    assert verdict.first == "agent_started at seq 0 is 10 ms too early"
    assert verdict.worst == "agent_thinking at seq 4 is 25 ms too late"


def test_a_clock_that_goes_back_says_by_how_much() -> None:
    """Each step back counts, and the longest is the worst."""
    events = (*GOOD[:2], replace(GOOD[2], ts=1005), GOOD[3], replace(GOOD[4], ts=1015), GOOD[5])
    verdict = judge_run(RUN, events)

    assert told(verdict) == (False, "clock-backwards", 2)
    assert verdict.first == "tool_executing at seq 2 is 5 ms before agent_thinking at seq 1"
    assert verdict.worst == "agent_thinking at seq 4 is 15 ms before tool_completed at seq 3"


@pytest.mark.parametrize("after", range(5))
def test_a_listener_that_resumes_gets_the_rest(after: int) -> None:
    """From any cursor on the rest is sound, without the start and what went on before."""
    assert judge_run(replace(PLAIN, after=after), GOOD[after + 1 :]).valid is True


def test_a_replay_from_the_beginning_is_a_repetition() -> None:
    """What lies at or before the cursor was received already."""
    verdict = judge_run(replace(PLAIN, after=2), GOOD)

    assert told(verdict) == (False, "duplicate-event", 3)


def test_a_replay_that_begins_too_late_has_a_gap() -> None:
    """After the cursor the very next event must come."""
    verdict = judge_run(replace(PLAIN, after=1), GOOD[3:])

    assert told(verdict) == (False, "gap", 1)
    assert verdict.first == "seq 2 missing before tool_completed at seq 3"


@pytest.mark.parametrize(
    ("reason", "kinds"),
    [
        ("second-start", [STARTED, COMPLETED]),
        ("tool-ended-twice", [DONE, FAILED, COMPLETED]),
        ("tool-never-ended", [TOOL, COMPLETED]),
        ("out-of-order", [DONE, TOOL, COMPLETED]),
    ],
)
def test_a_listener_that_resumes_is_still_owed_the_rule(
    reason: str, kinds: list[EventType]
) -> None:
    """What it can see for itself must keep the rule after the cursor, too."""
    verdict = judge_run(replace(PLAIN, after=2), history(*kinds, after=2))

    assert (verdict.valid, verdict.reason) == (False, reason)


def test_a_run_that_goes_on_after_a_crash_need_not_think_again() -> None:
    """The tool may be the first thing, as the thinking was done before the crash."""
    events = history(STARTED, TOOL, DONE, THINKING, COMPLETED)

    assert judge_run(replace(PLAIN, continued=True), events).valid is True
    assert judge_run(PLAIN, events).reason == "tool-before-thinking"


def test_events_received_again_are_dropped_by_seq() -> None:
    """A cursor that is too old, or two connections, give each event once in the end."""
    twice = (*GOOD[:4], *GOOD[1:], *GOOD)

    assert judge_run(RUN, twice).reason == "duplicate-event"
    assert deduplicated(twice) == GOOD
    assert judge_run(RUN, deduplicated(twice)).valid is True


def test_dropping_repetitions_hides_nothing() -> None:
    """Another event under the same seq stays, and so do runs and events without seq."""
    other = replace(GOOD[2], ts=2000)
    strange = replace(GOOD[2], run="another")
    quality = replace(GOOD[2], run=None, seq=None)
    events = (*GOOD[:3], other, strange, quality, quality)

    assert deduplicated(events) == events


def mutations(events: tuple[Event, ...]) -> list[tuple[str, tuple[Event, ...]]]:
    """Every run with one event dropped, doubled, swapped with the next or given another owner."""
    made: list[tuple[str, tuple[Event, ...]]] = []
    for place, event in enumerate(events):
        before, rest = events[:place], events[place + 1 :]
        later = tuple(replace(one, seq=(one.seq or 0) + 1) for one in rest)
        made += [
            ("gap" if rest else "missing-end", before + rest),
            ("duplicate-event", (*before, event, event, *rest)),
            ("foreign-event", (*before, replace(event, user="bob"), *rest)),
            ("foreign-event", (*before, replace(event, thread="another"), *rest)),
            ("foreign-event", (*before, replace(event, run="another"), *rest)),
            ("missing-seq", (*before, replace(event, seq=None), *rest)),
            ("clock-wrong", (*before, replace(event, ts=event.ts - 10_000_000), *rest)),
        ]
        if rest:
            made += [
                ("out-of-order", (*before, rest[0], event, *rest[1:])),
                ("seq-reused", (*before, replace(event, seq=rest[0].seq), *rest)),
                ("gap", (*before, event, *later)),
                ("clock-backwards", (*before, replace(event, ts=rest[0].ts + 1), *rest)),
            ]
    return made


def generated(chance: random.Random) -> tuple[Event, ...]:
    """A good run: up to five rounds of thinking, each with up to three calls side by side."""
    kinds: list[tuple[EventType, str | None]] = [(STARTED, None)]
    for turn in range(chance.randint(1, 5)):
        kinds.append((THINKING, None))
        calls = [f"call-{turn}-{number}" for number in range(chance.randint(0, 3))]
        kinds += [(TOOL, call) for call in calls]
        chance.shuffle(calls)
        kinds += [(chance.choice([DONE, FAILED]), call) for call in calls]
    kinds.append((chance.choice([COMPLETED, BROKEN]), None))
    return history(*kinds)


@pytest.mark.parametrize("seed", range(20))
def test_a_good_run_broken_anywhere_is_told_by_its_cause(seed: int) -> None:
    """Each single change of a generated run is seen, with the reason that fits it."""
    events = generated(random.Random(seed))
    expected = replace(PLAIN, window=Window(900, 2000, 1000))
    assert judge_run(expected, events).valid is True

    for reason, broken in mutations(events):
        verdict = judge_run(expected, broken)
        assert (verdict.valid, verdict.reason) == (False, reason), broken


@pytest.mark.parametrize("seed", range(20))
def test_a_good_run_swapped_and_renumbered_keeps_no_order(seed: int) -> None:
    """Where the numbers hide a swap of first, last, or a call's two ends, the rule tells it."""
    events = generated(random.Random(seed))
    swaps = [(0, 1), (len(events) - 2, len(events) - 1)]
    for first, start in enumerate(events):
        if start.type is TOOL:
            last = next(
                place
                for place, end in enumerate(events)
                if end.call == start.call and place > first
            )
            swaps.append((first, last))
    for one, other in swaps:
        swapped = list(events)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        verdict = judge_run(replace(PLAIN, window=None), renumbered(swapped))
        wanted = "event-after-end" if other == len(events) - 1 else "out-of-order"
        assert (verdict.valid, verdict.reason) == (False, wanted)
