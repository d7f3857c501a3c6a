"""What a check shows: schedules and isolation levels as tables, and figures as SVG."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.judges.anomalies import SCENARIOS
from labkit.judges.isolation import PUBLISHED, SOURCE, IsolationTable
from labkit.judges.schedule import (
    Action,
    Anomaly,
    Ended,
    Finding,
    Isolation,
    Row,
    ScheduleHistory,
    StepObservation,
)
from labkit.tables import Cell, Table, Tone

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """An SVG picture with the words that stand for it where it cannot be seen."""

    svg: str
    words: str

    def _repr_mimebundle_(self, **_kinds: object) -> dict[str, Any]:
        return {"text/plain": self.words, "image/svg+xml": self.svg}


def figure_svg(figure: Figure, words: str) -> Picture:
    """A matplotlib figure as SVG: its texts stay texts, and the same figure gives the same bytes.

    `words` says in a sentence what the figure shows.
    """
    # Only who draws pays for the import.
    matplotlib = importlib.import_module("matplotlib")
    settings = {"svg.fonttype": "none", "svg.hashsalt": "labkit"}
    written = io.StringIO()
    with matplotlib.rc_context(settings):
        figure.savefig(written, format="svg", metadata={"Date": None, "Title": words})
    return Picture(written.getvalue(), words)


def isolation_matrix(table: IsolationTable) -> Table:
    """Levels by anomalies: what was prevented and what was possible, beside what is published."""
    equal = sum(table.finding(*cell) is published for cell, published in PUBLISHED.items())
    titles = {one.anomaly: one.title.partition(",")[0] for one in reversed(SCENARIOS)}
    return Table(
        caption="Anomalies by isolation level",
        columns=("level", *Anomaly),
        rows=tuple(
            (isolation.value, *(_matrix_cell(table, isolation, anomaly) for anomaly in Anomaly))
            for isolation in Isolation
        ),
        notes=(
            f"{equal} of {len(PUBLISHED)} cells equal the published table: {SOURCE}.",
            "; ".join(f"{anomaly}: {titles[anomaly]}" for anomaly in Anomaly) + ".",
        ),
    )


def _matrix_cell(table: IsolationTable, isolation: Isolation, anomaly: Anomaly) -> Cell:
    finding, published = table.finding(isolation, anomaly), PUBLISHED[isolation, anomaly]
    if finding is None:
        return Cell(f"? not measured, published: {published}", Tone.BAD)
    text = f"{'✓' if finding is Finding.PREVENTED else '—'} {finding}"
    if finding is not published:
        return Cell(f"{text}, published: {published}", Tone.BAD)
    return Cell(text, Tone.GOOD if finding is Finding.PREVENTED else Tone.NEUTRAL)


def schedule_table(history: ScheduleHistory) -> Table:
    """One schedule as it ran, step by step: who did what, waited for whom, and went on when."""
    scenario, sessions = history.scenario, history.scenario.sessions
    notes = [f"At the end: {_rows_text(history.final)}."]
    if history.unfinished:
        notes.append(f"Unknown, since {history.unfinished}.")
    return Table(
        caption=(
            f"{scenario.anomaly}, {scenario.title}, at {history.isolation}: "
            f"{history.finding or 'unknown'}"
        ),
        columns=("step", *(f"session {session}" for session in sessions)),
        rows=tuple(
            (str(seen.number), *(_schedule_cell(history, seen, session) for session in sessions))
            for seen in history.observations
        ),
        notes=tuple(notes),
    )


def _schedule_cell(history: ScheduleHistory, seen: StepObservation, session: int) -> Cell:
    """What a session did while a step was the latest: the step itself, or going on with another."""
    if seen.session == session:
        tone = Tone.MUTED if seen.ended is Ended.SKIPPED else Tone.NEUTRAL
        return Cell("\n".join(_step_lines(seen)), tone)
    released = [
        f"step {other.number} goes on {_result(other)}".rstrip()
        for other in history.observations
        if other.session == session and other.released_by == seen.number
    ]
    return Cell("\n".join(released))


def _step_lines(seen: StepObservation) -> Iterator[str]:
    yield seen.sql or seen.action.value
    if seen.blocked_by:
        until = f" until step {seen.released_by}" if seen.released_by else ""
        yield f"… blocked by session {' and '.join(map(str, seen.blocked_by))}{until}"
    if not seen.released_by and (result := _result(seen)):
        yield result


def _result(seen: StepObservation) -> str:
    match seen.ended, seen.action:
        case Ended.SKIPPED, _:
            return "(skipped: rolled back before)"
        case Ended.UNFINISHED, _:
            return "→ never ended"
        case Ended.FAILED, _:
            return f"→ {_error_text(seen)}; rolled back"
        case Ended.DONE, Action.READ:
            return f"→ {_rows_text(seen.rows)}"
        case Ended.DONE, Action.WRITE:
            return f"→ {seen.count} row{'' if seen.count == 1 else 's'}"
    return ""


def _error_text(seen: StepObservation) -> str:
    if seen.error is None:
        return "error"
    return f"error {seen.error.sqlstate}: {seen.error.message.splitlines()[0]}"


def _rows_text(rows: tuple[Row, ...]) -> str:
    return ", ".join(map(str, rows)) or "no row"
