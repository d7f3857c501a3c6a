"""The page of a notebook: its checks with their facts, its outputs, and what it ran on."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_output

from labkit.records import Outcome
from labkit.reports.html import Pages
from labkit.reports.read import read_run
from labkit.tables import MEDIA_TYPE as TABLE_MEDIA_TYPE
from tests.reports.pages import Page, page_of
from tests.reports.runs import (
    HOLDS,
    MISSES,
    PNG,
    RunFolder,
    cell,
    check_cell,
    display,
    prose,
    record,
    started,
)


class TestNotebookPage:
    """The page of a notebook."""

    def test_a_check_is_a_section(self, tmp_path: Path) -> None:
        """A check's claim, outcome and every fact stand in a section of its own."""
        page = page_of(
            RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, (HOLDS, MISSES))])
        )

        assert "the claim of rollback" in page.text
        assert "1 of 2 expectations did not hold" in " ".join(page.text.split())
        assert page.rows[1:] == [
            ["✗ no", "threads left", "0", "1", ""],
            ["✓ yes", "threads left", "0", "0", ""],
        ]

    def test_many_facts_are_capped_with_their_count(self, tmp_path: Path) -> None:
        """Of 1,234 facts 200 are shown, the failing one first, with the count and where all are."""
        facts = (*[HOLDS] * 1233, MISSES)
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, facts)]))

        shown = [row[0] for row in page.rows if row[0] != "holds"]
        assert shown == ["✗ no", *["✓ yes"] * 199]
        assert "1 of 1,234 expectations did not hold" in page.text
        assert "showing the first 200, failing ones first; all are in results.json" in page.text

    @pytest.mark.parametrize(("held", "folds"), [(12, 0), (13, 1)])
    def test_many_expectations_that_held_are_folded(
        self, tmp_path: Path, held: int, folds: int
    ) -> None:
        """They stand behind one line, and are in the page for who opens it."""
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback", facts=(HOLDS,) * held)]))
        lines = ["".join(each.text) for each in page.all("summary")]

        assert lines.count(f"All {held} expectations held") == folds
        assert [row[0] for row in page.rows].count("✓ yes") == held

    def test_what_did_not_hold_is_never_folded(self, tmp_path: Path) -> None:
        """A miss stands in a table of its own, before the line of those that held."""
        facts = (*(HOLDS,) * 43, replace(MISSES, label="the miss"))
        text = page_of(
            RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, facts)])
        ).text

        assert text.index("1 of 44 expectations did not hold") < text.index("the miss")
        assert text.index("the miss") < text.index("The 43 expectations that held")

    def test_a_long_text_is_capped_with_its_count(self, tmp_path: Path) -> None:
        """A cell that printed a megabyte shows its beginning, its end, and how much is left out."""
        long = new_output("stream", name="stdout", text="a" * 1_000_000 + "the end")
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback"), cell(long)]))

        assert "… 996,007 characters left out …" in page.text
        assert "the end" in page.text
        assert len(page.text) < 20_000

    def test_a_check_that_never_ran_has_a_section_too(self, tmp_path: Path) -> None:
        """A check without a record is found under its anchor as well."""
        page = page_of(
            RunFolder(tmp_path, checks=("rollback", "pool"), cells=[check_cell("rollback")])
        )
        assert "check-pool" in page.values("id")
        assert "its cell never ran" in page.text

    def test_parameters_are_a_table(self, tmp_path: Path) -> None:
        """Each parameter is shown once, with its last value and whether the run gave it."""
        defaults = new_code_cell("users: int = 5\nseed: int = 7", metadata={"tags": ["parameters"]})
        given = new_code_cell("users = 8", metadata={"tags": ["injected-parameters"]})
        page = page_of(RunFolder(tmp_path, cells=[defaults, given, check_cell("rollback")]))
        cells = ["".join(each.text) for each in page.all("td")]

        assert cells[cells.index("8") + 1] == "this run"
        assert cells[cells.index("7") + 1] == "default"
        assert "5" not in cells
        names = ["".join(each.text) for each in page.all("code")]
        assert names.index("the parameters") < names.index("the parameters of this run")

    def test_code_is_folded_but_where_it_raised(self, tmp_path: Path) -> None:
        """Code is folded behind one line; a cell that raised is open."""
        error = new_output("error", ename="E", evalue="no", traceback=["\x1b[31mE\x1b[0m: no"])
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback"), cell(error)]))

        assert ["open" in each.attributes for each in page.all("details")] == [
            False,
            False,
            True,
            False,
        ]
        assert "E: no" in page.text

    def test_a_folded_cell_is_told_by_its_first_line_after_the_imports(
        self, tmp_path: Path
    ) -> None:
        """Also where an import goes on over several lines."""
        opening = new_code_cell("import a\nfrom b import (\n    c,\n)\n\nlab = await Lab.open()")
        page = page_of(RunFolder(tmp_path, cells=[opening, check_cell("rollback")]))

        assert "Cell 1: lab = await Lab.open()" in " ".join(page.text.split())

    def test_pictures_are_inside_the_page(self, tmp_path: Path) -> None:
        """SVG and PNG become data, with their description; what is no PNG is none."""
        svg = display(
            {"image/svg+xml": "<svg onload='x'/>"}, **{"image/svg+xml": {"alt": "latency"}}
        )
        png = display({"image/png": base64.b64encode(PNG).decode(), "text/plain": "a plot"})
        no_png = display({"image/png": base64.b64encode(b"GIF89a").decode()})
        page = page_of(RunFolder(tmp_path, cells=[svg, png, no_png]))

        assert page.values("alt") == ["latency", "a plot"]
        assert [each.text for each in page.all("figcaption")] == [["latency"], ["a plot"]]
        sources = [value.partition(",") for value in page.values("src")]
        assert [kind for kind, _, _ in sources] == [
            "data:image/svg+xml;base64",
            "data:image/png;base64",
        ]
        assert base64.b64decode(sources[0][2]) == b"<svg onload='x'/>"

    def test_the_name_of_an_object_is_no_caption(self, tmp_path: Path) -> None:
        """A figure that somebody drew without words has no caption."""
        forms = {"image/svg+xml": "<svg/>", "text/plain": "<Figure size 640x480 with 1 Axes>"}
        page = page_of(RunFolder(tmp_path, cells=[display(forms)]))

        assert page.values("alt") == ["figure"]
        assert not page.all("figcaption")

    def test_a_labs_table_is_a_table(self, tmp_path: Path) -> None:
        """A structured table has a caption and scoped heads; its tones are told by signs too."""
        table = {
            "caption": "Anomalies",
            "columns": ["anomaly", "at"],
            "rows": [["G0", {"text": "prevented", "tone": "good"}]],
            "notes": ["as published"],
        }
        page = page_of(RunFolder(tmp_path, cells=[display({TABLE_MEDIA_TYPE: table})]))

        assert ["Anomalies"] in [each.text for each in page.all("caption")]
        assert "✓ prevented" in page.text
        assert "as published" in page.text

    def test_a_malformed_table_is_plain_text(self, tmp_path: Path) -> None:
        """What only looks like a table is shown by its plain text."""
        cells = [display({TABLE_MEDIA_TYPE: {"rows": 1}, "text/plain": "the plain one"})]
        assert "the plain one" in page_of(RunFolder(tmp_path, cells=cells)).text

    def test_business_value_comes_first(self, tmp_path: Path) -> None:
        """The cell with the business value stands above the checks, its title being the page's."""
        value = prose("# Database transactions\n\n**Goal:** nothing is lost", "business-value")
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback"), value]))

        assert page.text.index("nothing is lost") < page.text.index("the claim of rollback")
        assert page.text.count("nothing is lost") == 1
        assert page.text.count("Database transactions") == 2

    def test_a_missing_notebook_has_a_page(self, tmp_path: Path) -> None:
        """Where there is no document, the page tells what is known."""
        page = page_of(RunFolder(tmp_path, cells=None))
        assert "missing-notebook" in page.text

    def test_it_is_small(self, tmp_path: Path) -> None:
        """Five checks with 300 facts each and their prose make a page below 200 KB."""
        names = tuple(f"check_{number}" for number in range(5))
        facts = (HOLDS,) * 300
        cells = [
            part
            for name in names
            for part in (prose("Prose. " * 100), check_cell(name, facts=facts))
        ]
        run = read_run(RunFolder(tmp_path, checks=names, cells=cells).write())
        assert len(Pages(run).notebook(run.notebooks[0]).encode()) < 200_000


def test_checks_that_were_left_out_are_not_called_lost(tmp_path: Path) -> None:
    """They were deselected; the one that should have run is what left no record."""
    run = read_run(RunFolder(tmp_path, checks=("one", "two"), cells=[]).write())
    (book,) = run.notebooks
    left_out = replace(book.checks[0], outcome=Outcome.DESELECTED, reason="not-selected")
    for checks, headings in (
        (
            (left_out, book.checks[1]),
            ["Checks that were not executed", "Checks that left no record"],
        ),
        ((left_out,), ["Checks that were not executed"]),
    ):
        page = Page(Pages(run).notebook(replace(book, checks=checks)))
        titles = ["".join(each.text) for each in page.all("h2")]
        assert [title for title in titles if title.startswith("Checks that")] == headings


def test_what_a_check_needs_of_its_target(tmp_path: Path) -> None:
    """A check's section names what it touched; one that touched nothing says nothing of it."""
    needing = replace(record("rollback"), needs=("data.transaction", "tables.threads"))
    shown = page_of(RunFolder(tmp_path / "one", cells=[cell(started("rollback"), needing)]))
    assert "needs of the target: data.transaction, tables.threads" in shown.text
    silent = page_of(RunFolder(tmp_path / "two", cells=[check_cell("rollback")]))
    assert "needs of the target" not in silent.text


def test_the_notebook_stands_before_what_it_ran_on(tmp_path: Path) -> None:
    """A reader meets the first sentence before versions and parameters."""
    defaults = new_code_cell("users: int = 5", metadata={"tags": ["parameters"]})
    page = page_of(RunFolder(tmp_path, cells=[prose("The first sentence."), defaults]))

    assert page.text.index("The first sentence.") < page.text.index("What it ran on")
    assert page.text.index("What it ran on") < page.text.index("Parameters")
