"""What is believed of an executed notebook."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_output

from labkit.journal import CheckBegan, CheckKilled, Ending
from labkit.records import Outcome, record_to_json
from labkit.reports.read import read_run
from labkit.reports.results import CheckResult, NotebookResult
from tests.reports.runs import AT, HOLDS, MISSES, RunFolder, cell, check_cell, record, started


def notebook_of(folder: RunFolder) -> NotebookResult:
    """The result of the folder's only notebook."""
    return read_run(folder.write()).notebooks[0]


def check_of(folder: RunFolder, name: str = "rollback") -> CheckResult:
    """The result of one check of the folder's notebook."""
    return next(check for check in notebook_of(folder).checks if check.name == name)


def told(check: CheckResult) -> tuple[Outcome, str]:
    """A check's outcome and reason code."""
    return check.outcome, check.reason


def reasons(notebook: NotebookResult) -> list[str]:
    """The reason codes of the notebook's own problems."""
    return [problem.reason for problem in notebook.problems]


class TestRecords:
    """What a record has to bear to be believed."""

    @pytest.mark.parametrize(
        ("outcome", "facts"),
        [
            (Outcome.PASSED, (HOLDS,)),
            (Outcome.FAILED, (HOLDS, MISSES)),
            (Outcome.BROKEN, ()),
            (Outcome.SKIPPED, ()),
            (Outcome.UNKNOWN, (HOLDS,)),
            (Outcome.DESELECTED, ()),
        ],
    )
    def test_an_outcome_that_its_facts_bear(
        self, tmp_path: Path, outcome: Outcome, facts: tuple[()]
    ) -> None:
        """A record is believed where its expectations bear its outcome."""
        check = check_of(RunFolder(tmp_path, cells=[check_cell("rollback", outcome, facts)]))

        assert check.outcome is outcome
        assert check.expectations == facts
        assert check.cell == 1
        assert check.seconds == 0.25

    def test_passed_without_an_expectation(self, tmp_path: Path) -> None:
        """A check that passed and compared nothing is broken."""
        folder = RunFolder(tmp_path, cells=[check_cell("rollback", facts=())])
        assert told(check_of(folder)) == (Outcome.BROKEN, "vacuous")

    @pytest.mark.parametrize(
        ("outcome", "facts"),
        [(Outcome.PASSED, (HOLDS, MISSES)), (Outcome.SKIPPED, (HOLDS,))],
    )
    def test_an_outcome_against_its_facts(
        self, tmp_path: Path, outcome: Outcome, facts: tuple[()]
    ) -> None:
        """A check that passed against a fact, or was skipped after one, is broken."""
        folder = RunFolder(tmp_path, cells=[check_cell("rollback", outcome, facts)])
        assert told(check_of(folder)) == (Outcome.BROKEN, "contradiction")

    def test_several_records_of_one_check(self, tmp_path: Path) -> None:
        """Of several records of one check the worst counts, wherever it stands."""
        cells = [
            check_cell("rollback"),
            check_cell("rollback", Outcome.FAILED, (MISSES,)),
            check_cell("rollback"),
        ]
        check = check_of(RunFolder(tmp_path, cells=cells))

        assert told(check) == (Outcome.FAILED, "partial-write")
        assert check.cell == 2

    def test_an_undeclared_check(self, tmp_path: Path) -> None:
        """A record under a name that the source does not declare is a broken check, told once."""
        notebook = notebook_of(
            RunFolder(tmp_path, cells=[check_cell("rollback"), check_cell("x"), check_cell("x")])
        )

        assert [check.name for check in notebook.checks] == ["rollback", "x"]
        assert told(notebook.checks[1]) == (Outcome.BROKEN, "undeclared-check")
        assert notebook.outcome is Outcome.BROKEN

    @pytest.mark.parametrize(
        "change",
        [{"outcome": "splendid"}, {"version": 9}, {"surplus": 1}, {"seconds": float("inf")}],
    )
    def test_a_malformed_record(self, tmp_path: Path, change: dict[str, object]) -> None:
        """An output that only looks like a record breaks its notebook."""
        odd = {**record_to_json(record("rollback")), **change}
        notebook = notebook_of(RunFolder(tmp_path, cells=[check_cell("rollback"), cell(odd)]))

        assert reasons(notebook) == ["malformed-record"]
        assert notebook.outcome is Outcome.BROKEN
        assert notebook.checks[0].outcome is Outcome.PASSED


class TestChecksWithoutARecord:
    """What is said of a check that left no record of its end."""

    def test_a_check_that_never_ran(self, tmp_path: Path) -> None:
        """A planned check of which nothing was seen is unknown."""
        folder = RunFolder(tmp_path, checks=("rollback", "pool"), cells=[check_cell("rollback")])
        assert told(check_of(folder, "pool")) == (Outcome.UNKNOWN, "never-ran")

    @pytest.mark.parametrize(
        ("ending", "reason"),
        [
            (Ending.KERNEL_DIED, "kernel-died"),
            (Ending.CANCELLED, "interrupted"),
            (Ending.DEADLINE, "interrupted"),
            (Ending.CELL_ERROR, "no-record"),
            (Ending.REACHED_THE_END, "no-record"),
            (None, "cut-off"),
        ],
    )
    def test_a_check_that_was_cut_off(
        self, tmp_path: Path, ending: Ending | None, reason: str
    ) -> None:
        """A check that started and did not end is broken, for the reason that ended it."""
        folder = RunFolder(tmp_path, cells=[cell(started("rollback"))], ending=ending)
        check = check_of(folder)

        assert told(check) == (Outcome.BROKEN, reason)
        assert check.cell == 1

    def test_a_check_that_only_the_journal_saw_begin(self, tmp_path: Path) -> None:
        """A start that came in, but whose output was lost with its kernel, counts as a start."""
        folder = RunFolder(
            tmp_path,
            cells=[],
            ending=Ending.KERNEL_DIED,
            entries=(CheckBegan(AT, "database", "rollback"),),
        )
        assert told(check_of(folder)) == (Outcome.BROKEN, "kernel-died")

    def test_a_check_that_resisted_its_deadline(self, tmp_path: Path) -> None:
        """A check that its kernel was killed for is broken by its deadline; later ones unknown."""
        notebook = notebook_of(
            RunFolder(
                tmp_path,
                checks=("rollback", "pool"),
                cells=[cell(started("rollback"))],
                ending=Ending.CHECK_KILLED,
                is_closed=False,
                entries=(CheckKilled(AT, "database", "rollback", 30.0),),
            )
        )

        assert [told(check) for check in notebook.checks] == [
            (Outcome.BROKEN, "deadline"),
            (Outcome.UNKNOWN, "never-ran"),
        ]
        assert "30 s" in notebook.checks[0].detail
        assert not notebook.problems

    def test_a_second_start_without_an_end(self, tmp_path: Path) -> None:
        """A check that ended once and was cut off when it ran again is broken."""
        cells = [check_cell("rollback"), cell(started("rollback"))]
        folder = RunFolder(tmp_path, cells=cells, ending=Ending.KERNEL_DIED, is_closed=False)
        assert told(check_of(folder)) == (Outcome.BROKEN, "kernel-died")


class TestEndings:
    """What the end of a notebook adds to its checks."""

    def test_the_end_was_reached(self, tmp_path: Path) -> None:
        """A notebook that reached its end and closed its lab is as good as its checks."""
        notebook = notebook_of(RunFolder(tmp_path, cells=[check_cell("rollback")]))
        assert (notebook.outcome, notebook.problems) == (Outcome.PASSED, ())

    def test_the_end_was_reached_without_closing(self, tmp_path: Path) -> None:
        """A notebook that never closed its lab is broken, although its last cell ran."""
        folder = RunFolder(tmp_path, cells=[check_cell("rollback")], is_closed=False)
        notebook = notebook_of(folder)
        assert (notebook.outcome, reasons(notebook)) == (Outcome.BROKEN, ["not-closed"])

    def test_a_notebook_that_was_left_out(self, tmp_path: Path) -> None:
        """Its checks are deselected for the reason that the run gives, and nothing is wrong."""
        notebook = notebook_of(RunFolder(tmp_path, ending=Ending.DESELECTED, detail="first is red"))
        (check,) = notebook.checks

        assert told(check) == (Outcome.DESELECTED, "fail-fast")
        assert check.detail == "first is red"
        assert (notebook.outcome, reasons(notebook)) == (Outcome.DESELECTED, [])

    @pytest.mark.parametrize("ending", sorted(set(Ending) - {Ending.REACHED_THE_END}))
    def test_every_other_ending(self, tmp_path: Path, ending: Ending) -> None:
        """No other ending is ever green, though every check is and the lab says it closed."""
        folder = RunFolder(tmp_path, cells=[check_cell("rollback")], ending=ending)
        notebook = notebook_of(folder)
        unknown = {Ending.CANCELLED, Ending.DEADLINE, Ending.NEVER_STARTED}

        assert notebook.outcome is (Outcome.UNKNOWN if ending in unknown else Outcome.BROKEN)
        assert reasons(notebook) == [ending.value]
        assert notebook.problems[0].detail

    def test_an_error_beside_a_cut_off_check_is_told_too(self, tmp_path: Path) -> None:
        """An early ending of its own is told even where a check has no record."""
        folder = RunFolder(tmp_path, cells=[cell(started("rollback"))], ending=Ending.CELL_ERROR)
        assert reasons(notebook_of(folder)) == ["cell-error"]

    def test_a_cell_that_raised(self, tmp_path: Path) -> None:
        """An exception in an executed cell breaks the notebook, whatever its ending is called."""
        error = new_output("error", ename="ValueError", evalue="no", traceback=[])
        notebook = notebook_of(RunFolder(tmp_path, cells=[check_cell("rollback"), cell(error)]))

        assert reasons(notebook) == ["cell-error"]
        assert notebook.problems[0].detail == "cell 2 raised ValueError: no"

    def test_errors_that_are_no_surprise(self, tmp_path: Path) -> None:
        """The lab's own verdict and a cell that is meant to raise break nothing."""
        verdict = new_output("error", ename="NotGreen", evalue="1 failed", traceback=[])
        error = new_output("error", ename="ValueError", evalue="no", traceback=[])
        meant = new_code_cell("f()", outputs=[error], metadata={"tags": ["raises-exception"]})
        folder = RunFolder(tmp_path, cells=[check_cell("rollback"), meant, cell(verdict)])
        assert notebook_of(folder).outcome is Outcome.PASSED

    def test_a_lab_that_closed_red(self, tmp_path: Path) -> None:
        """A lab that closed red over green records has seen what the records do not tell."""
        folder = RunFolder(tmp_path, cells=[check_cell("rollback")], verdict=Outcome.FAILED)
        notebook = notebook_of(folder)
        assert (notebook.outcome, reasons(notebook)) == (Outcome.FAILED, ["contradiction"])


class TestMissingEvidence:
    """What is said where the executed notebook cannot be read."""

    def test_a_missing_notebook(self, tmp_path: Path) -> None:
        """The checks of a notebook that is gone are unknown."""
        notebook = notebook_of(RunFolder(tmp_path, cells=None))
        assert told(notebook.checks[0]) == (Outcome.UNKNOWN, "missing-notebook")
        assert (notebook.outcome, reasons(notebook)) == (Outcome.UNKNOWN, ["missing-notebook"])

    @pytest.mark.parametrize("ending", [Ending.NEVER_STARTED, Ending.NO_KERNEL, Ending.NO_LEASE])
    def test_a_notebook_that_was_never_executed(self, tmp_path: Path, ending: Ending) -> None:
        """Of a notebook that was never executed only that is told."""
        notebook = notebook_of(RunFolder(tmp_path, cells=None, ending=ending))
        assert told(notebook.checks[0]) == (Outcome.UNKNOWN, "never-ran")
        assert reasons(notebook) == [ending.value]

    @pytest.mark.parametrize(
        "content",
        [
            b"\xff",
            b"no JSON",
            b"[]",
            b'{"nbformat": 3}',
            b'{"nbformat": 4, "cells": [{"cell_type": "poem", "source": ""}]}',
            b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}',
        ],
    )
    def test_an_unreadable_notebook(self, tmp_path: Path, content: bytes) -> None:
        """The checks of a file that is no notebook are unknown, with what is wrong with it."""
        path = RunFolder(tmp_path, cells=None).write()
        (path / "database.ipynb").write_bytes(content)
        notebook = read_run(path).notebooks[0]

        assert told(notebook.checks[0]) == (Outcome.UNKNOWN, "unreadable-notebook")
        assert notebook.outcome is Outcome.UNKNOWN

    def test_a_withheld_notebook(self, tmp_path: Path) -> None:
        """The checks of a notebook that held a secret are unknown, and none of it is shown."""
        folder = RunFolder(
            tmp_path,
            cells=[check_cell("rollback")],
            metadata={"labkit": {"withheld": "cell 3, as it is"}},
        )
        notebook = notebook_of(folder)

        assert told(notebook.checks[0]) == (Outcome.UNKNOWN, "withheld")
        assert notebook.document is None
