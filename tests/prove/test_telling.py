"""How a proof is told at its end: exceptions in sentences, and what cut it short before them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from labkit.commands.proof import tell_proof
from labkit.records import Outcome
from labkit.reports.results import Problem, RunResult
from tests.prove.proofs import matrix
from tests.prove.test_pages import SOUND, UNSOUND


def told(run: RunResult) -> list[str]:
    """The lines that are printed of a proof."""
    file = io.StringIO()
    tell_proof(run, matrix(run), Path("outputs/run_1"), Console(file=file, width=1_000))
    return file.getvalue().splitlines()


def test_proof_that_passes_is_told_in_one_line() -> None:
    """With what was tried, and the way to the matrix."""
    [line] = told(SOUND)
    assert line.startswith("2 sabotages, each caught by every check that must")
    assert line.endswith(" · 2 checks, 2 sabotages, 3 trials, 2 catches · outputs/run_1/proof.html")


def test_each_exception_has_a_line() -> None:
    """Before the verdict."""
    lines = told(UNSOUND)
    assert [line[:2] for line in lines] == ["✗ ", "✗ ", "2 "]


def test_proof_that_was_cut_short_tells_that_alone() -> None:
    """What was never tried is no exception."""
    problem = Problem(Outcome.UNKNOWN, "cancelled", "the run was asked to stop (SIGINT)")
    lines = told(replace(UNSOUND, problems=(problem,)))
    assert lines[0] == "✗ the run was asked to stop (SIGINT)"
    assert lines[1].startswith("the proof did not come to its end · ")
    assert len(lines) == 2
