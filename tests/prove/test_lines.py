"""Who watches a proof sees one line for each trial, and in it what turned red."""

from __future__ import annotations

from labkit.journal import (
    CheckEnded,
    Ending,
    NotebookEnded,
    NotebookStarted,
    PlannedCheck,
    PlannedNotebook,
    ProofStarted,
    RunCancelled,
    RunStarted,
)
from labkit.prove.lines import TrialLines
from labkit.records import Outcome
from labkit.sabotage import Trial


def test_head_counts_notebooks_sabotages_and_trials() -> None:
    """Each notebook and check once, however many trials it takes part in."""
    checks = (PlannedCheck("keeps", "claim"), PlannedCheck("counts", "claim"))
    names = ("book", "book--2", "book--forgets", "book--forgets--2", "book--doubles")
    books = tuple(PlannedNotebook(name, "book.ipynb", "Book", checks) for name in names)
    tried = ("", "", "forgets", "forgets", "doubles")
    trials = tuple(Trial(*one) for one in zip(names, ["book"] * 5, tried, strict=True))
    lines = TrialLines()
    assert lines(RunStarted(1.0, "run_1", "0.1.0", "test", books)) is None
    head = lines(ProofStarted(1.0, (), trials, is_whole=True))
    assert head is not None
    assert head.plain == "run run_1: 1 notebook, 2 checks, 2 sabotages: 5 trials"


def test_trial_is_told_in_one_line_at_its_end() -> None:
    """Its reds with their reasons; of two trials side by side each has its own."""
    lines = TrialLines()
    for entry in (
        NotebookStarted(1.0, "book--forgets"),
        CheckEnded(1.0, "book--forgets", "keeps", Outcome.FAILED, "lost", 1.0),
        CheckEnded(1.0, "book", "keeps", Outcome.PASSED, "", 1.0),
        CheckEnded(1.0, "book--forgets", "counts", Outcome.PASSED, "", 1.0),
    ):
        assert lines(entry) is None
    reached = Ending.REACHED_THE_END
    clean = lines(NotebookEnded(1.0, "book", reached, "", None, 3.0))
    faulty = lines(NotebookEnded(1.0, "book--forgets", reached, "", None, 2.0))
    assert clean is not None
    assert clean.plain == "book 3.0 s: nothing is red"
    assert faulty is not None
    assert faulty.plain == "book--forgets 2.0 s: keeps failed (lost)"


def test_all_else_is_told_as_in_a_run() -> None:
    """An early end and a signal have the lines that they have there."""
    lines = TrialLines()
    died = lines(NotebookEnded(1.0, "book", Ending.KERNEL_DIED, "in cell 3", 3, 3.0))
    assert died is not None
    assert died.plain == "  book: kernel-died: in cell 3"
    cancelled = lines(RunCancelled(1.0, "SIGTERM"))
    assert cancelled is not None
    assert cancelled.plain.startswith("SIGTERM")
