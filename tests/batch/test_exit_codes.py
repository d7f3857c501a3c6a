"""Real runs end with the exit code of the worst that happened in them, and say what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from labkit.journal import Ending
from labkit.records import Outcome
from labkit.services.endpoints import Services
from tests.batch.runs import (
    HOLDS,
    SECRET,
    check,
    never,
    notebook,
    outcomes,
    passing,
    problems,
    run,
    things_on,
    variables,
)
from tests.notebook_files import code


def test_a_run_in_which_all_passed_exits_with_0(
    tmp_path: Path, cold: bool, own_services: Services, before: frozenset[str]
) -> None:
    """Its parameters are those given; the folder of the latest run is this one."""
    shown = check("sized", 'check.equal(size, 7, "size", reason="other")')
    book = notebook(tmp_path / "green.ipynb", shown, passing("holds"))
    ran = run(
        tmp_path, book, environment=variables(own_services), texts=(("size", "7"),), cold=cold
    )
    assert ran.result.exit_code == 0
    assert outcomes(ran.notebook("green")) == {"sized": "passed", "holds": "passed"}
    assert (tmp_path / "outputs" / "latest").resolve() == ran.folder
    assert things_on(own_services) <= before


def test_a_secret_in_the_source_withholds_the_notebook(
    cold: bool, tmp_path: Path, services: Services
) -> None:
    """The run exits with 5, and the value stands in none of its files."""
    books = [
        notebook(tmp_path / "telling.ipynb", passing("one"), code(f"token = {SECRET!r}")),
        notebook(tmp_path / "quiet.ipynb", passing("two")),
    ]
    ran = run(tmp_path, *books, environment=variables(services, SOME_SECRET=SECRET), cold=cold)
    assert ran.result.exit_code == 5
    assert ran.files_with(SECRET) == []
    assert [found.file for found in ran.result.secrets] == ["telling.ipynb"]
    assert outcomes(ran.notebook("telling")) == {"one": "unknown withheld"}
    assert outcomes(ran.notebook("quiet")) == {"two": "passed"}


TOUCHES: Final = check("touches", f"lab.data\n{HOLDS}")
TOUCHES_LATE: Final = check("touches_late", f"{HOLDS}\nlab.data")


@pytest.mark.parametrize(
    ("target", "ending", "told", "wrong"),
    [
        (
            "tests.batch.targets:Lacking",
            Ending.REACHED_THE_END,
            {"touches": "skipped lacks-data", "touches_late": "broken skipped-late"},
            [],
        ),
        (
            "tests.batch.targets:Lying",
            Ending.REACHED_THE_END,
            {"touches": "broken exception", "touches_late": "broken exception"},
            [],
        ),
        (
            "tests.batch.targets:Uninstallable",
            Ending.CELL_ERROR,
            never("touches", "touches_late"),
            ["broken cell-error"],
        ),
        (
            "nowhere_to_be_found:Target",
            Ending.CELL_ERROR,
            never("touches", "touches_late"),
            ["broken cell-error"],
        ),
    ],
)
def test_a_target_that_cannot_do_it_is_told(
    target: str,
    ending: Ending,
    told: Mapping[str, str],
    wrong: Sequence[str],
    cold: bool,
    tmp_path: Path,
    services: Services,
) -> None:
    """A declared gap skips, unless touched too late; all else is broken; the run exits with 1."""
    book = notebook(tmp_path / "touching.ipynb", TOUCHES, TOUCHES_LATE)
    texts = (("target", target),)
    ran = run(tmp_path, book, environment=variables(services), texts=texts, cold=cold)
    result = ran.notebook("touching")
    assert (result.ending, outcomes(result), problems(result)) == (ending, told, wrong)
    assert ran.result.exit_code == 1


def test_a_run_in_which_nothing_passed_is_not_green(
    cold: bool, tmp_path: Path, services: Services
) -> None:
    """Every check was skipped, for a reason that stands in the report; it exits with 1."""
    book = notebook(tmp_path / "touching.ipynb", TOUCHES)
    texts = (("target", "tests.batch.targets:Lacking"),)
    ran = run(tmp_path, book, environment=variables(services), texts=texts, cold=cold)
    [skipped] = ran.result.checks
    assert skipped.outcome is Outcome.SKIPPED
    assert "it has no database yet" in skipped.detail
    assert ran.result.exit_code == 1


def test_services_that_do_not_answer_exit_with_3(tmp_path: Path, services: Services) -> None:
    """No notebook starts; the report is there, says why, and shows no password."""
    book = notebook(tmp_path / "waiting.ipynb", passing("holds"))
    nobody = f"postgresql://user:{SECRET}@127.0.0.1:1/postgres"
    ran = run(tmp_path, book, environment=variables(services, LABKIT_POSTGRES_URL=nobody))
    assert ran.result.exit_code == 3
    assert ran.notebook("waiting").ending is Ending.NEVER_STARTED
    assert outcomes(ran.notebook("waiting")) == never("holds")
    [problem] = ran.result.problems
    assert "127.0.0.1:1" in problem.detail
    assert (ran.folder / "index.html").is_file()
    assert ran.files_with(SECRET) == []


def test_a_deadline_ends_a_notebook_and_not_the_run(
    cold: bool, tmp_path: Path, services: Services
) -> None:
    """What ended before keeps its outcome, the next notebook runs, and the exit code is 4."""
    waiting = check("waits", "import asyncio\nawait asyncio.sleep(300)", deadline_s=300)
    books = [
        notebook(tmp_path / "slow.ipynb", passing("before"), waiting, passing("after")),
        notebook(tmp_path / "next.ipynb", passing("holds")),
    ]
    ran = run(tmp_path, *books, environment=variables(services), deadline_s=12.0, cold=cold)
    assert ran.result.exit_code == 4
    slow = ran.notebook("slow")
    assert slow.ending is Ending.DEADLINE
    assert outcomes(slow) == {
        "before": "passed",
        "waits": "broken interrupted",
        **never("after"),
    }
    assert outcomes(ran.notebook("next")) == {"holds": "passed"}
