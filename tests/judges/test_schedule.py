"""When a schedule's history can be judged, and when it cannot."""

from dataclasses import replace

from labkit.judges.anomalies import P4
from labkit.judges.schedule import (
    Action,
    Ended,
    Finding,
    Isolation,
    ScheduleHistory,
    StatementError,
    StepObservation,
)

DONE = tuple(
    StepObservation(number, step.session, step.action, step.sql, Ended.DONE, ((1, 10),), 1)
    for number, step in enumerate(P4.steps, 1)
)
LOST_UPDATE = ScheduleHistory(P4, Isolation.READ_COMMITTED, DONE)


def failing(sqlstate: str) -> ScheduleHistory:
    """The lost update, had its second write failed."""
    failed = replace(DONE[5], ended=Ended.FAILED, count=0, error=StatementError(sqlstate, "no"))
    return replace(LOST_UPDATE, observations=(*DONE[:5], failed, *DONE[6:]))


def test_a_complete_history_is_judged() -> None:
    """All steps seen, none failing: whether the anomaly showed is known."""
    assert LOST_UPDATE.finding is Finding.POSSIBLE


def test_a_conflict_prevents() -> None:
    """A session that the database gives up for another one's sake: so prevention looks."""
    assert failing("40001").finding is Finding.PREVENTED
    assert failing("40P01").finding is Finding.PREVENTED


def test_another_error_proves_nothing() -> None:
    """A missing table or a lost connection does not pass for prevention."""
    assert failing("42P01").finding is None
    assert failing("08003").finding is None


def test_an_unfinished_schedule_proves_nothing() -> None:
    """A schedule that met its deadline is unknown, whatever had been seen by then."""
    assert replace(LOST_UPDATE, unfinished="it took too long").finding is None


def test_a_history_that_lacks_steps_proves_nothing() -> None:
    """An empty history, or one that breaks off, is unknown."""
    assert replace(LOST_UPDATE, observations=()).finding is None
    assert replace(LOST_UPDATE, observations=DONE[:-1]).finding is None


def test_reads_and_writes_are_told_by_session() -> None:
    """What a session read and touched is kept apart from the other one's."""
    assert LOST_UPDATE.reads(1) == (((1, 10),),)
    assert LOST_UPDATE.touched(2) == (1,)
    assert failing("40001").touched(2) == ()
    assert [seen.session for seen in DONE if seen.action is Action.COMMIT] == [1, 2]


def test_the_sessions_of_a_scenario_are_numbered_upwards() -> None:
    """Whichever begins first."""
    assert P4.sessions == (1, 2)
    assert replace(P4, steps=P4.steps[::-1]).sessions == (1, 2)
