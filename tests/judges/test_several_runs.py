"""Several runs, each for itself or dealt out of one connection, and what belongs to none."""

from __future__ import annotations

from dataclasses import replace

from labkit.events import Event, EventType
from labkit.judges.events import ExpectedRun, by_run, judge_connection, judge_runs
from labkit.judges.verdict import Verdict
from tests.judges.agent_runs import GOOD, RUN, told


def several(count: int) -> dict[ExpectedRun, tuple[Event, ...]]:
    """As many good runs of alice as asked for."""
    return {
        replace(RUN, run=f"run-{number}"): tuple(
            replace(event, run=f"run-{number}") for event in GOOD
        )
        for number in range(count)
    }


def test_several_sound_runs_are_sound() -> None:
    """The verdict on all of them says how many runs and events there were."""
    verdict = judge_runs(several(3))

    assert verdict.valid is True
    assert verdict.detail == "3 runs, 18 events: each in order, each event once."


def test_several_runs_are_wrong_by_the_first_cause_among_them() -> None:
    """One reason for all: the count is of runs, the worst run has most faults."""
    runs = several(5)
    first, second, third, fourth, _ = runs
    runs[first] = tuple(replace(one, ts=one.ts + 10**6) for one in runs[first])
    runs[second] = (*runs[second], runs[second][1])
    runs[third] = runs[third] * 2
    runs[fourth] = (*runs[fourth], runs[fourth][2])
    verdict = judge_runs(runs)

    assert told(verdict) == (False, "duplicate-event", 3)
    assert verdict.detail == (
        "5 runs, 38 events, 4 runs wrong; 3 violations; "
        "the first: run run-1: agent_thinking at seq 1 was received already; "
        "the worst: run run-2: agent_started at seq 0 was received already"
    )


def test_an_expected_run_without_events_is_unknown() -> None:
    """A silent run makes all unknown, unless another one is wrong."""
    runs = several(3)
    first, second, _ = runs
    runs[first] = ()
    assert told(judge_runs(runs)) == (None, "no-events", 0)
    assert judge_runs(runs).detail == "1 of 3 runs have no events; the first: run run-0."

    runs[second] = runs[second][1:]
    assert told(judge_runs(runs)) == (False, "gap", 1)


def test_no_expected_run_is_unknown() -> None:
    """Nothing asked for is no evidence."""
    unknown = Verdict.unknown("no-runs", "No run was expected.")
    assert judge_runs({}) == unknown
    assert judge_connection([], ()) == unknown


def interleaved(runs: dict[ExpectedRun, tuple[Event, ...]]) -> list[Event]:
    """The events of all runs, turn by turn, as one connection may carry them."""
    return [event for turn in zip(*runs.values(), strict=True) for event in turn]


def test_a_connection_may_carry_several_runs_and_quality() -> None:
    """Runs that interleave are dealt out, and events of quality are the user's own."""
    runs = several(3)
    quality = Event(EventType.QUALITY_ALERT, "alice", 1)
    events = [*interleaved(runs), quality]

    assert by_run(events) == {expected.run: events for expected, events in runs.items()}
    assert judge_connection(runs, events).valid is True


def test_a_connection_that_carries_more_than_was_expected_is_wrong() -> None:
    """Another run, another's quality, and what belongs to no run are foreign."""
    runs = several(2)
    strangers = [
        replace(GOOD[0], run="another"),
        replace(GOOD[0], run=None),
        Event(EventType.QUALITY_ALERT, "bob", 1),
    ]
    verdict = judge_connection(runs, [*interleaved(runs), *strangers])

    assert told(verdict) == (False, "foreign-event", 3)
    assert verdict.detail == (
        "15 events on a connection of alice; 3 violations; "
        "the first: agent_started at seq 0 of alice, thread, another"
    )


def test_an_event_on_a_connection_that_expects_none_is_foreign() -> None:
    """It is told whose it is, also without a place in a run, and for whom the connection was."""
    quality = Event(EventType.QUALITY_ALERT, "bob", 1)
    verdict = judge_connection([], [quality])
    assert verdict.detail == (
        "1 events on a connection of nobody; 1 violation; "
        "the first: quality_alert without seq of bob, None, None"
    )

    shared = [RUN, ExpectedRun("carol", "thread", "of carol")]
    assert judge_connection(shared, [quality]).detail.startswith(
        "1 events on a connection of alice and carol; "
    )


def test_a_connection_that_lacks_a_run_is_unknown() -> None:
    """A run of which the connection carried nothing is missed."""
    runs = several(2)
    [*_, last] = runs

    assert told(judge_connection(runs, runs[last])) == (None, "no-events", 0)
