"""How steady checks were that were executed several times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.journal import Ending
from labkit.records import Outcome
from labkit.reports.html import Pages
from labkit.reports.junit import junit_xml
from labkit.reports.read import read_run
from labkit.reports.repeats import Steadiness, steadiness, wilson
from labkit.reports.results import NotebookResult, RunResult
from labkit.reports.results_json import results_json
from labkit.reports.summary import summary_md
from tests.reports.pages import Page
from tests.reports.runs import RunFolder, check_cell

TOLD = "2 of 3 green, flake rate 33.3 % (95 %: 6.1 to 79.2 %)"


@pytest.mark.parametrize(
    ("hits", "times", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (1, 20, 0.0089, 0.2361),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (0, 1, 0.0, 0.7935),
    ],
)
def test_wilsons_interval(hits: int, times: int, low: float, high: float) -> None:
    """The published bounds; never a certainty, however seldom or often it was seen."""
    assert wilson(hits, times) == pytest.approx((low, high), abs=5e-5)


def run_of(root: Path, *outcomes: Outcome, repeats: str = "database") -> RunResult:
    """A run of one notebook whose executions have these outcomes of their only check."""
    run = read_run(
        RunFolder(root, cells=[check_cell("rollback")], ending=Ending.CELL_ERROR).write()
    )
    (book,) = run.notebooks
    books = [_with(book, outcome, n, repeats) for n, outcome in enumerate(outcomes, start=1)]
    return replace(run, notebooks=tuple(books))


def _with(book: NotebookResult, outcome: Outcome, number: int, repeats: str) -> NotebookResult:
    checks = tuple(replace(check, outcome=outcome) for check in book.checks)
    return replace(book, name=f"database-{number}", checks=checks, repeats=repeats)


def test_each_check_has_its_rate(tmp_path: Path) -> None:
    """Skipped is green, what left no result is not, and a deselected one does not count."""
    outcomes = [Outcome.PASSED, Outcome.SKIPPED, Outcome.UNKNOWN, Outcome.DESELECTED]
    (one,) = steadiness(run_of(tmp_path, *outcomes))
    assert one == Steadiness("database", "rollback", "the claim of rollback", 3, 2)
    assert one.flake_rate == pytest.approx(1 / 3)
    assert one.sentence == TOLD


def test_the_least_steady_comes_first(tmp_path: Path) -> None:
    """Checks of all notebooks are sorted by their rate; an executed-once notebook has none."""
    red = run_of(tmp_path, Outcome.PASSED, Outcome.FAILED, repeats="red")
    green = run_of(tmp_path, Outcome.PASSED, Outcome.PASSED, repeats="green")
    once = run_of(tmp_path, Outcome.FAILED, repeats="")
    both = replace(red, notebooks=once.notebooks + green.notebooks + red.notebooks)
    assert [one.notebook for one in steadiness(both)] == ["red", "green"]
    assert steadiness(once) == ()


def test_every_report_tells_it(tmp_path: Path) -> None:
    """JSON has the numbers; JUnit, page and summary have count, rate and interval."""
    run = run_of(tmp_path, Outcome.PASSED, Outcome.PASSED, Outcome.FAILED)
    (told,) = json.loads(results_json(run))["repeats"]
    low, high = told.pop("flake_rate_95")
    assert (round(low, 3), round(high, 3)) == (0.061, 0.792)
    assert told == {
        "notebook": "database",
        "check": "rollback",
        "times": 3,
        "green": 2,
        "flake_rate": pytest.approx(1 / 3),
    }
    assert (
        junit_xml(run).count(f'<property name="repeats of rollback" value="{TOLD}"/>'.encode()) == 3
    )
    page = Page(Pages(run).index())
    assert ["", "database", "2 of 3", "33.3 % (95 %: 6.1 to 79.2 %)"] in page.rows
    assert "| 2 of 3 | 33.3 % (95 %: 6.1 to 79.2 %) |" in summary_md(run)


def test_a_run_without_repetitions_does_not_speak_of_them(tmp_path: Path) -> None:
    """No empty section, list or property."""
    run = read_run(RunFolder(tmp_path, cells=[check_cell("rollback")]).write())
    assert json.loads(results_json(run))["repeats"] == []
    for report in (Pages(run).index(), summary_md(run), junit_xml(run).decode()):
        assert "epeti" not in report
        assert "repeats" not in report
