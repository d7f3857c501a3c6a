"""What was covered is added up, the least of it first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from labkit.journal import CoverageMeasured, FileCoverage, RunResumed
from labkit.reports.covered import Covered, table_of, united
from labkit.reports.html import Pages
from labkit.reports.read import read_run
from labkit.reports.results_json import results_json
from tests.reports.pages import Page
from tests.reports.runs import AT, RunFolder, check_cell

FILES = (
    FileCoverage("shop", 0, ()),
    FileCoverage("shop.cart", 2_000, (17,)),
    FileCoverage("shop.till", 3, (1, 2, 3)),
)


def test_modules_stand_in_order_below_all_of_them() -> None:
    """Nothing rounds up to all of it, and a module without a statement is covered."""
    table = table_of(FILES)
    assert table.all == Covered("all", 2_003, 4)
    shares = [(one.module, one.share) for one in table.modules]
    assert shares == [("shop.till", "0.0 %"), ("shop.cart", "99.9 %"), ("shop", "100.0 %")]


def test_parts_of_a_run_are_united() -> None:
    """A line that ran in one of them ran; what was changed between them tells of itself alone."""
    first = (FileCoverage("shop.cart", 3, (1, 2)), FileCoverage("shop.till", 3, (1, 2)))
    then = (FileCoverage("shop.cart", 3, (2, 3)), FileCoverage("shop.till", 2, (2,)))
    new = (FileCoverage("shop.bag", 1, ()),)
    assert united([first, then, new]) == (
        FileCoverage("shop.bag", 1, ()),
        FileCoverage("shop.cart", 3, (2,)),
        FileCoverage("shop.till", 2, (2,)),
    )


def test_run_that_was_measured_in_part_says_so(tmp_path: Path) -> None:
    """It was resumed, and in one of its parts nothing was measured."""
    resumed = RunResumed(AT, ("transactions",))
    measured = CoverageMeasured(AT, FILES[1:])
    told = "coverage was measured in 1 of 2 parts of the run alone"
    for number, (entries, is_part) in enumerate(
        [((measured, resumed), True), ((measured, resumed, measured), False), ((resumed,), False)]
    ):
        run = read_run(RunFolder(tmp_path / str(number), cells=[], entries=entries).write())
        assert (told in run.notes) is is_part
        assert (run.coverage is None) is (measured not in entries)


def test_page_and_machines_are_told(tmp_path: Path) -> None:
    """All in one line, each module a row; a run that measured nothing says nothing of it."""
    silent = read_run(RunFolder(tmp_path, cells=[check_cell("rollback")]).write())
    run = replace(silent, coverage=FILES)
    page = Page(Pages(run).index())
    assert "99.8 % of 2,003 statements in 3 modules, 4 missed" in page.text
    assert ["shop.till", "3", "3", "0.0 %"] in page.rows
    assert json.loads(results_json(run))["coverage"][1] == {
        "module": "shop.cart",
        "statements": 2_000,
        "missed": 1,
    }
    assert "Coverage of the target" not in Page(Pages(silent).index()).text
    assert json.loads(results_json(silent))["coverage"] is None
