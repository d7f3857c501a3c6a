"""Schedules, isolation levels and figures as a reader gets them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from matplotlib.figure import Figure

from labkit.display import (
    Picture,
    figure_svg,
    isolation_matrix,
    schedule_table,
)
from labkit.judges.anomalies import G0, SCENARIOS
from labkit.judges.isolation import PUBLISHED, IsolationTable
from labkit.judges.schedule import (
    Anomaly,
    Ended,
    Finding,
    Isolation,
    Scenario,
    ScheduleHistory,
    StatementError,
    StepObservation,
)
from labkit.tables import Cell, Tone


def ran(scenario: Scenario, isolation: Isolation, *, shown: bool) -> ScheduleHistory:
    """A complete history of a scenario that shows its anomaly, or does not."""
    seen = tuple(
        StepObservation(number, step.session, step.action, step.sql, Ended.DONE)
        for number, step in enumerate(scenario.steps, 1)
    )
    return ScheduleHistory(replace(scenario, shown=lambda _: shown), isolation, seen)


AS_PUBLISHED = tuple(
    ran(scenario, isolation, shown=PUBLISHED[isolation, scenario.anomaly] is Finding.POSSIBLE)
    for isolation, scenario in product(Isolation, SCENARIOS)
)


def test_the_matrix_shows_levels_by_anomalies() -> None:
    """Three rows of ten cells, each by a sign and a word, and how many are as published."""
    matrix = isolation_matrix(IsolationTable(AS_PUBLISHED))

    assert matrix.columns == ("level", *Anomaly)
    assert [row[0] for row in matrix.rows] == list(Isolation)
    assert matrix.rows[0][1] == Cell("✓ prevented", Tone.GOOD)
    assert matrix.rows[0][7] == Cell("— possible", Tone.NEUTRAL)
    assert matrix.notes[0].startswith("30 of 30 cells equal the published table")
    assert "G0: dirty write; G1a: aborted read" in matrix.notes[1]


def test_a_cell_that_differs_stands_out() -> None:
    """A finding that is not the published one is marked, with both in its text."""
    bad = ran(G0, Isolation.SERIALIZABLE, shown=True)
    matrix = isolation_matrix(IsolationTable((*AS_PUBLISHED, bad)))

    assert matrix.rows[2][1] == Cell("— possible, published: prevented", Tone.BAD)
    assert matrix.notes[0].startswith("29 of 30")


def test_a_cell_that_is_not_known_is_not_shown_as_prevented() -> None:
    """A matrix of nothing has no good cell."""
    matrix = isolation_matrix(IsolationTable(()))

    assert matrix.rows[0][1] == Cell("? not measured, published: prevented", Tone.BAD)
    assert matrix.notes[0].startswith("0 of 30")


def dirty_write(*, conflict: bool) -> ScheduleHistory:
    """Two writers of one row: the second waits, and then goes on or is given up."""
    steps = list(ran(G0, Isolation.REPEATABLE_READ, shown=False).observations)
    steps[2] = replace(steps[2], sql="update t set value = 11", count=1)
    steps[3] = replace(
        steps[3], sql="update t set value = 12", count=1, blocked_by=(1,), released_by=6
    )
    if conflict:
        error = StatementError("40001", "could not serialize access\nDETAIL: more")
        steps[3] = replace(steps[3], ended=Ended.FAILED, error=error)
        steps[6:] = [replace(seen, ended=Ended.SKIPPED) for seen in steps[6:]]
    history = ran(G0, Isolation.REPEATABLE_READ, shown=False)
    return replace(history, observations=tuple(steps), final=((1, 12), (2, 22)))


def test_a_schedule_can_be_followed() -> None:
    """One column for each session; who waits says for whom, and goes on beside the release."""
    table = schedule_table(dirty_write(conflict=False))

    assert table.caption == "G0, dirty write, at repeatable read: prevented"
    assert table.columns == ("step", "session 1", "session 2")
    assert table.rows[2] == ("3", Cell("update t set value = 11\n→ 1 row"), Cell(""))
    blocked = Cell("update t set value = 12\n… blocked by session 1 until step 6")
    assert table.rows[3] == ("4", Cell(""), blocked)
    assert table.rows[5] == ("6", Cell("commit"), Cell("step 4 goes on → 1 row"))
    assert table.notes == ("At the end: (1, 12), (2, 22).",)


def test_a_conflict_and_what_it_skips_can_be_followed() -> None:
    """An error stands where it came, in one line; steps that were never run are muted."""
    table = schedule_table(dirty_write(conflict=True))

    error = "step 4 goes on → error 40001: could not serialize access; rolled back"
    assert table.rows[5] == ("6", Cell("commit"), Cell(error))
    assert table.rows[7] == (
        "8",
        Cell(""),
        Cell("commit\n(skipped: rolled back before)", Tone.MUTED),
    )


def test_an_unfinished_schedule_says_so() -> None:
    """A schedule that met its deadline shows how far it came, and that nothing is known."""
    whole = dirty_write(conflict=False)
    stuck = replace(whole.observations[3], ended=Ended.UNFINISHED, released_by=None)
    history = replace(
        whole, observations=(*whole.observations[:3], stuck), unfinished="it took too long"
    )
    table = schedule_table(history)

    assert table.caption.endswith(": unknown")
    assert table.rows[3][2] == Cell(
        "update t set value = 12\n… blocked by session 1\n→ never ended"
    )
    assert table.notes[-1] == "Unknown, since it took too long."


def drawn() -> Picture:
    """A figure with a line and a title."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], [3, 1, 2])
    axes.set_title("latency & <order>")
    return figure_svg(figure, "Latency falls and rises again.")


def test_a_figure_is_the_same_bytes_every_time() -> None:
    """The same drawing gives the same SVG: no date, no random names."""
    assert drawn() == drawn()
    assert "<dc:date>" not in drawn().svg


def test_a_figure_keeps_its_texts_and_has_words_for_who_cannot_see_it() -> None:
    """Labels can be searched in the SVG, and its sentence is the plain text."""
    bundle = drawn()._repr_mimebundle_(include=None, exclude=None)

    assert "latency &amp; &lt;order&gt;</text>" in bundle["image/svg+xml"]
    assert bundle["text/plain"] == "Latency falls and rises again."
