"""The page of a run: its verdict in a sentence, what is red first, each check by its claim."""

from __future__ import annotations

import re
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.journal import Ending
from labkit.records import Outcome
from labkit.reports.html import Pages
from labkit.reports.read import read_run
from tests.reports.pages import Page, index_of, page_of
from tests.reports.runs import HOLDS, MISSES, RunFolder, cell, check_cell, record


class TestIndex:
    """The page of the run."""

    def test_a_green_run(self, tmp_path: Path) -> None:
        """A green run is told in one sentence, with nothing to do."""
        page = index_of(RunFolder(tmp_path, cells=[check_cell("rollback")]))

        assert "".join(page.all("h1")[0].text).strip() == "1 of 1 check passed"
        assert "What is not green" not in page.text
        assert "Valkey 9.1.0 (embedded)" in page.text
        assert "Valkey: kept apart by prefix alone" in page.text
        assert "2026-03-05 14:03:22 UTC" in page.text

    def test_what_is_red_comes_first(self, tmp_path: Path) -> None:
        """A red check is told with its first missed fact and a link to its evidence."""
        folder = RunFolder(
            tmp_path,
            checks=("pool", "rollback"),
            cells=[check_cell("pool"), check_cell("rollback", Outcome.FAILED, (HOLDS, MISSES))],
        )
        page = index_of(folder)

        assert "".join(page.all("h1")[0].text).strip() == "1 check failed: rollback"
        assert "1 of 2 expectations did not hold." in page.text
        links = page.values("href")
        assert links[0] == "database.html#check-rollback"
        assert "check-rollback" in page_of(folder).values("id")

    def test_an_outcome_is_told_in_words(self, tmp_path: Path) -> None:
        """Every chip has its outcome's word beside a sign that screen readers leave out."""
        page = index_of(RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.SKIPPED, ())]))
        chips = [
            element
            for element in page.elements
            if element.attributes.get("class", "").startswith("chip")
        ]
        assert chips
        assert all("".join(chip.text).strip() == "skipped" for chip in chips)

    def test_a_check_is_listed_by_its_claim(self, tmp_path: Path) -> None:
        """A check's claim is the link to its evidence, its name stands beneath."""
        page = index_of(RunFolder(tmp_path, cells=[check_cell("rollback")]))
        links = {"".join(link.text): link.attributes["href"] for link in page.all("a")}

        assert links["the claim of rollback"] == "database.html#check-rollback"
        assert ["rollback"] in [code.text for code in page.all("code")]

    def test_the_gist_of_a_group(self, tmp_path: Path) -> None:
        """A check that ended in an exception group is told by its errors, not by a traceback."""
        with pytest.raises(ExceptionGroup) as caught:
            raise ExceptionGroup("two", [ValueError("x"), OSError("y")])
        detail = "".join(traceback.format_exception(caught.value))
        told = replace(record("rollback", Outcome.BROKEN, ()), detail=detail)
        page = index_of(RunFolder(tmp_path, cells=[cell(told)]))

        assert "ExceptionGroup: two (2 sub-exceptions); first: ValueError: x" in page.text
        assert "Traceback" not in page.text

    def test_it_is_small(self, tmp_path: Path) -> None:
        """Thirty-one failed checks with long names and texts make a page below 50 KB."""
        names = tuple(f"a_rather_long_name_of_a_check_that_is_number_{n}" for n in range(31))
        miss = replace(MISSES, actual="x" * 10_000)
        cells = [check_cell(name, Outcome.FAILED, (miss,)) for name in names]
        run = read_run(RunFolder(tmp_path, checks=names, cells=cells).write())
        assert len(Pages(run).index().encode()) < 50_000


def test_index_tells_repetitions_apart(tmp_path: Path) -> None:
    """Each execution of a repeated notebook says which it is."""
    run = read_run(RunFolder(tmp_path, cells=[check_cell("rollback")]).write())
    (book,) = run.notebooks
    books = [replace(book, name=name, repeats="database") for name in ("database", "database-2")]
    other = replace(book, name="other")
    text = Page(Pages(replace(run, notebooks=(*books, other))).index()).text
    told = re.findall(r"repetition \d of \d", text)
    assert told == ["repetition 1 of 2", "repetition 2 of 2"]


def test_index_says_at_its_head_that_the_run_stopped_early(tmp_path: Path) -> None:
    """And shows no time for what was not executed."""
    detail = "red was red"
    folder = RunFolder(tmp_path, ending=Ending.DESELECTED, detail=detail)
    run = read_run(folder.write())
    books = tuple(replace(book, seconds=0.0) for book in run.notebooks)
    page = Page(Pages(replace(run, notebooks=books)).index())
    assert "Stopped early: red was red." in page.text.partition("Notebooks and their checks")[0]
    assert page.rows[-1][-1] == "—"
