"""JUnit, read back as CI systems read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from labkit.journal import Ending, Entry, InfrastructureFailed, SecretFound
from labkit.records import Expectation, Outcome
from labkit.reports.junit import junit_xml
from labkit.reports.read import read_run
from tests.reports.runs import AT, HOLDS, MISSES, RunFolder, check_cell

ONE_OF_EACH = {
    "passes": (Outcome.PASSED, (HOLDS,)),
    "fails": (Outcome.FAILED, (HOLDS, MISSES, MISSES)),
    "breaks": (Outcome.BROKEN, ()),
    "is_unknown": (Outcome.UNKNOWN, (HOLDS,)),
    "is_skipped": (Outcome.SKIPPED, ()),
    "is_deselected": (Outcome.DESELECTED, ()),
}


def suites_of(folder: RunFolder) -> list[TestSuite]:
    """The suites of the folder's JUnit file."""
    return list(JUnitXml.fromstring(junit_xml(read_run(folder.write())).decode()))


def cases_of(folder: RunFolder) -> dict[str, TestCase]:
    """All test cases by name, each name there once."""
    cases = [case for suite in suites_of(folder) for case in suite]
    assert len({(case.classname, case.name) for case in cases}) == len(cases)
    return {str(case.name): case for case in cases}


@pytest.fixture
def mixed(tmp_path: Path) -> RunFolder:
    """A run with one check of each outcome."""
    cells = [check_cell(name, outcome, facts) for name, (outcome, facts) in ONE_OF_EACH.items()]
    return RunFolder(tmp_path, checks=tuple(ONE_OF_EACH), cells=cells)


def test_one_case_per_check(mixed: RunFolder) -> None:
    """Each check is a test case with its notebook, file and time."""
    cases = cases_of(mixed)

    assert list(cases) == list(ONE_OF_EACH)
    assert {str(case.classname) for case in cases.values()} == {"labkit.database"}
    assert cases["passes"].time == 0.25
    assert b'file="notebooks/database.ipynb"' in junit_xml(read_run(mixed.path))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("passes", []),
        ("fails", [Failure]),
        ("breaks", [Error]),
        ("is_unknown", [Error]),
        ("is_skipped", [Skipped]),
        ("is_deselected", [Skipped]),
    ],
)
def test_each_outcome_has_its_kind(mixed: RunFolder, name: str, kinds: list[type]) -> None:
    """Failed is a failure, broken and unknown are errors, the rest is skipped or nothing."""
    assert [type(result) for result in cases_of(mixed)[name].result] == kinds


def test_what_a_failure_tells(mixed: RunFolder) -> None:
    """A failure tells its reason, how many facts did not hold, and the first of them."""
    failure = cases_of(mixed)["fails"].result[0]

    assert failure.type == "partial-write"
    assert failure.message == "partial-write: 1 row was left behind"
    for part in ("2 of 3 expectations", "threads left", "expected: 0", "actual: 1"):
        assert part in str(failure.text)


def test_what_a_skip_tells(mixed: RunFolder) -> None:
    """A skip tells why; what was deselected says so."""
    cases = cases_of(mixed)
    assert cases["is_skipped"].result[0].message == "partial-write: 1 row was left behind"
    assert cases["is_deselected"].result[0].message == "deselected"


def test_the_suites_properties(mixed: RunFolder) -> None:
    """The suite says what it ran on."""
    text = junit_xml(read_run(mixed.write())).decode()
    for name, value in (("seed", "7"), ("redis", "Valkey 9.1.0 (embedded)")):
        assert f'<property name="{name}" value="{value}"/>' in text


def test_a_notebook_that_could_not_import(tmp_path: Path) -> None:
    """What is wrong with the notebook itself is a test case of its own."""
    ending, detail = Ending.IMPORT_ERROR, "cell 1: no module named asyncpg"
    cases = cases_of(RunFolder(tmp_path, cells=[], ending=ending, detail=detail))

    assert [type(result) for result in cases["notebook"].result] == [Error]
    assert cases["notebook"].result[0].message == detail


def test_a_check_called_notebook(tmp_path: Path) -> None:
    """The notebook's own test case never has the name of a check."""
    folder = RunFolder(tmp_path, checks=("notebook",), cells=[], ending=Ending.CELL_ERROR)
    assert list(cases_of(folder)) == ["notebook", "notebook (as a whole)"]


def _nothing_passed(path: Path) -> RunFolder:
    return RunFolder(path, cells=[check_cell("rollback", Outcome.SKIPPED, ())])


def _with(entry: Entry) -> Callable[[Path], RunFolder]:
    return lambda path: RunFolder(path, cells=[check_cell("rollback")], entries=(entry,))


def _cut_off(path: Path) -> RunFolder:
    return RunFolder(path, cells=[check_cell("rollback")], is_ended=False)


@pytest.mark.parametrize(
    "folder",
    [
        _nothing_passed,
        _with(InfrastructureFailed(AT, "no PostgreSQL")),
        _with(SecretFound(AT, "index.html", "line 3")),
        _cut_off,
    ],
)
def test_never_green_where_the_run_is_not(
    tmp_path: Path, folder: Callable[[Path], RunFolder]
) -> None:
    """A run whose checks are green, but which is not, has a test case that is an error."""
    case = cases_of(folder(tmp_path))["run"]
    assert [type(result) for result in case.result] == [Error]


def test_characters_that_xml_forbids(tmp_path: Path) -> None:
    """Control characters, half surrogates and markup leave the file well-formed."""
    odd = "a\x00\x0b\x1b[31m]]>&<\ud800\ufffe\r\n\"'"
    fact = Expectation(odd, odd, odd, holds=False, reason="odd")
    folder = RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, (fact,))])

    text = str(cases_of(folder)["rollback"].result[0].text)
    assert "]]>&<" in text
    assert "\x1b" not in text
