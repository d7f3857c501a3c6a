"""What the last runs say of notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.journal import Ending, ProofStarted
from labkit.records import Outcome
from labkit.reports.build import build_reports
from labkit.reports.past import Past, read_past
from tests.reports.runs import AT, MISSES, RunFolder, check_cell

SOURCE = "notebooks/database.ipynb"


def ran(outputs: Path, name: str, *, red: bool = False, ending: Ending | None = None) -> None:
    """A run with its reports, in which the notebook was green or red."""
    outcome, facts = (Outcome.FAILED, (MISSES,)) if red else (Outcome.PASSED, None)
    cell = check_cell("rollback", outcome, facts) if facts else check_cell("rollback")
    folder = RunFolder(outputs / name, cells=[cell], ending=ending or Ending.REACHED_THE_END)
    build_reports(folder.write())


def test_the_newest_run_counts(tmp_path: Path) -> None:
    """Its time and whether it was red, by the notebook's source; nothing is known of others."""
    assert read_past(tmp_path / "outputs", [SOURCE]) == {}
    ran(tmp_path, "run_01")
    assert read_past(tmp_path, [SOURCE, "other.ipynb"]) == {SOURCE: Past(3.0, is_red=False)}
    ran(tmp_path, "run_02", red=True)
    assert read_past(tmp_path, [SOURCE]) == {SOURCE: Past(3.0, is_red=True)}


@pytest.mark.parametrize("ending", [Ending.DESELECTED, Ending.CANCELLED, Ending.NEVER_STARTED])
def test_a_run_that_did_not_execute_it_tells_nothing(tmp_path: Path, ending: Ending) -> None:
    """Then the run before it counts."""
    ran(tmp_path, "run_01")
    ran(tmp_path, "run_02", ending=ending)
    assert read_past(tmp_path, [SOURCE]) == {SOURCE: Past(3.0, is_red=False)}


def test_proofs_and_what_cannot_be_read_tell_nothing(tmp_path: Path) -> None:
    """A proof's trials are meant to be red; a killed run has no results."""
    ran(tmp_path, "run_01")
    proof = ProofStarted(AT, (), (), is_whole=True)
    build_reports(RunFolder(tmp_path / "run_02", cells=[], entries=(proof,)).write())
    (tmp_path / "run_03").mkdir()
    (tmp_path / "run_04").mkdir()
    (tmp_path / "run_04" / "results.json").write_text("{")
    assert read_past(tmp_path, [SOURCE]) == {SOURCE: Past(3.0, is_red=False)}
