"""Hand-written observations: what is the anomaly is seen, what is nearly it is not."""

import pytest

from labkit.judges import anomalies
from labkit.judges.schedule import (
    Action,
    Ended,
    Finding,
    Isolation,
    Row,
    Scenario,
    ScheduleHistory,
    StatementError,
    Step,
    StepObservation,
)

Seen = list[Row] | int
CONFLICT = StatementError("40001", "could not serialize access")


def history(scenario: Scenario, *seen: Seen, final: tuple[Row, ...] = ()) -> ScheduleHistory:
    """A history in which the reads and writes of a scenario saw, in order, what is given."""
    left = list(seen)
    observations = []
    for number, step in enumerate(scenario.steps, 1):
        works = step.action in {Action.READ, Action.WRITE}
        what = left.pop(0) if works else 0
        rows, count = (tuple(what), 0) if isinstance(what, list) else ((), what)
        observations.append(
            StepObservation(number, step.session, step.action, step.sql, Ended.DONE, rows, count)
        )
    assert not left
    return ScheduleHistory(scenario, Isolation.SERIALIZABLE, tuple(observations), final)


BEGINNING = [(1, 10), (2, 20)]

SHOWN = {
    "G0": history(anomalies.G0, 1, 1, 1, 1, final=((1, 12), (2, 21))),
    "G1a": history(anomalies.G1A, 1, [(1, 11), (2, 20)], BEGINNING),
    "G1b": history(anomalies.G1B, 1, [(1, 101), (2, 20)], 1, [(1, 11), (2, 20)]),
    "G1c": history(anomalies.G1C, 1, 1, [(2, 22)], [(1, 11)]),
    "OTV": history(anomalies.OTV, 1, 1, 1, [(1, 12)], 1, [(2, 21)], [(2, 22)], [(1, 12)]),
    "PMP reading": history(anomalies.PMP_READ, [], 1, [(3, 42)]),
    "PMP deleting": history(anomalies.PMP_WRITE, 2, [(2, 20)], 0, [(1, 20)]),
    "P4": history(anomalies.P4, [(1, 10)], [(1, 10)], 1, 1),
    "G-single": history(anomalies.G_SINGLE, [(1, 10)], BEGINNING, 1, 1, [(2, 22)]),
    "G-single by predicate": history(anomalies.G_SINGLE_PREDICATE, BEGINNING, 1, [(1, 12)]),
    "G-single deleting": history(anomalies.G_SINGLE_WRITE, [(1, 10)], BEGINNING, 1, 1, 0),
    "G2-item": history(anomalies.G2_ITEM, BEGINNING, BEGINNING, 1, 1),
    "G2 by predicate": history(anomalies.G2_INSERT, [], [], 1, 1),
    "G2 through a reader": history(anomalies.G2_READER, BEGINNING, 1, [(1, 10), (2, 22)], 1),
}

NOT_SHOWN = {
    "G0: the second session wins both rows": history(
        anomalies.G0, 1, 1, 1, 1, final=((1, 12), (2, 22))
    ),
    "G1a: the beginning is read": history(anomalies.G1A, 1, BEGINNING, BEGINNING),
    "G1b: only the last value is read": history(anomalies.G1B, 1, BEGINNING, 1, [(1, 11), (2, 20)]),
    "G1c: only one sees the other": history(anomalies.G1C, 1, 1, [(2, 20)], [(1, 11)]),
    "OTV: one writer after the other": history(
        anomalies.OTV, 1, 1, 1, [(1, 11)], 1, [(2, 21)], [(2, 22)], [(1, 12)]
    ),
    "PMP reading: twice the same": history(anomalies.PMP_READ, [], 1, []),
    "PMP reading: both after the insert": history(anomalies.PMP_READ, [(3, 42)], 1, [(3, 42)]),
    "PMP deleting: nothing is left": history(anomalies.PMP_WRITE, 2, [(2, 20)], 1, []),
    "P4: the second read the first one's write": history(anomalies.P4, [(1, 10)], [(1, 11)], 1, 1),
    "P4: the first read the second one's write": history(anomalies.P4, [(1, 12)], [(1, 10)], 1, 1),
    "P4: the first write touched nothing": history(anomalies.P4, [(1, 10)], [(1, 10)], 0, 1),
    "P4: the second write touched nothing": history(anomalies.P4, [(1, 10)], [(1, 10)], 1, 0),
    "G-single: both from the beginning": history(
        anomalies.G_SINGLE, [(1, 10)], BEGINNING, 1, 1, [(2, 20)]
    ),
    "G-single: both from after the commit": history(
        anomalies.G_SINGLE, [(1, 12)], BEGINNING, 1, 1, [(2, 22)]
    ),
    "G-single by predicate: nothing new matches": history(
        anomalies.G_SINGLE_PREDICATE, BEGINNING, 1, []
    ),
    "G-single deleting: the row that was read goes": history(
        anomalies.G_SINGLE_WRITE, [(1, 10)], BEGINNING, 1, 1, 1
    ),
    "G-single deleting: not the beginning was read": history(
        anomalies.G_SINGLE_WRITE, [(1, 12)], BEGINNING, 1, 1, 0
    ),
    "G2-item: one saw the other": history(anomalies.G2_ITEM, BEGINNING, [(1, 11), (2, 20)], 1, 1),
    "G2 by predicate: one saw the other": history(anomalies.G2_INSERT, [], [(3, 21)], 1, 1),
    "G2 through a reader: it saw nothing yet": history(
        anomalies.G2_READER, BEGINNING, 1, BEGINNING, 1
    ),
    "G2 through a reader: it saw both": history(
        anomalies.G2_READER, BEGINNING, 1, [(1, 11), (2, 22)], 1
    ),
    "G2 through a reader: the first read the second one's write": history(
        anomalies.G2_READER, [(1, 10), (2, 22)], 1, [(1, 10), (2, 22)], 1
    ),
    "G2 through a reader: the first write touched nothing": history(
        anomalies.G2_READER, BEGINNING, 1, [(1, 10), (2, 22)], 0
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_anomaly_is_seen_in_what_was_observed(name: str) -> None:
    """Observations that are the anomaly make it possible, whatever the level was called."""
    assert SHOWN[name].finding is Finding.POSSIBLE


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_what_only_resembles_an_anomaly_is_not_one(name: str) -> None:
    """Observations that some order of the sessions explains make none."""
    assert NOT_SHOWN[name].finding is Finding.PREVENTED


def test_every_scenario_has_a_bad_history() -> None:
    """No scenario goes untested: each can say `possible`."""
    assert [one.scenario for one in SHOWN.values()] == list(anomalies.SCENARIOS)


def test_a_schedule_is_written_in_steps() -> None:
    """Each of its words says which session does what, with which statement."""
    assert anomalies._begin(1) == Step(1, Action.BEGIN)
    assert anomalies._read(2, "select") == Step(2, Action.READ, "select")
    assert anomalies._write(3, "update") == Step(3, Action.WRITE, "update")
    assert anomalies._commit(1) == Step(1, Action.COMMIT)
    assert anomalies._abort(2) == Step(2, Action.ABORT)


@pytest.mark.parametrize("scenario", anomalies.SCENARIOS, ids=lambda scenario: scenario.title)
def test_every_session_begins_first_and_ends_last(scenario: Scenario) -> None:
    """Each session's steps are a begin, statements, and a commit or abort."""
    for session in scenario.sessions:
        first, *middle, last = [step.action for step in scenario.steps if step.session == session]

        assert first is Action.BEGIN
        assert set(middle) <= {Action.READ, Action.WRITE}
        assert last in {Action.COMMIT, Action.ABORT}


@pytest.mark.parametrize("scenario", anomalies.SCENARIOS, ids=lambda scenario: scenario.title)
def test_a_session_that_was_given_up_shows_nothing(scenario: Scenario) -> None:
    """What every session saw is undone when all of them end in a conflict: nothing is shown."""
    given_up = [
        StepObservation(
            number, step.session, step.action, step.sql, Ended.FAILED, ((1, 12),), 1, CONFLICT
        )
        for number, step in enumerate(scenario.steps, 1)
    ]
    seen = ScheduleHistory(
        scenario, Isolation.SERIALIZABLE, tuple(given_up), final=((1, 10), (2, 20))
    )

    assert seen.finding is Finding.PREVENTED
