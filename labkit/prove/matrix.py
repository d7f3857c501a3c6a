"""The matrix check by sabotage: a pure function of what was planned and what the trials gave.

A sabotage is caught by a check that fails for the reason which stands in the sabotage's `must`; a
crash or a deadline catches nothing. What is otherwise than it has to be is an exception, told in a
sentence, and a proof passes when it has none.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labkit.journal import ProofStarted
from labkit.records import Outcome
from labkit.reports.results import CheckResult, NotebookResult, RunResult
from labkit.sabotage import Sabotage, Trial


class Mark(enum.StrEnum):
    """What a trial shows of one check, the worst last."""

    GREEN = "green"
    """The check need not notice, and did not."""
    SKIPPED = "skipped"
    """The check need not notice, and looked at nothing."""
    DOWNSTREAM = "downstream"
    """The check is red, as it may be."""
    CAUGHT = "caught"
    """The check failed for the expected reason."""
    ALSO_RED = "also red"
    """The check is red, and the sabotage does not concern it."""
    WRONG_REASON = "wrong reason"
    MISSED = "missed"
    UNKNOWN = "unknown"
    """The check never ran to its end, or was skipped where it had to catch."""

    @property
    def is_exception(self) -> bool:
        """Whether a proof with this mark does not pass."""
        return self not in {Mark.GREEN, Mark.SKIPPED, Mark.DOWNSTREAM, Mark.CAUGHT}


_WORST_LAST: Final = tuple(Mark)
_RED: Final = frozenset({Outcome.FAILED, Outcome.BROKEN})


@dataclass(frozen=True)
class Row:
    """A check of a notebook."""

    notebook: str
    check: str
    claim: str


@dataclass(frozen=True)
class Shown:
    """What one trial showed of one check."""

    mark: Mark
    trial: str
    """The name of the trial, whose page shows it."""
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Cell:
    """A check and a sabotage, or the clean platform, in one or several trials."""

    row: Row
    sabotage: str
    """Empty for the clean platform."""
    expected: str
    """The reason code that it must give; empty where it need not turn red."""
    shown: tuple[Shown, ...]

    @property
    def worst(self) -> Shown:
        """The trial that shows the worst mark."""
        return max(self.shown, key=lambda one: _WORST_LAST.index(one.mark))

    @property
    def mark(self) -> Mark:
        """The worst mark of all trials."""
        return self.worst.mark

    @property
    def caught(self) -> int:
        """In how many trials it was caught."""
        return sum(one.mark is Mark.CAUGHT for one in self.shown)


@dataclass(frozen=True)
class Flaw:
    """Why a proof does not pass: one thing, in a sentence."""

    sentence: str
    trial: str = ""
    """The trial that shows it; empty where none does."""
    check: str = ""


@dataclass(frozen=True)
class Matrix:
    """A proof: which check noticed which sabotage."""

    rows: tuple[Row, ...]
    sabotages: tuple[Sabotage, ...]
    """Those that were tried."""
    cells: Mapping[tuple[Row, str], Cell]
    """By check and name of the sabotage; the clean platform's name is empty."""
    flaws: tuple[Flaw, ...]
    is_complete: bool = True
    """Whether the run came to its end as it had to; else its flaws tell what was in the way."""

    @property
    def passes(self) -> bool:
        """Whether it shows what it has to, without an exception."""
        return not self.flaws

    def catches(self, row: Row) -> tuple[Sabotage, ...]:
        """The sabotages that a check caught in every trial."""
        cells = ((one, self.cells.get((row, one.name))) for one in self.sabotages)
        return tuple(one for one, cell in cells if cell is not None and cell.mark is Mark.CAUGHT)


def matrix_of(proof: ProofStarted, run: RunResult) -> Matrix:
    """The matrix of a proof whose run ended like this."""
    results = {notebook.name: notebook for notebook in run.notebooks}
    trials = [(trial, results[trial.name]) for trial in proof.trials]
    tried = {trial.sabotage for trial in proof.trials}
    sabotages = tuple(one for one in proof.sabotages if one.name in tried)
    cells = _cells(trials, {one.name: one for one in sabotages})
    rows = tuple(dict.fromkeys(row for row, _ in cells))
    if run.problems:  # then what was not tried is no exception
        problems = tuple(Flaw(problem.detail) for problem in run.problems)
        return Matrix(rows, sabotages, cells, problems, is_complete=False)
    flaws = (
        *(flaw for cell in cells.values() for flaw in _flaws_of(cell)),
        *_flaws_of_trials(trials),
        *_unproven(rows, proof.sabotages, cells),
        *(_undeclared(rows, proof.sabotages, tried) if proof.is_whole else ()),
    )
    return Matrix(rows, sabotages, cells, flaws)


def _cells(
    trials: Sequence[tuple[Trial, NotebookResult]], sabotages: Mapping[str, Sabotage]
) -> Mapping[tuple[Row, str], Cell]:
    shown: dict[tuple[Row, str], list[Shown]] = {}
    for trial, notebook in trials:
        sabotage = sabotages.get(trial.sabotage)
        for check in notebook.checks:
            row = Row(trial.notebook, check.name, check.claim)
            mark = _mark(check, sabotage)
            one = Shown(mark, trial.name, check.outcome, check.reason)
            shown.setdefault((row, trial.sabotage), []).append(one)
    return {
        (row, name): Cell(row, name, _expected(row, sabotages.get(name)), tuple(found))
        for (row, name), found in shown.items()
    }


def _expected(row: Row, sabotage: Sabotage | None) -> str:
    return (sabotage.expected(row.check) if sabotage else None) or ""


def _mark(check: CheckResult, sabotage: Sabotage | None) -> Mark:
    expected = sabotage.expected(check.name) if sabotage else None
    may = sabotage is not None and check.name in sabotage.may
    if expected is not None:
        return _mark_of_must(check, expected)
    if check.outcome in _RED:
        return Mark.DOWNSTREAM if may else Mark.ALSO_RED
    if check.outcome is Outcome.SKIPPED:
        return Mark.SKIPPED
    return Mark.GREEN if check.outcome.is_green else Mark.UNKNOWN


def _mark_of_must(check: CheckResult, expected: str) -> Mark:
    if check.outcome is Outcome.FAILED and check.reason == expected:
        return Mark.CAUGHT
    if check.outcome in _RED:
        return Mark.WRONG_REASON
    return Mark.MISSED if check.outcome is Outcome.PASSED else Mark.UNKNOWN


def _flaws_of(cell: Cell) -> Iterator[Flaw]:
    worst = cell.worst
    if not worst.mark.is_exception:
        return
    came = f"{worst.outcome} ({worst.reason})" if worst.reason else f"{worst.outcome}"
    check, where = cell.row.check, f"under {cell.sabotage}"
    told = {
        Mark.ALSO_RED: f"{check} is red {where}, which does not concern it: {came}",
        Mark.WRONG_REASON: f"{check} is red {where} for the wrong reason: {came}, not"
        f" failed ({cell.expected})",
        Mark.MISSED: f"{check} misses {cell.sabotage}: it is {came}, not failed ({cell.expected})",
        Mark.UNKNOWN: f"{check} tells nothing {where}: {came}",
    }[worst.mark]
    if not cell.sabotage:
        told = f"{check} is not green on the platform without sabotage: {came}"
    if len(cell.shown) > 1:
        as_it_must = sum(not one.mark.is_exception for one in cell.shown)
        told += f"; {as_it_must} of {len(cell.shown)} trials are as they must be"
    yield Flaw(told, worst.trial, check)


def _flaws_of_trials(trials: Sequence[tuple[Trial, NotebookResult]]) -> Iterator[Flaw]:
    """What is wrong with whole notebooks, beside what their checks tell."""
    for trial, notebook in trials:
        where = f"under {trial.sabotage}" if trial.sabotage else "without sabotage"
        for problem in notebook.problems:
            told = f"{trial.notebook} {where} is {problem.outcome}: {problem.detail}"
            yield Flaw(told, trial.name)


def _unproven(
    rows: Sequence[Row], sabotages: Sequence[Sabotage], cells: Mapping[tuple[Row, str], Cell]
) -> Iterator[Flaw]:
    """Checks that nothing need turn red; one that the platform lets skip claims nothing."""
    proven = {catch.check for sabotage in sabotages for catch in sabotage.must}
    for row in rows:
        clean = cells.get((row, ""))
        was_skipped = clean is not None and clean.worst.outcome is Outcome.SKIPPED
        if row.check not in proven and not was_skipped:
            told = f"{row.check} of {row.notebook} catches nothing: no sabotage must turn it red"
            yield Flaw(told, check=row.check)


def _undeclared(
    rows: Sequence[Row], sabotages: Sequence[Sabotage], tried: Collection[str]
) -> Iterator[Flaw]:
    """Checks that must catch a sabotage of these notebooks, and stand in none of them."""
    declared, areas = {row.check for row in rows}, {row.notebook for row in rows}
    for sabotage in sabotages:
        if sabotage.name not in tried and sabotage.area not in areas:
            continue
        for catch in sabotage.must:
            if catch.check not in declared:
                told = (
                    f"{sabotage.name} must be caught by {catch.check}, which no notebook declares"
                )
                yield Flaw(told)
