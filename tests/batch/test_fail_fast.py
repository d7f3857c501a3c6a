"""A run that stops at the first red notebook: what it still does, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from labkit.journal import Ending
from labkit.reports.texts import verdict
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
from tests.batch.test_workers import MEETS
from tests.notebook_files import code

RAISES: Final = "raise ValueError('outside of any check')"
OUTLIVES: Final = """
import asyncio
from pathlib import Path
[journal] = Path("outputs").glob("run_*/journal.ndjson")
async with asyncio.timeout(20):
    while '"notebook-ended", ' not in journal.read_text():
        await asyncio.sleep(0.01)
check.equal(1, 1, "one", reason="not-one")"""
"""Ends when another notebook has."""


@pytest.mark.parametrize("way", ["a check fails", "a cell raises"])
def test_nothing_is_begun_after_a_red_notebook(
    way: str, tmp_path: Path, services: Services
) -> None:
    """The rest is deselected and says for whom; verdict and exit code are those of the red."""
    red = failing("fails") if way == "a check fails" else code(RAISES)
    books = [
        notebook(tmp_path / "green.ipynb", passing("holds")),
        notebook(tmp_path / "red.ipynb", passing("before"), red),
        notebook(tmp_path / "rest.ipynb", passing("holds")),
    ]
    ran = run_planned(tmp_path, planned(*books), environment=variables(services), fail_fast=True)
    rest = ran.notebook("rest")
    assert (ran.result.exit_code, rest.ending) == (1, Ending.DESELECTED)
    assert outcomes(ran.notebook("green")) == {"holds": "passed"}
    assert outcomes(rest) == {"holds": "deselected fail-fast"}
    assert "red was red" in rest.checks[0].detail
    assert problems(rest) == []
    assert "red" in verdict(ran.result) or "1 check failed" in verdict(ran.result)
    assert (ran.folder / "rest.html").is_file()
    assert not (ran.folder / "rest.ipynb").exists()


def test_a_green_run_is_not_cut_short(tmp_path: Path, services: Services) -> None:
    """Without a red notebook all are executed."""
    books = [notebook(tmp_path / f"{name}.ipynb", passing("holds")) for name in ("one", "two")]
    ran = run_planned(tmp_path, planned(*books), environment=variables(services), fail_fast=True)
    assert [one.ending for one in ran.result.notebooks] == [Ending.REACHED_THE_END] * 2
    assert ran.result.exit_code == 0


def test_what_runs_beside_the_red_one_comes_to_its_end(tmp_path: Path, services: Services) -> None:
    """The other one goes on after the red one has ended; the third has no turn any more."""
    left, right = MEETS.format(me="left", other="right"), MEETS.format(me="right", other="left")
    books = [
        notebook(tmp_path / "red.ipynb", check("meets", left), failing("fails")),
        notebook(tmp_path / "green.ipynb", check("meets", right), check("outlives", OUTLIVES)),
        notebook(tmp_path / "rest.ipynb", passing("holds")),
    ]
    ran = run_planned(
        tmp_path, planned(*books), environment=variables(services), workers=2, fail_fast=True
    )
    assert outcomes(ran.notebook("green")) == {"meets": "passed", "outlives": "passed"}
    assert ran.notebook("rest").ending is Ending.DESELECTED
    assert ran.result.exit_code == 1
