"""Notebooks that are executed several times in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from labkit.batch.repetition import repeated
from labkit.reports.repeats import steadiness
from labkit.services.endpoints import Services
from tests.batch.runs import check, notebook, passing, planned, run_planned, variables

ONCE_RED: Final = """
from pathlib import Path
turns = Path("turns")
turns.write_text(turns.read_text() + "x" if turns.exists() else "x")
check.equal(len(turns.read_text()) == 2, False, "is the second", reason="second")"""


def test_once_is_the_plan_itself(tmp_path: Path) -> None:
    """Nothing is repeated unless it was asked for."""
    plan = planned(notebook(tmp_path / "one.ipynb", passing("holds")))
    assert repeated(plan, 1) is plan


def test_executions_have_names_of_their_own(tmp_path: Path) -> None:
    """Each name is free, though a notebook is called like another's second execution."""
    books = [notebook(tmp_path / f"{name}.ipynb", passing("holds")) for name in ("one", "one-2")]
    plan = repeated(planned(*books), 2)
    assert [job.repeats for job in plan.jobs] == ["one", "one", "one-2", "one-2"]
    names = [job.name for job in plan.jobs]
    assert len(set(names)) == 4
    assert names[:2] == ["one", "one-2"]


def test_a_repetition_never_hides_a_red(tmp_path: Path, services: Services) -> None:
    """Green, red, green is red; what repeats is told of each check, each execution is kept."""
    book = notebook(tmp_path / "flaky.ipynb", check("sometimes", ONCE_RED), passing("always"))
    ran = run_planned(tmp_path, repeated(planned(book), 3), environment=variables(services))
    assert ran.result.exit_code == 1
    assert [str(one.outcome) for one in ran.result.notebooks] == ["passed", "failed", "passed"]
    told = [(one.check, one.green, one.times) for one in steadiness(ran.result)]
    assert told == [("sometimes", 2, 3), ("always", 3, 3)]
    executed = sorted(path.stem for path in ran.folder.glob("*.ipynb"))
    assert executed == ["flaky", "flaky-2", "flaky-3"]
