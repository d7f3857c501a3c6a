"""The results as the README shows them."""

from pathlib import Path
from typing import Final

import pytest

from benchmarks.results import Results
from benchmarks.table import BEGIN, END, page_with, section
from labkit.errors import UsageError
from tests.benchmarks.samples import RESULTS

ROOT: Final = Path(__file__).parent.parent.parent
SECTION: Final = section(RESULTS)


def test_it_says_what_was_measured_on() -> None:
    """When, on what, and how often; the commit in short."""
    assert (
        "Measured on 2026-01-02 at commit 0123456789, Linux x86_64, 2 cores, CPython 3.11.7, with a"
        " load of 0.25 at the beginning: medians of 2 rounds and their quartiles"
    ) in SECTION
    assert "papermill 2.7.0, PostgreSQL 18.4." in SECTION


@pytest.mark.parametrize(
    "row",
    [
        (
            "| 7 fixed notebooks of ten cells | seconds | its cells, added up"
            " | ÷ papermill, one by one | ÷ pytest --nbmake -n 2 |"
        ),
        (
            "| warm kernels, one at a time | 1.00 (1.00 to 1.00) | 0.60 (0.55 to 0.65)"
            " | 0.11 (0.11 to 0.12) | 0.23 (0.21 to 0.24) |"
        ),
        (
            "| labkit run, two at a time | 10.00 (10.00 to 10.00) | 16.00 (16.00 to 16.00)"
            " | 0.25 (0.25 to 0.25) | 0.33 (0.33 to 0.33) | 0.50 (0.50 to 0.50) |"
        ),
        "| a lease | 32 (31 to 33) |",
        "| 20 | 200 (200 to 200) | 100 (100 to 100) | 1.5 | 2 | 0.0 | 0 |",
        "| 200 | 100 (100 to 100) | 50 (50 to 50) | 0.0 | 0 | 1.5 | 2 |",
        "| 200 | 20.00 (20.00 to 20.00) |",
    ],
)
def test_a_row_has_what_was_measured(row: str) -> None:
    """Medians and quartiles of times, ratios, and what grew."""
    assert row in SECTION.splitlines()


def test_it_says_what_the_notebooks_cost_beyond_a_plain_process() -> None:
    """The difference to either plain process, for each notebook."""
    assert (
        "Beyond the plain process of the same round, `labkit run` takes 100 (100 to 100) ms"
        in SECTION
    )
    assert "processes are forked, as its own are, 300 (300 to 300) ms." in SECTION


def test_it_says_how_long_notebooks_wait_for_their_leases() -> None:
    """Those of both ways to run them, and the longest."""
    told = "A notebook of `labkit run` waits 10 (8 to 25) ms for its lease; of 3 none waited longer"
    assert f"{told} than 40." in SECTION


def test_every_row_of_a_table_has_its_columns() -> None:
    """As many cells as its head."""
    for table in SECTION.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_section_takes_the_place_of_the_one_before() -> None:
    """What stands around it stays."""
    page = f"above\n{BEGIN}old\n{END}below\n"
    assert page_with(page, "new\n") == f"above\n{BEGIN}new\n{END}below\n"


@pytest.mark.parametrize("page", ["", BEGIN, END + BEGIN, BEGIN + BEGIN + END, BEGIN + END + END])
def test_a_page_without_its_place_is_refused(page: str) -> None:
    """Nothing is written where it is not clear where."""
    with pytest.raises(UsageError, match="once each, in this order"):
        page_with(page, "new")


def test_the_readme_shows_what_is_kept() -> None:
    """The tables in the README are those of the results in the repository; without any, none."""
    kept = ROOT / "benchmarks" / "results.json"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(BEGIN)[2].partition(END)[0]
    expected = section(Results.read(kept)) if kept.exists() else ""
    assert shown.partition("\n![")[0] == expected
