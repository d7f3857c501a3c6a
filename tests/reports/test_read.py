"""A run's folder read back: its outcome, its exit code, and what it stood on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.errors import UsageError
from labkit.journal import (
    CheckBegan,
    CheckKilled,
    Ending,
    Entry,
    InfrastructureFailed,
    LeaseNote,
    NotebookEnded,
    NotebookStarted,
    RunCancelled,
    RunEnded,
    RunResumed,
    SecretFound,
    entry_to_line,
)
from labkit.records import Outcome
from labkit.reports.read import read_run
from tests.reports.runs import AT, MISSES, POSTGRES, REDIS, RunFolder, check_cell

SECRET = SecretFound(AT, "index.html", "line 3, URL-quoted")
CANCELLED = RunCancelled(AT, "SIGTERM")
INFRASTRUCTURE = InfrastructureFailed(AT, "PostgreSQL does not answer on 127.0.0.1:5432")


def test_a_green_run(tmp_path: Path) -> None:
    """A run in which all passed is green; its facts come from the journal."""
    run = read_run(RunFolder(tmp_path, cells=[check_cell("rollback")]).write())

    assert (run.exit_code, run.outcome, run.is_green) == (0, Outcome.PASSED, True)
    assert (run.run, run.labkit, run.environment) == ("20260305-140322", "0.1.0", "test")
    assert (run.started_at, run.seconds) == (AT, 4.0)
    assert run.services == (POSTGRES, REDIS)


def test_a_run_with_skips(tmp_path: Path) -> None:
    """A run in which some passed and the rest was skipped is green."""
    cells = [check_cell("rollback"), check_cell("pool", Outcome.SKIPPED, ())]
    run = read_run(RunFolder(tmp_path, checks=("rollback", "pool"), cells=cells).write())
    assert (run.exit_code, run.outcome) == (0, Outcome.SKIPPED)


@pytest.mark.parametrize("outcome", [Outcome.SKIPPED, Outcome.DESELECTED])
def test_a_run_in_which_nothing_passed(tmp_path: Path, outcome: Outcome) -> None:
    """A run in which nothing passed is not green, though nothing is red."""
    run = read_run(RunFolder(tmp_path, cells=[check_cell("rollback", outcome, ())]).write())
    assert (run.exit_code, run.outcome) == (1, outcome)


def test_a_run_that_was_resumed(tmp_path: Path) -> None:
    """What was told of the first try no longer counts, its pause is no time of the run."""
    tried = (
        NotebookStarted(AT + 1, "database"),
        CheckBegan(AT + 1, "database", "rollback"),
        CheckKilled(AT + 1, "database", "rollback", 30.0),
        NotebookEnded(AT + 1, "database", Ending.CANCELLED, "", 1, 1.0),
        InfrastructureFailed(AT + 1, "no more"),
        CANCELLED,
        RunEnded(AT + 2),
    )
    resumed = RunResumed(AT + 2.5, ("database",))
    cells = [check_cell("rollback")]
    run = read_run(RunFolder(tmp_path, cells=cells, entries=(*tried, resumed)).write())
    assert (run.exit_code, run.problems) == (0, ())
    assert run.seconds == 3.5
    assert run.notes == (
        "the run was ended early and resumed on 2026-03-05 14:03:24 UTC, to execute database",
    )


def test_a_resumed_run_is_cut_off_until_its_own_end(tmp_path: Path) -> None:
    """The first end is not that of the second try; of other notebooks all stays told."""
    entries = (RunEnded(AT + 2), RunResumed(AT + 2.5, ("other",)))
    folder = RunFolder(tmp_path, cells=[], ending=Ending.DEADLINE, entries=entries, is_ended=False)
    run = read_run(folder.write())
    assert (run.exit_code, run.problems[0].reason) == (4, "cut-off")
    assert run.notebooks[0].ending is Ending.DEADLINE


@pytest.mark.parametrize("ending", [Ending.KERNEL_DIED, Ending.CHECK_KILLED, Ending.CELL_ERROR])
def test_a_broken_notebook(tmp_path: Path, ending: Ending) -> None:
    """A dead kernel and a check's deadline are results like a failed check, not infrastructure."""
    run = read_run(RunFolder(tmp_path, cells=[check_cell("rollback")], ending=ending).write())
    assert run.exit_code == 1


@pytest.mark.parametrize(
    ("ending", "entries", "is_ended", "exit_code"),
    [
        (Ending.REACHED_THE_END, (), True, 1),
        (Ending.NO_KERNEL, (), True, 3),
        (Ending.NO_LEASE, (), True, 3),
        (Ending.NEVER_STARTED, (INFRASTRUCTURE,), True, 3),
        (Ending.DEADLINE, (), True, 4),
        (Ending.CANCELLED, (), True, 4),
        (Ending.NEVER_STARTED, (CANCELLED,), True, 4),
        (Ending.NO_KERNEL, (), False, 4),
        (Ending.DEADLINE, (INFRASTRUCTURE,), True, 4),
        (Ending.DEADLINE, (INFRASTRUCTURE, SECRET), False, 5),
    ],
)
def test_the_highest_exit_code_counts(
    tmp_path: Path, ending: Ending, entries: tuple[Entry, ...], is_ended: bool, exit_code: int
) -> None:
    """Over a red check, the highest of 5, 4 and 3 that applies is the exit code."""
    run = read_run(
        RunFolder(
            tmp_path,
            cells=[check_cell("rollback", Outcome.FAILED, (MISSES,))],
            ending=ending,
            entries=entries,
            is_ended=is_ended,
        ).write()
    )
    assert run.exit_code == exit_code


@pytest.mark.parametrize("entry", [SECRET, CANCELLED, INFRASTRUCTURE])
def test_a_problem_of_the_run(tmp_path: Path, entry: Entry) -> None:
    """What is wrong with the run itself is told, and green checks do not hide it."""
    folder = RunFolder(tmp_path, cells=[check_cell("rollback")], entries=(entry,))
    run = read_run(folder.write())

    assert not run.is_green
    assert len(run.problems) == 1
    assert run.outcome in {Outcome.UNKNOWN, Outcome.BROKEN}


def test_notes_on_leases(tmp_path: Path) -> None:
    """What the journal notes about leases reaches the reader."""
    note = LeaseNote(AT, "2 leftovers were removed")
    folder = RunFolder(tmp_path, cells=[check_cell("rollback")], entries=(note,))
    assert read_run(folder.write()).notes == ("2 leftovers were removed",)


def test_a_secret_found_after_the_end(tmp_path: Path) -> None:
    """A run took as long as it ran, not until its files had been searched."""
    path = RunFolder(tmp_path, cells=[check_cell("rollback")]).write()
    with (path / "journal.ndjson").open("a", encoding="utf-8") as journal:
        journal.write(entry_to_line(SecretFound(AT + 99, "index.html", "line 3")) + "\n")
    run = read_run(path)

    assert (run.exit_code, run.seconds) == (5, 4.0)


def test_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """A journal that ends in half a line is read up to there: the run was cut off."""
    path = RunFolder(tmp_path, cells=[check_cell("rollback")], is_ended=False).write()
    with (path / "journal.ndjson").open("a", encoding="utf-8") as journal:
        journal.write('{"kind": "run-en')

    assert read_run(path).exit_code == 4


@pytest.mark.parametrize(
    ("journal", "told"),
    [
        (None, "has no journal.ndjson that can be read"),
        ("", "does not begin with the start of a run"),
        ('{"kind": "run-ended", "at": 1.0}\n', "does not begin with the start of a run"),
        ("not JSON\n", "line 1"),
    ],
)
def test_a_folder_that_is_no_run(tmp_path: Path, journal: str | None, told: str) -> None:
    """A folder without a readable journal is refused with its name."""
    if journal is not None:
        (tmp_path / "journal.ndjson").write_text(journal, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        read_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_name_that_leads_elsewhere(tmp_path: Path) -> None:
    """A journal whose notebook's name leads out of the folder is refused."""
    path = RunFolder(tmp_path, cells=[]).write() / "journal.ndjson"
    journal = path.read_text(encoding="utf-8").replace('"name": "database"', '"name": "../up"')
    path.write_text(journal, encoding="utf-8")

    with pytest.raises(UsageError, match=re.escape("names a notebook '../up'")):
        read_run(tmp_path)
