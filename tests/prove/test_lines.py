"""Who watches a proof sees one line for each trial, and in it what turned red."""

from __future__ import annotations

from labkit.journal import CheckEnded, Ending, NotebookEnded, NotebookStarted, RunCancelled
from labkit.prove.lines import TrialLines
from labkit.records import Outcome


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
