"""Checks that are left out: their cells do not run, and nothing is claimed of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import nbformat
import pytest

from labkit.batch.selection import select
from labkit.errors import UsageError
from labkit.journal import Ending
from labkit.reports.texts import totals, verdict
from labkit.services.endpoints import Services
from tests.batch.runs import (
    check,
    failing,
    notebook,
    outcomes,
    passing,
    planned,
    problems,
    run_planned,
    variables,
)
from tests.notebook_files import code

SETS_UP: Final = code("answer = 42")
USES: Final = 'check.equal(answer, 42, "answer", reason="other")'
NOT_SELECTED: Final = "deselected not-selected"


def test_only_what_was_asked_for_is_executed(tmp_path: Path, services: Services) -> None:
    """Setup runs, a deselected body does not, whatever it would do; the run says so."""
    leaves = f"from pathlib import Path\nPath({str(tmp_path / 'trace')!r}).touch()"
    books = [
        notebook(tmp_path / "first.ipynb", SETS_UP, check("acts", leaves), check("uses", USES)),
        notebook(tmp_path / "other.ipynb", failing("fails")),
    ]
    plan = select(planned(*books), "uses")
    ran = run_planned(tmp_path, plan, environment=variables(services))
    assert outcomes(ran.notebook("first")) == {"acts": NOT_SELECTED, "uses": "passed"}
    assert outcomes(ran.notebook("other")) == {"fails": NOT_SELECTED}
    assert not (tmp_path / "trace").exists()
    assert ran.notebook("other").ending is Ending.DESELECTED
    assert (ran.result.exit_code, ran.result.problems) == (0, ())
    assert verdict(ran.result) == "1 of 1 check passed, 2 deselected"
    assert totals(ran.result) == "2 deselected, 1 passed"
    executed = nbformat.read(ran.folder / "first.ipynb", as_version=4)
    assert ran.folder.joinpath("other.ipynb").exists() is False
    assert [cell.metadata.tags for cell in executed.cells if "skip" in str(cell.metadata.tags)] == [
        ["skip-execution"]
    ]
    assert executed.metadata.papermill.input_path == str(tmp_path / "first.ipynb")


def test_what_another_check_defines_is_missed_by_name(tmp_path: Path, services: Services) -> None:
    """A check that lives on a deselected one is broken, and its detail says what it misses."""
    book = notebook(tmp_path / "first.ipynb", check("defines", "answer = 42"), check("uses", USES))
    plan = select(planned(book), "uses")
    first = run_planned(tmp_path, plan, environment=variables(services)).notebook("first")
    assert outcomes(first) == {"defines": NOT_SELECTED, "uses": "broken exception"}
    assert "NameError: name 'answer' is not defined" in first.checks[1].detail
    assert problems(first) == []


def test_a_red_check_that_was_asked_for_is_red(tmp_path: Path, services: Services) -> None:
    """Leaving others out hides nothing of it."""
    book = notebook(tmp_path / "first.ipynb", failing("fails"), passing("holds"))
    plan = select(planned(book), "fails")
    assert run_planned(tmp_path, plan, environment=variables(services)).result.exit_code == 1


def test_a_notebooks_name_stands_for_its_checks(tmp_path: Path) -> None:
    """The area selects as well as the check, and both together."""
    books = [
        notebook(tmp_path / f"{name}.ipynb", passing("holds"), passing("lasts"))
        for name in ("cache", "pool")
    ]
    for expression, deselected in (
        ("cache", [0, 2]),
        ("lasts", [1, 1]),
        ("cache and lasts or pool", [1, 0]),
    ):
        plan = select(planned(*books), expression)
        assert [len(job.deselected) for job in plan.jobs] == deselected


def test_checks_of_one_cell_go_together(tmp_path: Path) -> None:
    """A cell is sent as a whole, so none of its checks can be left out alone."""
    both = code(passing("one").source + "\n" + passing("two").source)
    plan = select(planned(notebook(tmp_path / "b.ipynb", both, passing("three"))), "two")
    assert plan.jobs[0].deselected == {"three"}


def test_an_expression_that_selects_nothing_is_refused(tmp_path: Path) -> None:
    """A run of nothing would be green for no reason."""
    plan = planned(notebook(tmp_path / "first.ipynb", passing("holds"), passing("lasts")))
    told = "-k 'pool' selects no check of the notebooks of this run; labkit list shows their names"
    with pytest.raises(UsageError, match=re.escape(told)):
        select(plan, "pool")
